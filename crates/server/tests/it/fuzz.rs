//! Rubbish on a live socket: the server answers or hangs up, and goes on serving others.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use outcrop_testkit::mutation::Mutator;

use crate::http::{HttpClient, start};
use crate::raw::RawClient;
use crate::support::TestServer;

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(b"BCDEFHPQSXcdfp?".to_vec());
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(b"select 1\0".to_vec()),
        Just(b"\0select $1::int\0\0\0".to_vec()),
        Just(b"\0\0\0\0\0\x01\0\0\0\x011\0\0".to_vec()),
        Just(b"\0\0\0\0\0".to_vec()),
        Just(b"S\0".to_vec()),
    ];
    (kind, body, prop::option::weighted(0.1, any::<u32>())).prop_map(|(kind, body, length)| {
        let length = length.unwrap_or_else(|| u32::try_from(body.len() + 4).unwrap());
        [&[kind], length.to_be_bytes().as_slice(), &body].concat()
    })
}

#[test]
fn rubbish_never_stops_the_server() {
    let server = TestServer::start();
    let strategy = (any::<bool>(), prop::collection::vec(any_frame(), 1..20));
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    runner
        .run(&strategy, |(is_started, frames)| {
            let mut client = if is_started { RawClient::start(&server) } else { RawClient::open(&server) };
            frames.iter().for_each(|frame| client.send_bytes(frame));
            client.half_close();
            while client.read().is_some() {}
            Ok(())
        })
        .unwrap();
    RawClient::start(&server);
}

/// Bodies of requests that are answered with 200.
const BODIES: [(&str, &str); 5] = [
    (
        "queries",
        r#"{"sql":{"query":"select :a + 1 as n","parameters":[{"name":"a","type":"int","value":"7"}]},"max_initial_results":1}"#,
    ),
    (
        "queries",
        r#"{"sql":{"query":"select ? , $1","parameters":[{"value":[1,null,{"b":1e5}]}],"default_row_limit":5},"timeout_ms":1000}"#,
    ),
    ("queries", r#"{"async":true,"async_options":{"client_timeout_ms":10},"sql":{"query":"select '\u00e9' as e"}}"#),
    ("ws/commons/collections/docs/docs", r#"{"data":[{"id":3,"name":"eve","doc":{"a":[1,2.5,null]}},{"id":4}]}"#),
    ("ws/commons/collections/docs/docs", r#"{"data":[{"id":"\ud83d\ude00","name":1},{},[]]}"#),
];

/// REST requests that were mutated: an answer of the interface, and never one that says that we are wrong.
#[test]
fn mutated_requests_are_answered_and_none_is_an_internal_error() {
    let server = start(|_config| {});
    RawClient::start(&server).query("create table docs (id bigint primary key, name text, doc jsonb)");
    let mut mutator = Mutator::new(1);
    for round in 0..300 {
        let (path, body) = BODIES[mutator.below(BODIES.len())];
        let (_, other) = BODIES[mutator.below(BODIES.len())];
        let body = mutator.mutate(body.as_bytes(), other.as_bytes());
        let mut client = HttpClient::open(&server);
        let head = format!(
            "POST /v1/orgs/self/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(head.as_bytes());
        client.send(&body);
        let answer = client.answer();
        let status = answer.get(9..12).unwrap_or_default();
        let is_answer = status == "200" || (status.starts_with('4') && answer.contains("\"message\""));
        assert!(is_answer, "round {round}: {answer} to {:?}", String::from_utf8_lossy(&body));
    }
}

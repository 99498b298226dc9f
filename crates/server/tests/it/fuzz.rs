//! Rubbish on a live socket: the server answers or hangs up, and goes on serving others.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

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

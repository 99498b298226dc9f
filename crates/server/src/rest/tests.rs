use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use futures::StreamExt as _;
use outcrop_engine::EngineStatus;
use outcrop_engine::status::HistogramStatus;
use outcrop_types::{Condition, Error};

use super::body::{BodyLimits, BodyMemory, read};
use super::failure::{Failure, FailureType, Place};
use super::{guard, metrics};

#[test]
fn errors_have_the_status_and_type_of_their_condition() {
    for (condition, status, kind) in [
        (Condition::SyntaxError, 400, FailureType::InvalidInput),
        (Condition::UndefinedTable, 400, FailureType::InvalidInput),
        (Condition::DivisionByZero, 400, FailureType::QueryError),
        (Condition::UniqueViolation, 409, FailureType::Conflict),
        (Condition::DuplicateTable, 409, FailureType::AlreadyExists),
        (Condition::FeatureNotSupported, 501, FailureType::NotImplementedYet),
        (Condition::WriteStalled, 429, FailureType::RateLimitExceeded),
        (Condition::DiskFull, 503, FailureType::ResourceExceeded),
        (Condition::Poisoned, 503, FailureType::ServiceUnavailable),
        (Condition::DataCorrupted, 500, FailureType::InternalError),
        (Condition::QueryCanceled, 408, FailureType::QueryCancelled),
    ] {
        let failure = Failure::from(Error::new(condition, "x"));
        assert_eq!((failure.status().as_u16(), failure.kind()), (status, kind), "{condition:?}");
    }
    let timeout = Error::new(Condition::QueryCanceled, "canceling statement due to statement timeout");
    assert_eq!(Failure::from(timeout).kind(), FailureType::QueryTimeout);
}

#[test]
fn an_error_body_always_has_message_and_type_and_no_null() {
    for condition in Condition::ALL {
        let body = Failure::from(Error::new(*condition, "what")).to_json(Some("id"));
        assert_eq!(body["message"], "what");
        assert!(body["type"].is_string());
        assert!(body.values().all(|value| !value.is_null()), "{body:?}");
    }
    let body = Failure::from(Error::new(Condition::SyntaxError, "x").with_position(4).with_hint("H."))
        .with_place(|position| Place { line: 1, column: position })
        .to_json(None);
    assert_eq!((&body["line"], &body["column"], &body["hint"]), (&1.into(), &4.into(), &"H.".into()));
}

#[test]
fn failures_travel_beside_an_empty_body() {
    let response = Failure::not_found("nothing").into_response();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(response.extensions().get::<Failure>().is_some());
    assert_eq!(HeaderMap::len(response.headers()), 0);
}

#[test]
fn host_names_are_read_without_port() {
    for (authority, name) in [
        ("localhost:8090", "localhost"),
        ("localhost", "localhost"),
        ("[::1]:80", "::1"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("evil.example:80x", "evil.example:80x"),
        ("::1", "::1"),
    ] {
        assert_eq!(guard::host_name(authority), name);
    }
}

#[test]
fn metrics_are_in_prometheus_text_format() {
    let status = EngineStatus {
        commits: 7,
        stall_reason: Some("memtable"),
        sync_time: HistogramStatus { bounds: &[250, 2_500_000], counts: vec![3, 2, 1], sum: 12_000_042 },
        ..EngineStatus::default()
    };
    let text = metrics::render(&status, 3);
    assert!(text.contains("# TYPE outcrop_commits_total counter\noutcrop_commits_total 7\n"), "{text}");
    assert!(text.contains("outcrop_pg_connections 3\n"), "{text}");
    let sync = "# TYPE outcrop_log_sync_seconds histogram
outcrop_log_sync_seconds_bucket{le=\"0.000250\"} 3
outcrop_log_sync_seconds_bucket{le=\"2.500000\"} 5
outcrop_log_sync_seconds_bucket{le=\"+Inf\"} 6
outcrop_log_sync_seconds_sum 12.000042
outcrop_log_sync_seconds_count 6
";
    assert!(text.contains(sync), "{text}");
    assert!(text.contains("outcrop_stalled{reason=\"memtable\"} 1\n"), "{text}");
}

const FOR_EVER: Duration = Duration::from_secs(600);
const LIMITS: BodyLimits = BodyLimits { bytes_max: 8 << 20, timeout: FOR_EVER, idle_timeout: FOR_EVER };
/// KiB for first bytes and beyond, of 8 MiB.
const ALL_FREE: (usize, usize) = (2 << 10, 6 << 10);

fn pieces(count: usize, bytes: usize) -> Body {
    let piece = Bytes::from(vec![b' '; bytes]);
    Body::from_stream(futures::stream::iter((0..count).map(move |_| Ok::<_, io::Error>(piece.clone()))))
}

/// The pieces, and then nothing for ever.
fn stuck(count: usize, bytes: usize) -> Body {
    Body::from_stream(pieces(count, bytes).into_data_stream().chain(futures::stream::pending()))
}

#[tokio::test]
async fn memory_is_held_for_what_arrived_and_given_back() {
    let memory = BodyMemory::new(8 << 20);
    let received = read(pieces(100, 1_000), None, LIMITS, &memory).await.unwrap();
    assert_eq!(received.bytes.len(), 100_000);
    let held = ALL_FREE.0 - memory.free().0;
    assert!((98..=256).contains(&held), "{held} KiB for 98");
    drop(received);
    assert_eq!(memory.free(), ALL_FREE);
    let exact = read(pieces(3, 1_000), Some(3_000), LIMITS, &memory).await.unwrap();
    assert_eq!(memory.free(), (ALL_FREE.0 - 3, ALL_FREE.1), "no more than was announced");
    drop(exact);
    let limits = BodyLimits { bytes_max: 4 << 20, ..LIMITS };
    for (body, stated) in [(pieces(5, 1 << 20), None), (pieces(1, 1), Some(5 << 20))] {
        let failure = read(body, stated, limits, &memory).await.map(drop).unwrap_err();
        assert_eq!(failure.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(memory.free(), ALL_FREE);
}

#[tokio::test]
async fn large_bodies_on_their_way_keep_no_small_ones_out() {
    let memory = Arc::new(BodyMemory::new(8 << 20));
    let announced = tokio::spawn({
        let memory = Arc::clone(&memory);
        async move { read(stuck(1, 1), Some(8 << 20), LIMITS, &memory).await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert!(memory.free().0 > ALL_FREE.0 - 64, "an announcement takes nothing");
    announced.abort();
    announced.await.unwrap_err();
    let slow = tokio::spawn({
        let memory = Arc::clone(&memory);
        async move { read(stuck(7, 1 << 20), Some(7 << 20), LIMITS, &memory).await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert_eq!(memory.free(), (1 << 10, 0), "it has all that there is for large ones");
    assert!(read(pieces(1, 1_000), Some(1_000), LIMITS, &memory).await.is_ok(), "a small body finds its place");
    let refused = read(pieces(3, 1 << 20), None, LIMITS, &memory).await.map(drop).unwrap_err();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    slow.abort();
    slow.await.unwrap_err();
    assert_eq!(memory.free(), ALL_FREE);
}

#[tokio::test]
async fn a_body_that_stops_or_only_trickles_is_given_up() {
    let memory = BodyMemory::new(8 << 20);
    let short = Duration::from_millis(50);
    let stopped = read(stuck(3, 1 << 20), None, BodyLimits { idle_timeout: short, ..LIMITS }, &memory).await;
    assert_eq!(stopped.map(drop).unwrap_err().status(), StatusCode::REQUEST_TIMEOUT);
    let trickle = futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, io::Error>(Bytes::from_static(b" ")), ()))
    });
    let limits = BodyLimits { timeout: short, ..LIMITS };
    let trickled = read(Body::from_stream(trickle), None, limits, &memory).await;
    assert_eq!(trickled.map(drop).unwrap_err().status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(memory.free(), ALL_FREE);
}

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use outcrop_engine::EngineStatus;
use outcrop_types::{Condition, Error};

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
    let mut status = EngineStatus::default();
    status.commits = 7;
    status.stall_reason = Some("memtable");
    let text = metrics::render(&status, 3);
    assert!(text.contains("# TYPE outcrop_commits_total counter\noutcrop_commits_total 7\n"), "{text}");
    assert!(text.contains("outcrop_pg_connections 3\n"), "{text}");
    assert!(text.contains("outcrop_stalled{reason=\"memtable\"} 1\n"), "{text}");
}

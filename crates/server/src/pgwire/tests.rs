use bytes::Bytes;
use outcrop_types::{Condition, DataType, Error, Value};
use outcrop_wire::{Bind, Format};

use super::bind::decode_parameters;
use super::fields::{Severity, error_response};
use super::outbox::Outbox;

fn bind(formats: Vec<Format>, parameters: Vec<Option<&'static [u8]>>, result_formats: Vec<Format>) -> Bind {
    Bind {
        portal: String::new(),
        statement: "s".into(),
        formats,
        parameters: parameters.into_iter().map(|bytes| bytes.map(Bytes::from_static)).collect(),
        result_formats,
    }
}

#[test]
fn parameters_are_decoded_by_their_format_and_named_when_they_are_wrong() {
    let types = [DataType::Int4, DataType::Text];
    let decode = |bind: &Bind| decode_parameters(bind, &types, 1, &outcrop_ingest::TextSettings::default());
    let good = bind(vec![Format::Binary, Format::Text], vec![Some(&[0, 0, 0, 5]), Some(b"x")], vec![]);
    assert_eq!(decode(&good).unwrap(), [Value::Int(5), Value::Text("x".into())]);
    let nulls = bind(vec![], vec![None, None], vec![Format::Binary]);
    assert_eq!(decode(&nulls).unwrap(), [Value::Null, Value::Null]);
    for (bad, message) in [
        (
            bind(vec![], vec![None], vec![]),
            "bind message supplies 1 parameters, but prepared statement \"s\" requires 2",
        ),
        (
            bind(vec![Format::Text; 3], vec![None, None], vec![]),
            "bind message has 3 parameter formats but 2 parameters",
        ),
        (
            bind(vec![], vec![None, None], vec![Format::Text; 2]),
            "bind message has 2 result formats but query has 1 columns",
        ),
    ] {
        let error = decode(&bad).unwrap_err();
        assert_eq!((error.condition().sqlstate(), error.message()), ("08P01", message));
    }
    let error = decode(&bind(vec![], vec![Some(b"abc"), None], vec![])).unwrap_err();
    assert_eq!(error.condition().sqlstate(), "22P02");
    assert_eq!(error.context(), Some("unnamed portal parameter $1 = 'abc'"));
    let error = decode(&bind(vec![Format::Binary], vec![Some(b"abc"), None], vec![])).unwrap_err();
    assert_eq!(error.condition().sqlstate(), "22P03");
    assert_eq!(error.context(), Some("unnamed portal parameter $1"));
    let error = decode(&bind(vec![], vec![None, Some(b"\xff")], vec![])).unwrap_err();
    assert_eq!(error.condition().sqlstate(), "22021");
}

#[test]
fn error_fields_carry_everything_and_cannot_break_the_frame() {
    let error = Error::new(Condition::UniqueViolation, "bad\0value")
        .with_detail("Key (id)=(1) already exists.")
        .with_hint("x".repeat(5_000))
        .with_context("COPY t, line 3")
        .with_position(7);
    let fields = error_response(&error, Severity::Fatal).fields;
    let field = |code: u8| fields.iter().find(|(found, _)| *found == code).map(|(_, text)| text.as_str());
    assert_eq!(field(b'S'), Some("FATAL"));
    assert_eq!(field(b'V'), Some("FATAL"));
    assert_eq!(field(b'C'), Some("23505"));
    assert_eq!(field(b'M'), Some("bad\u{fffd}value"));
    assert_eq!(field(b'D'), Some("Key (id)=(1) already exists."));
    assert_eq!(field(b'H').map(str::len), Some(4_099));
    assert_eq!(field(b'W'), Some("COPY t, line 3"));
    assert_eq!(field(b'P'), Some("7"));
}

#[tokio::test]
async fn raw_messages_state_their_length() {
    let mut written = Vec::new();
    let mut outbox = Outbox::new(&mut written);
    outbox.put_raw(b'd', |out| out.extend_from_slice(b"abc"));
    outbox.flush().await.unwrap();
    assert_eq!(written, b"d\0\0\0\x07abc");
}

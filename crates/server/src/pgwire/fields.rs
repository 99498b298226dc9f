//! Errors and notices as protocol messages.

use outcrop_query::Notice;
use outcrop_types::{Error, ErrorKind};
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

/// Whether the connection goes on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Fatal,
}

/// Longest text of one field; what users type may come back in messages.
const FIELD_CHARS_MAX: usize = 4_096;

/// The message that tells a client of an error.
pub(super) fn error_response(error: &Error, severity: Severity) -> ErrorResponse {
    let severity = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', error.condition().sqlstate().to_owned()),
        (b'M', field(error.message())),
    ];
    let mut add = |code: u8, text: Option<&str>| fields.extend(text.map(|text| (code, field(text))));
    add(b'D', error.detail());
    add(b'H', error.hint());
    add(b'W', error.context());
    add(b'P', error.position().map(|position| position.to_string()).as_deref());
    if let Some(constraint) = error.constraint() {
        add(b's', Some(&constraint.schema));
        add(b't', Some(&constraint.table));
        add(b'c', constraint.column.as_deref());
        add(b'n', constraint.name.as_deref());
    }
    ErrorResponse::new(fields)
}

/// The message that carries a notice.
pub(super) fn notice_response(notice: &Notice) -> NoticeResponse {
    let severity = notice.severity.to_string();
    NoticeResponse::new(vec![
        (b'S', severity.clone()),
        (b'V', severity),
        (b'C', notice.code.to_owned()),
        (b'M', field(&notice.message)),
    ])
}

/// Logs errors that someone must look at, with their causes. All others are the client's alone.
pub(super) fn log(error: &Error) {
    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal | ErrorKind::Poisoned) {
        let causes = causes(error);
        tracing::error!(sqlstate = error.condition().sqlstate(), causes, "{error}");
    } else {
        tracing::debug!(sqlstate = error.condition().sqlstate(), "{error}");
    }
}

fn causes(error: &Error) -> String {
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.join(": ")
}

/// Text for a field: NUL would end it, and a long one is cut.
fn field(text: &str) -> String {
    let clean = text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c });
    let mut kept: String = clean.take(FIELD_CHARS_MAX).collect();
    if text.chars().nth(FIELD_CHARS_MAX).is_some() {
        kept.push_str("...");
    }
    kept
}

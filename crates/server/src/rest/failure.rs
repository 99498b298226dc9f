//! Errors as the REST interface tells them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use outcrop_types::{Condition, Error, ErrorKind};
use serde_json::{Map, Value as JsonValue};

/// `type` of an error body: Rockset's names, whose spelling clients test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureType {
    AlreadyExists,
    AuthException,
    Conflict,
    ContentTooLarge,
    Forbidden,
    InternalError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    NotImplementedYet,
    QueryCancelled,
    QueryError,
    QueryTimeout,
    RateLimitExceeded,
    ResourceExceeded,
    ServiceUnavailable,
}

impl FailureType {
    /// The name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AuthException => "AUTHEXCEPTION",
            Self::Conflict => "CONFLICT",
            Self::ContentTooLarge => "CONTENTTOOLARGE",
            Self::Forbidden => "FORBIDDEN",
            Self::InternalError => "INTERNALERROR",
            Self::InvalidInput => "INVALIDINPUT",
            Self::MethodNotAllowed => "METHODNOTALLOWED",
            Self::NotFound => "NOTFOUND",
            Self::NotImplementedYet => "NOTIMPLEMENTEDYET",
            Self::QueryCancelled => "QUERY_CANCELLED",
            Self::QueryError => "QUERY_ERROR",
            Self::QueryTimeout => "QUERY_TIMEOUT",
            Self::RateLimitExceeded => "RATELIMITEXCEEDED",
            Self::ResourceExceeded => "RESOURCEEXCEEDED",
            Self::ServiceUnavailable => "SERVICEUNAVAILABLE",
        }
    }
}

/// Line and column of an SQL text, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A request that failed, with everything its client is told.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    status: StatusCode,
    kind: FailureType,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    sqlstate: Option<&'static str>,
    place: Option<Place>,
    query_id: Option<String>,
    /// Position in the SQL that was executed, until it is turned into a place in the SQL that was sent.
    position: Option<u32>,
}

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure that is no error of SQL.
    pub(super) fn new(status: StatusCode, kind: FailureType, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            sqlstate: None,
            place: None,
            query_id: None,
            position: None,
        }
    }

    /// 400 for a body or parameter that makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, FailureType::InvalidInput, message)
    }

    /// 404.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, FailureType::NotFound, message)
    }

    pub(super) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn with_query_id(mut self, id: &str) -> Self {
        self.query_id = Some(id.to_owned());
        self
    }

    /// Where in the SQL of the client.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Turns the position in the executed SQL into a place in the SQL that the client sent.
    pub(super) fn with_place(mut self, place: impl FnOnce(u32) -> Place) -> Self {
        self.place = self.position.take().map(place).or(self.place);
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> FailureType {
        self.kind
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The error inside of an answer: Rockset's `QueryError`.
    pub(super) fn to_query_error(&self) -> JsonValue {
        serde_json::json!({
            "type": self.kind.name(),
            "message": self.message,
            "status_code": self.status.as_u16(),
        })
    }

    /// The error as a JSON object: Rockset's `ErrorModel`, with `code`, `detail`, `hint` and `sqlstate` more.
    pub(super) fn to_json(&self, trace_id: Option<&str>) -> Map<String, JsonValue> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<JsonValue>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("message", Some(self.message.clone().into()));
        put("type", Some(self.kind.name().into()));
        put("line", self.place.map(|place| place.line.into()));
        put("column", self.place.map(|place| place.column.into()));
        put("code", Some(self.status.as_u16().into()));
        put("detail", self.detail.clone().map(JsonValue::from));
        put("hint", self.hint.clone().map(JsonValue::from));
        put("sqlstate", self.sqlstate.map(JsonValue::from));
        put("query_id", self.query_id.clone().map(JsonValue::from));
        put("trace_id", trace_id.map(JsonValue::from));
        body
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        log(&error);
        let (status, kind) = classify(&error);
        let message = match error.context() {
            Some(context) => format!("{} ({context})", error.message()),
            None => error.message().to_owned(),
        };
        Self {
            status,
            kind,
            message,
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            sqlstate: Some(error.condition().sqlstate()),
            place: None,
            query_id: None,
            position: error.position(),
        }
    }
}

/// Rendered by [`super::guard::answer`], which knows the trace id; until then the failure travels beside an empty body.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The answer for a failure.
pub(super) fn render(failure: &Failure, trace_id: &str) -> Response {
    (failure.status, Json(failure.to_json(Some(trace_id)))).into_response()
}

/// Logs errors that a person must look at. All others are the client's alone.
fn log(error: &Error) {
    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal | ErrorKind::Poisoned) {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        tracing::error!(sqlstate = error.condition().sqlstate(), causes = causes.join(": "), "{error}");
    }
}

/// Status and type of an error: by its condition where clients tell them apart, else by its kind.
fn classify(error: &Error) -> (StatusCode, FailureType) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not named here goes by its kind")]
    match error.condition() {
        Condition::UniqueViolation => (StatusCode::CONFLICT, FailureType::Conflict),
        Condition::DuplicateTable | Condition::DuplicateSchema => (StatusCode::CONFLICT, FailureType::AlreadyExists),
        Condition::FeatureNotSupported => (StatusCode::NOT_IMPLEMENTED, FailureType::NotImplementedYet),
        Condition::WriteStalled => (StatusCode::TOO_MANY_REQUESTS, FailureType::RateLimitExceeded),
        Condition::InsufficientPrivilege => (StatusCode::FORBIDDEN, FailureType::Forbidden),
        Condition::StatementTooComplex | Condition::ProgramLimitExceeded => {
            (StatusCode::BAD_REQUEST, FailureType::ResourceExceeded)
        }
        Condition::QueryCanceled if error.message().contains("timeout") => {
            (StatusCode::REQUEST_TIMEOUT, FailureType::QueryTimeout)
        }
        // Class 22 and 23 are found while a query runs; what planning finds is an invalid input.
        condition if condition.sqlstate().starts_with('2') => (StatusCode::BAD_REQUEST, FailureType::QueryError),
        condition => classify_kind(condition.kind()),
    }
}

fn classify_kind(kind: ErrorKind) -> (StatusCode, FailureType) {
    match kind {
        ErrorKind::Invalid | ErrorKind::NotFound => (StatusCode::BAD_REQUEST, FailureType::InvalidInput),
        ErrorKind::Conflict => (StatusCode::CONFLICT, FailureType::Conflict),
        ErrorKind::Unavailable | ErrorKind::Poisoned => {
            (StatusCode::SERVICE_UNAVAILABLE, FailureType::ServiceUnavailable)
        }
        ErrorKind::Exhausted => (StatusCode::SERVICE_UNAVAILABLE, FailureType::ResourceExceeded),
        ErrorKind::Cancelled => (StatusCode::REQUEST_TIMEOUT, FailureType::QueryCancelled),
        ErrorKind::Denied => (StatusCode::UNAUTHORIZED, FailureType::AuthException),
        ErrorKind::Corrupt | ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, FailureType::InternalError),
        // Kinds grow; a new one is ours to explain until it is named here.
        _ => (StatusCode::INTERNAL_SERVER_ERROR, FailureType::InternalError),
    }
}

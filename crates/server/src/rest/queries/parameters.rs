//! Parameters: Rockset's types and values to ours.

use outcrop_ingest::{TextSettings, text};
use outcrop_types::{DataType, Error, Result as OutcropResult, Value, jsonb};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::failure::{Failure, Result};
use super::request::QueryParameter;

/// The type that a parameter asks for. `None` leaves it to the place where it stands: a string is like a quoted literal.
///
/// # Errors
/// For a type name that Rockset does not have.
pub(super) fn declared_type(parameter: &QueryParameter) -> Result<Option<DataType>> {
    let Some(name) = &parameter.type_name else { return Ok(None) };
    Ok(match name.to_ascii_lowercase().as_str() {
        "int" | "integer" => Some(DataType::Int8),
        "float" | "number" => Some(DataType::Float8),
        "bool" | "boolean" => Some(DataType::Bool),
        "date" => Some(DataType::Date),
        "time" => Some(DataType::Time),
        "datetime" => Some(DataType::Timestamp),
        "timestamp" => Some(DataType::TimestampTz),
        "bytes" => Some(DataType::Bytea),
        "object" => Some(DataType::Jsonb),
        "u256" => Some(DataType::Numeric { precision: 38, scale: 0 }),
        "" | "string" | "array" | "null" => None,
        _ => {
            return Err(Failure::invalid(format!(
                "parameter \"{}\" has the unknown type \"{name}\"",
                label(parameter)
            ))
            .with_hint("Types are int, float, bool, string, date, datetime, time, timestamp, bytes, array, object."));
        }
    })
}

/// The type of a parameter whose place does not tell.
pub(super) fn assumed_type(parameter: &QueryParameter) -> DataType {
    let first = parameter.value.as_ref().and_then(|raw| raw.get().bytes().next());
    match first {
        Some(b't' | b'f') => DataType::Bool,
        Some(b'-' | b'0'..=b'9') => {
            let is_integer = parameter.value.as_ref().is_some_and(|raw| raw.get().parse::<i64>().is_ok());
            if is_integer { DataType::Int8 } else { DataType::Float8 }
        }
        Some(b'[' | b'{') => DataType::Jsonb,
        Some(_) | None => DataType::Text,
    }
}

/// The value of a parameter, in the type that the statement wants.
///
/// # Errors
/// For text that does not parse as the type.
pub(super) fn value(parameter: &QueryParameter, data_type: &DataType) -> Result<Value> {
    let Some(raw) = &parameter.value else { return Ok(Value::Null) };
    if parameter.type_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("null")) {
        return Ok(Value::Null);
    }
    json_value(raw, data_type).map_err(|error| {
        let error = error.with_context(format!("parameter \"{}\"", label(parameter)));
        Failure::from(error)
    })
}

/// `{"__rockset_type": "date", "value": "2024-01-02"}`
#[derive(Debug, Deserialize)]
struct Wrapped {
    __rockset_type: String,
    value: Box<RawValue>,
}

fn json_value(raw: &RawValue, data_type: &DataType) -> OutcropResult<Value> {
    let json = raw.get();
    let parse = |text: &str| text::parse(data_type, text, &TextSettings::default());
    match json.bytes().next() {
        Some(b'n') => Ok(Value::Null),
        Some(b'"') => {
            let string: String = serde_json::from_str(json).map_err(unreadable)?;
            if let DataType::Array(_) = data_type
                && string.trim_start().starts_with('[')
                && let Ok(array) = RawValue::from_string(string.trim().to_owned())
            {
                return json_value(&array, data_type);
            }
            parse(&string)
        }
        Some(b'[') => {
            let DataType::Array(item) = data_type else { return parse(json) };
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).map_err(unreadable)?;
            items.iter().map(|raw| json_value(raw, item)).collect::<OutcropResult<_>>().map(Value::Array)
        }
        Some(b'{') => match serde_json::from_str::<Wrapped>(json) {
            Ok(wrapped) if !wrapped.__rockset_type.is_empty() => json_value(&wrapped.value, data_type),
            Ok(_) | Err(_) => parse(json),
        },
        Some(b'-' | b'0'..=b'9') => parse(&integral(json, data_type)),
        Some(_) | None => parse(json),
    }
}

/// `1.0` and `1e3` are integers too.
fn integral(json: &str, data_type: &DataType) -> String {
    let is_integer = matches!(data_type, DataType::Int2 | DataType::Int4 | DataType::Int8);
    if !is_integer || !json.contains(['.', 'e', 'E']) {
        return json.to_owned();
    }
    let plain = jsonb::normalize(json).unwrap_or_else(|_not_a_number| json.to_owned());
    match plain.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        Some(_) | None => plain,
    }
}

fn unreadable(source: serde_json::Error) -> Error {
    Error::new(outcrop_types::Condition::InvalidTextRepresentation, "a value is not valid JSON").with_source(source)
}

/// How errors name a parameter.
fn label(parameter: &QueryParameter) -> &str {
    parameter.name.as_deref().unwrap_or("?")
}

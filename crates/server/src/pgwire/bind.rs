//! Parameters: from their wire form to values of the types that the statement wants.

use bytes::Bytes;
use outcrop_ingest::{TextSettings, binary, text};
use outcrop_types::{Condition, DataType, Error, Result, Value};
use outcrop_wire::{Bind, Format};

use super::wire_type::format_of;

/// How much of a parameter an error shows.
const SHOWN_CHARS: usize = 64;

/// Checks the counts of a Bind message and decodes its parameters.
///
/// # Errors
/// `ProtocolViolation` where counts differ; what [`text::parse`] and [`binary::decode`] say, with the parameter as context.
pub(super) fn decode_parameters(
    bind: &Bind,
    types: &[DataType],
    columns: usize,
    settings: &TextSettings,
) -> Result<Vec<Value>> {
    let given = bind.parameters.len();
    if bind.formats.len() > 1 && bind.formats.len() != given {
        return Err(violation(format!(
            "bind message has {} parameter formats but {given} parameters",
            bind.formats.len()
        )));
    }
    if given != types.len() {
        return Err(violation(format!(
            "bind message supplies {given} parameters, but prepared statement \"{}\" requires {}",
            bind.statement,
            types.len()
        )));
    }
    if bind.result_formats.len() > 1 && bind.result_formats.len() != columns {
        return Err(violation(format!(
            "bind message has {} result formats but query has {columns} columns",
            bind.result_formats.len()
        )));
    }
    let parameters = bind.parameters.iter().zip(types).enumerate();
    parameters
        .map(|(position, (bytes, data_type))| {
            let Some(bytes) = bytes else { return Ok(Value::Null) };
            let format = format_of(&bind.formats, position);
            decode(bytes, format, data_type, settings)
                .map_err(|error| name(error, &bind.portal, position, bytes, format))
        })
        .collect()
}

fn decode(bytes: &Bytes, format: Format, data_type: &DataType, settings: &TextSettings) -> Result<Value> {
    match format {
        Format::Binary => binary::decode(data_type, bytes),
        Format::Text => match std::str::from_utf8(bytes) {
            Ok(value) => text::parse(data_type, value, settings),
            Err(error) => {
                let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
                Err(Error::new(
                    Condition::CharacterNotInRepertoire,
                    format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"),
                ))
            }
        },
    }
}

/// Adds which parameter it was.
fn name(error: Error, portal: &str, position: usize, bytes: &Bytes, format: Format) -> Error {
    let portal = if portal.is_empty() { "unnamed portal".to_owned() } else { format!("portal \"{portal}\"") };
    let number = position + 1;
    error.with_context(match format {
        Format::Binary => format!("{portal} parameter ${number}"),
        Format::Text => {
            let shown: String = String::from_utf8_lossy(bytes).chars().take(SHOWN_CHARS).collect();
            format!("{portal} parameter ${number} = '{shown}'")
        }
    })
}

fn violation(message: String) -> Error {
    Error::new(Condition::ProtocolViolation, message)
}

//! `bytea`: hex and escape format.

use outcrop_types::{Condition, Error, Result};

use super::ByteaOutput;

/// Reads `\x00ff` or the escape format.
///
/// # Errors
/// `InvalidParameterValue` for bad hexadecimal digits, `InvalidTextRepresentation` for bad escapes.
pub fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escapes(text),
    }
}

/// Writes bytes in the wanted format.
pub fn write_bytea(out: &mut Vec<u8>, bytes: &[u8], format: ByteaOutput) {
    match format {
        ByteaOutput::Hex => {
            out.reserve(2 + bytes.len() * 2);
            out.extend_from_slice(b"\\x");
            for byte in bytes {
                out.push(hex_digit(byte >> 4));
                out.push(hex_digit(byte & 15));
            }
        }
        ByteaOutput::Escape => {
            for byte in bytes {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    0x20..=0x7e => out.push(*byte),
                    byte => {
                        let octal = [byte >> 6, (byte >> 3) & 7, byte & 7].map(|digit| b'0' + digit);
                        out.push(b'\\');
                        out.extend_from_slice(&octal);
                    }
                }
            }
        }
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn parse_hex(hex: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    let mut high: Option<u8> = None;
    for c in hex.chars() {
        if high.is_none() && matches!(c, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(|| {
            Error::new(Condition::InvalidParameterValue, format!("invalid hexadecimal digit: \"{c}\""))
        })?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    if high.is_some() {
        return Err(Error::new(Condition::InvalidParameterValue, "invalid hexadecimal data: odd number of digits"));
    }
    Ok(bytes)
}

fn parse_escapes(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        rest = match tail {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                tail
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            _ => {
                return Err(Error::new(Condition::InvalidTextRepresentation, "invalid input syntax for type bytea"));
            }
        };
    }
    Ok(bytes)
}

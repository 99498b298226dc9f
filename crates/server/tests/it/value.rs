//! Binary values as a client sees them, in the text that the server would have sent.

use std::sync::Arc;

use arrow_array::{ArrayRef, IntervalMonthDayNanoArray, types::IntervalMonthDayNano};
use outcrop_ingest::binary::oid;
use outcrop_ingest::{Cells, ColumnBuilder, TextSettings};

/// A binary value of a type in PostgreSQL's text format.
pub(crate) fn to_text(type_oid: u32, bytes: &[u8], settings: &TextSettings) -> String {
    let array = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    match type_oid {
        number if oid::is_catalog_number(number) => u32::from_be_bytes(bytes.try_into().unwrap()).to_string(),
        oid::NUMERIC => numeric_text(bytes),
        oid::INTERVAL => {
            let microseconds = i64::from_be_bytes(array(0..8).try_into().unwrap());
            let days = i32::from_be_bytes(array(8..12).try_into().unwrap());
            let months = i32::from_be_bytes(array(12..16).try_into().unwrap());
            let interval = IntervalMonthDayNano::new(months, days, microseconds * 1_000);
            let column: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![interval]));
            cell_text(&Cells::try_new(column.as_ref()).unwrap(), settings)
        }
        array_oid if is_array(array_oid) => array_text(bytes, settings),
        other => match oid::data_type(other) {
            Some(data_type) => {
                let mut column = ColumnBuilder::new(&data_type);
                column.append_binary(bytes).unwrap();
                let column = column.finish().unwrap();
                cell_text(&Cells::of_type(column.as_ref(), &data_type).unwrap(), settings)
            }
            // Types of the catalog are text or oids.
            None => String::from_utf8(bytes.to_vec()).unwrap(),
        },
    }
}

/// How many digits stand behind the point travels with the value, not with the type.
fn numeric_text(bytes: &[u8]) -> String {
    let shorts: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
    let (weight, sign, scale) = (shorts[1], shorts[2], usize::try_from(shorts[3]).unwrap());
    let groups = &shorts[4..];
    assert_eq!(groups.len(), usize::try_from(shorts[0]).unwrap());
    let group = |place: i16| {
        let at = usize::try_from(weight - place).ok();
        at.and_then(|at| groups.get(at)).map_or_else(|| "0000".to_owned(), |digits| format!("{digits:04}"))
    };
    let whole: String = (0..=weight.max(0)).rev().map(group).collect();
    let whole = whole.trim_start_matches('0');
    let after: String = (1..=i16::try_from(scale.div_ceil(4)).unwrap()).map(|place| group(-place)).collect();
    assert!(after[scale..].bytes().all(|digit| digit == b'0'), "digits behind the scale");
    let sign = if sign == 0x4000 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{}{point}{}", if whole.is_empty() { "0" } else { whole }, &after[..scale])
}

fn cell_text(cells: &Cells<'_>, settings: &TextSettings) -> String {
    let mut text = Vec::new();
    cells.write_text(0, settings, &mut text);
    String::from_utf8(text).unwrap()
}

fn is_array(type_oid: u32) -> bool {
    type_oid == oid::INTERVAL_ARRAY
        || oid::data_type(type_oid).is_some_and(|data_type| matches!(data_type, outcrop_types::DataType::Array(_)))
}

fn array_text(bytes: &[u8], settings: &TextSettings) -> String {
    let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let item_oid = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
    if int(0) == 0 {
        return "{}".to_owned();
    }
    assert_eq!(int(0), 1, "dimensions");
    let mut at = 20;
    let mut items = Vec::new();
    for _ in 0..int(12) {
        let length = int(at);
        at += 4;
        items.push(match usize::try_from(length) {
            Err(_null) => "NULL".to_owned(),
            Ok(length) => {
                let text = to_text(item_oid, &bytes[at..at + length], settings);
                at += length;
                quoted(&text)
            }
        });
    }
    assert_eq!(at, bytes.len());
    format!("{{{}}}", items.join(","))
}

fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | '"' | '\\'));
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

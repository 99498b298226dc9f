//! Order and equality of values and rows as the database means them, and differences that a person can read.

use std::cmp::Ordering;
use std::fmt;

use outcrop_types::Value;

use crate::Row;

/// Most rows of a difference that are printed on each side.
const ROWS_PRINTED_MAX: usize = 20;

/// A total order of values: NULL first, NaN equal to itself and above all numbers, -0.0 equal to 0.0, text bytewise.
/// Values of different kinds are ordered by kind.
pub fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b))
        | (Value::Time(a), Value::Time(b))
        | (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::TimestampTz(a), Value::TimestampTz(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => compare_floats(*a, *b),
        (Value::Decimal(a, a_scale), Value::Decimal(b, b_scale)) => a_scale.cmp(b_scale).then(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => compare_rows(a, b),
        (a, b) => kind(a).cmp(&kind(b)),
    }
}

/// Lexicographic order of rows.
pub fn compare_rows(a: &[Value], b: &[Value]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| compare_values(a, b))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Float(_) => 3,
        Value::Decimal(..) => 4,
        Value::Text(_) => 5,
        Value::Bytes(_) => 6,
        Value::Date(_) => 7,
        Value::Time(_) => 8,
        Value::Timestamp(_) => 9,
        Value::TimestampTz(_) => 10,
        Value::Uuid(_) => 11,
        Value::Array(_) => 12,
    }
}

/// Values with the order of [`compare_rows`]: a primary key, or a row in a bag.
#[derive(Clone, Debug)]
pub struct Key(pub Row);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_rows(&self.0, &other.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, value) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match value {
                Value::Text(text) => write!(f, "{text:?}")?,
                Value::Null => f.write_str("NULL")?,
                Value::Bool(_)
                | Value::Int(_)
                | Value::Float(_)
                | Value::Decimal(..)
                | Value::Bytes(_)
                | Value::Date(_)
                | Value::Time(_)
                | Value::Timestamp(_)
                | Value::TimestampTz(_)
                | Value::Uuid(_)
                | Value::Array(_) => write!(f, "{value}")?,
            }
        }
        f.write_str(")")
    }
}

/// How two bags of rows differ. `Display` lists rows, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Expected and not there, as often as they are missing.
    pub missing: Vec<Key>,
    /// There and not expected, as often as they are too many.
    pub unexpected: Vec<Key>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, sign, rows) in [("missing", '-', &self.missing), ("unexpected", '+', &self.unexpected)] {
            writeln!(f, "{} rows {title}", rows.len())?;
            for row in rows.iter().take(ROWS_PRINTED_MAX) {
                writeln!(f, "  {sign} {row}")?;
            }
            if rows.len() > ROWS_PRINTED_MAX {
                writeln!(f, "  {sign} … and {} more", rows.len() - ROWS_PRINTED_MAX)?;
            }
        }
        Ok(())
    }
}

/// Compares bags: the order of rows does not matter, how often each is there does.
///
/// # Errors
/// The difference, if there is one.
pub fn same_rows(expected: &[Row], actual: &[Row]) -> Result<(), Difference> {
    let sorted = |rows: &[Row]| {
        let mut keys: Vec<Key> = rows.iter().cloned().map(Key).collect();
        keys.sort();
        keys
    };
    let (mut expected, mut actual) = (sorted(expected).into_iter().peekable(), sorted(actual).into_iter().peekable());
    let mut difference = Difference { missing: Vec::new(), unexpected: Vec::new() };
    loop {
        let order = match (expected.peek(), actual.peek()) {
            (Some(wanted), Some(found)) => wanted.cmp(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        if order.is_le() {
            let wanted = expected.next();
            difference.missing.extend(wanted.filter(|_| order.is_ne()));
        }
        if order.is_ge() {
            let found = actual.next();
            difference.unexpected.extend(found.filter(|_| order.is_ne()));
        }
    }
    if difference.missing.is_empty() && difference.unexpected.is_empty() { Ok(()) } else { Err(difference) }
}

/// Panics with a readable difference unless the bags are equal. `context` says what was compared.
#[track_caller]
pub fn assert_same_rows(context: &str, expected: &[Row], actual: &[Row]) {
    if let Err(difference) = same_rows(expected, actual) {
        panic!("{context}: {} rows expected, {} rows found\n{difference}", expected.len(), actual.len());
    }
}

//! Collecting zone maps while a segment is written.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use outcrop_format::meta::Zone;
use outcrop_types::{DataType, Value};

/// Longest text or bytes kept as a bound.
const BOUND_BYTES_MAX: usize = 32;

/// Builds the zone maps of a segment from its batches, in row order.
pub(crate) struct ZoneBuilder {
    block_rows: u32,
    /// Rows of the open block so far.
    filled: u32,
    columns: Vec<ColumnBuilder>,
}

struct ColumnBuilder {
    data_type: DataType,
    done: Vec<Zone>,
    open: OpenZone,
}

/// The block that is being filled.
#[derive(Default)]
struct OpenZone {
    range: Option<(Value, Value)>,
    null_count: u32,
}

impl ZoneBuilder {
    /// Zone maps for columns of these types, with blocks of `block_rows` rows.
    pub(crate) fn new(types: impl IntoIterator<Item = DataType>, block_rows: u32) -> Self {
        let columns = types
            .into_iter()
            .map(|data_type| ColumnBuilder { data_type, done: Vec::new(), open: OpenZone::default() })
            .collect();
        Self { block_rows: block_rows.max(1), filled: 0, columns }
    }

    /// Adds rows: one array per column, all of length `rows`.
    pub(crate) fn append(&mut self, arrays: &[ArrayRef], rows: u32) {
        let mut start = 0;
        while start < rows {
            let count = (rows - start).min(self.block_rows - self.filled);
            for (column, array) in self.columns.iter_mut().zip(arrays) {
                column.append(&array.slice(index(start), index(count)));
            }
            start += count;
            self.filled += count;
            if self.filled == self.block_rows {
                self.close();
            }
        }
    }

    /// The zone maps, in the order of the columns.
    pub(crate) fn finish(mut self) -> Vec<Vec<Zone>> {
        if self.filled > 0 {
            self.close();
        }
        self.columns.into_iter().map(|column| column.done).collect()
    }

    fn close(&mut self) {
        self.filled = 0;
        for column in &mut self.columns {
            let open = std::mem::take(&mut column.open);
            let (min, max) = match open.range {
                Some((min, max)) => (Some(shorten_down(min)), shorten_up(max)),
                None => (None, None),
            };
            column.done.push(Zone { min, max, null_count: open.null_count });
        }
    }
}

impl ColumnBuilder {
    fn append(&mut self, array: &ArrayRef) {
        self.open.null_count += u32::try_from(array.logical_null_count()).unwrap_or(u32::MAX);
        let Some((min, max)) = bounds(array, &self.data_type) else { return };
        self.open.range = Some(match self.open.range.take() {
            None => (min, max),
            Some((old_min, old_max)) => (lesser(old_min, min), greater(old_max, max)),
        });
    }
}

/// The bounds of all blocks together, and their NULLs. A bound that one block with values does not know is unknown.
pub(crate) fn merge_zones(zones: &[Zone], rows: impl Fn(usize) -> u32) -> Zone {
    let mut merged = Zone { min: None, max: None, null_count: 0 };
    let mut first = true;
    for (block, zone) in zones.iter().enumerate() {
        merged.null_count += zone.null_count;
        if zone.null_count >= rows(block) {
            continue;
        }
        if first {
            (merged.min, merged.max) = (zone.min.clone(), zone.max.clone());
            first = false;
            continue;
        }
        merged.min = merged.min.take().zip(zone.min.clone()).map(|(a, b)| lesser(a, b));
        merged.max = merged.max.take().zip(zone.max.clone()).map(|(a, b)| greater(a, b));
    }
    merged
}

fn lesser(a: Value, b: Value) -> Value {
    if b.compare(&a) == Some(Ordering::Less) { b } else { a }
}

fn greater(a: Value, b: Value) -> Value {
    if b.compare(&a) == Some(Ordering::Greater) { b } else { a }
}

/// Least and greatest value of an array, or `None` when it has no value or its type keeps no bounds: arrays, jsonb (its
/// order is not that of its text) and decimals beyond 38 digits.
fn bounds(array: &ArrayRef, data_type: &DataType) -> Option<(Value, Value)> {
    match data_type {
        DataType::Bool => {
            let array = array.as_boolean();
            let trues = array.true_count();
            let values = array.len() - array.null_count();
            (values > 0).then_some((Value::Bool(trues == values), Value::Bool(trues > 0)))
        }
        DataType::Int2 => ordered::<Int16Type>(array, |v| Value::Int(i64::from(v))),
        DataType::Int4 => ordered::<Int32Type>(array, |v| Value::Int(i64::from(v))),
        DataType::Int8 => ordered::<Int64Type>(array, Value::Int),
        DataType::Float4 => floats::<Float32Type>(array),
        DataType::Float8 => floats::<Float64Type>(array),
        DataType::Numeric { precision, scale } if *precision <= 38 => {
            ordered::<Decimal128Type>(array, |digits| Value::Decimal(digits, *scale))
        }
        DataType::Numeric { .. } | DataType::Jsonb | DataType::Array(_) => None,
        DataType::Text | DataType::Varchar { .. } => {
            let array = array.as_string_view();
            let min = array.iter().flatten().min()?;
            let max = array.iter().flatten().max()?;
            Some((Value::Text(min.to_owned()), Value::Text(max.to_owned())))
        }
        DataType::Bytea => {
            let array = array.as_binary_view();
            let min = array.iter().flatten().min()?;
            let max = array.iter().flatten().max()?;
            Some((Value::Bytes(min.to_vec()), Value::Bytes(max.to_vec())))
        }
        DataType::Date => ordered::<Date32Type>(array, Value::Date),
        DataType::Time => ordered::<Time64MicrosecondType>(array, Value::Time),
        DataType::Timestamp => ordered::<TimestampMicrosecondType>(array, Value::Timestamp),
        DataType::TimestampTz => ordered::<TimestampMicrosecondType>(array, Value::TimestampTz),
        DataType::Uuid => {
            let array = array.as_fixed_size_binary();
            let min = array.iter().flatten().min()?;
            let max = array.iter().flatten().max()?;
            Some((Value::Uuid(min.try_into().ok()?), Value::Uuid(max.try_into().ok()?)))
        }
    }
}

fn ordered<T>(array: &ArrayRef, value: impl Fn(T::Native) -> Value) -> Option<(Value, Value)>
where
    T: ArrowPrimitiveType,
    T::Native: Ord,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let (min, max) = extremes(array, Ord::cmp)?;
    Some((value(min), value(max)))
}

fn floats<T>(array: &ArrayRef) -> Option<(Value, Value)>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64>,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let (min, max) = extremes(array, |&a, &b| compare_floats(a.into(), b.into()))?;
    Some((Value::Float(min.into()), Value::Float(max.into())))
}

/// SQL's order: NaN is greatest and equal to itself, the zeros are equal.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn extremes<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    order: impl Fn(&T::Native, &T::Native) -> Ordering,
) -> Option<(T::Native, T::Native)> {
    if array.null_count() == 0 {
        return min_max(array.values().iter().copied(), order);
    }
    min_max(array.iter().flatten(), order)
}

fn min_max<V: Copy>(mut values: impl Iterator<Item = V>, order: impl Fn(&V, &V) -> Ordering) -> Option<(V, V)> {
    let first = values.next()?;
    Some(values.fold((first, first), |(min, max), value| {
        let min = if order(&value, &min).is_lt() { value } else { min };
        let max = if order(&value, &max).is_gt() { value } else { max };
        (min, max)
    }))
}

/// A short value that is not greater: a prefix.
fn shorten_down(value: Value) -> Value {
    match value {
        Value::Text(text) if text.len() > BOUND_BYTES_MAX => Value::Text(prefix(&text).to_owned()),
        Value::Bytes(mut bytes) => {
            bytes.truncate(BOUND_BYTES_MAX);
            Value::Bytes(bytes)
        }
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(..)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Uuid(_)
        | Value::Array(_)) => other,
    }
}

/// A short value that is not less, or `None` when there is none: the prefix with its last raisable part raised.
fn shorten_up(value: Value) -> Option<Value> {
    match value {
        Value::Text(text) if text.len() > BOUND_BYTES_MAX => {
            let mut short: Vec<char> = prefix(&text).chars().collect();
            while let Some(last) = short.pop() {
                // The range of `char` skips the surrogates, so the next one is the next in bytewise order too.
                if let Some(raised) = (last..=char::MAX).nth(1) {
                    short.push(raised);
                    return Some(Value::Text(short.into_iter().collect()));
                }
            }
            None
        }
        Value::Bytes(mut bytes) if bytes.len() > BOUND_BYTES_MAX => {
            bytes.truncate(BOUND_BYTES_MAX);
            while let Some(last) = bytes.pop() {
                if let Some(raised) = last.checked_add(1) {
                    bytes.push(raised);
                    return Some(Value::Bytes(bytes));
                }
            }
            None
        }
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(..)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Uuid(_)
        | Value::Array(_)) => Some(other),
    }
}

fn prefix(text: &str) -> &str {
    text.get(..text.floor_char_boundary(BOUND_BYTES_MAX)).unwrap_or_default()
}

fn index(rows: u32) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

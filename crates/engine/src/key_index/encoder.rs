//! Keys of rows to [`KeyHash`]es.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use outcrop_types::{Condition, DataType, Error, KeyIndex, LogId, Result, TableSchema};
use xxhash_rust::xxh3::{xxh3_128_with_secret, xxh3_128_with_seed};

use super::KeyHash;
use crate::memtable::value_at;

/// Longest key of a row, encoded, in bytes (architecture §10).
pub(crate) const KEY_BYTES_MAX: usize = 1_024;

/// Turns the key columns of rows into [`KeyHash`]es, without loss as long as keys are short:
///
/// | key | 128 bits |
/// |---|---|
/// | columns of fixed width, at most 16 bytes together | the encoded key, mixed by a bijection |
/// | others, at most 15 bytes encoded | the encoded key and its length, mixed by a bijection |
/// | longer ones | xxh3-128 of the encoded key, keyed by the log's id |
///
/// A key is encoded so that bytewise order is the order of keys: integers and times big-endian with the sign flipped,
/// floats likewise with all bits flipped when negative and with one NaN and one zero, text and bytes as they are, with
/// 0x00 written as 00 FF and 00 01 at the end unless the column is the last one.
pub(crate) struct KeyEncoder {
    constraint: String,
    columns: Vec<KeyColumn>,
    /// Bytes of a key, if that is the same for all and at most 16.
    fixed_bytes: Option<usize>,
    secret: [u8; SECRET_BYTES],
}

struct KeyColumn {
    name: String,
    data_type: DataType,
    /// Position in the table's batches.
    position: usize,
}

impl KeyEncoder {
    /// The encoder of one key index of a table.
    pub(crate) fn new(schema: &TableSchema, index: &KeyIndex, log: LogId) -> Self {
        let columns: Vec<KeyColumn> = index
            .columns
            .iter()
            .filter_map(|id| {
                let column = schema.column(*id)?;
                let (name, data_type) = (column.name.clone(), column.data_type.clone());
                Some(KeyColumn { name, data_type, position: schema.position(*id)? })
            })
            .collect();
        let width: Option<usize> = columns.iter().map(|column| fixed_width(&column.data_type)).sum();
        let fixed_bytes = width.filter(|bytes| *bytes <= WHOLE_BYTES);
        Self { constraint: index.name.clone(), columns, fixed_bytes, secret: secret_of(log) }
    }

    /// Hashes of keys, given as arrays of the key columns in key order.
    ///
    /// # Errors
    /// `ProgramLimitExceeded` when a key is longer than [`KEY_BYTES_MAX`]; `InternalError` when the arrays are not the key's
    /// columns or hold a NULL.
    pub(crate) fn encode(&self, key_columns: &[ArrayRef]) -> Result<Vec<KeyHash>> {
        self.encode_up_to(key_columns, KEY_BYTES_MAX)
    }

    /// As [`KeyEncoder::encode`], for keys that are only looked for: a key that is too long is one that nobody has.
    ///
    /// # Errors
    /// `InternalError` when the arrays are not the key's columns or hold a NULL.
    pub(crate) fn encode_wanted(&self, key_columns: &[ArrayRef]) -> Result<Vec<KeyHash>> {
        self.encode_up_to(key_columns, usize::MAX)
    }

    /// The DETAIL of a unique violation by a row of a batch of the table: `Key (id)=(1) already exists.`
    pub(crate) fn describe(&self, batch: &RecordBatch, row: usize) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let values: Vec<String> = self
            .columns
            .iter()
            .map(|column| match batch.columns().get(column.position) {
                Some(array) => value_at(array, row, &column.data_type).to_string(),
                None => String::new(),
            })
            .collect();
        format!("Key ({})=({}) already exists.", names.join(", "), values.join(", "))
    }

    fn encode_up_to(&self, key_columns: &[ArrayRef], bytes_max: usize) -> Result<Vec<KeyHash>> {
        self.check(key_columns)?;
        let rows = key_columns.first().map_or(0, Array::len);
        match self.fixed_bytes {
            Some(_) => self.encode_fixed(key_columns, rows),
            None => self.encode_rows(key_columns, rows, bytes_max),
        }
    }

    fn check(&self, key_columns: &[ArrayRef]) -> Result<()> {
        let right = key_columns.len() == self.columns.len()
            && key_columns.iter().zip(&self.columns).all(|(array, column)| {
                array.data_type() == &column.data_type.to_arrow() && array.logical_null_count() == 0
            })
            && key_columns.iter().all(|array| key_columns.first().is_some_and(|first| first.len() == array.len()));
        if right { Ok(()) } else { Err(not_the_key()) }
    }

    /// Column by column: each shifts the bits of the former ones up and puts its own below.
    fn encode_fixed(&self, key_columns: &[ArrayRef], rows: usize) -> Result<Vec<KeyHash>> {
        let mut keys = vec![0_u128; rows];
        for (array, column) in key_columns.iter().zip(&self.columns) {
            append_fixed(&mut keys, array, &column.data_type)?;
        }
        Ok(keys.into_iter().map(KeyHash::of_whole).collect())
    }

    fn encode_rows(&self, key_columns: &[ArrayRef], rows: usize, bytes_max: usize) -> Result<Vec<KeyHash>> {
        let mut key = Vec::with_capacity(64);
        let mut hashes = Vec::with_capacity(rows);
        for row in 0..rows {
            key.clear();
            for (position, (array, column)) in key_columns.iter().zip(&self.columns).enumerate() {
                let is_last = position + 1 == self.columns.len();
                append_value(&mut key, array, row, &column.data_type, is_last)?;
            }
            if key.len() > bytes_max {
                return Err(self.too_long(key.len()));
            }
            hashes.push(self.hash(&key));
        }
        Ok(hashes)
    }

    fn hash(&self, key: &[u8]) -> KeyHash {
        let mut whole = [0; WHOLE_BYTES];
        match (whole.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(head), Ok(length)) if key.len() < WHOLE_BYTES => {
                head.copy_from_slice(key);
                if let Some(last) = whole.last_mut() {
                    *last = length;
                }
                KeyHash::of_whole(u128::from_be_bytes(whole))
            }
            _ => KeyHash::of_bits(xxh3_128_with_secret(key, &self.secret)),
        }
    }

    fn too_long(&self, bytes: usize) -> Error {
        Error::new(
            Condition::ProgramLimitExceeded,
            format!("key of {bytes} bytes exceeds the maximum of {KEY_BYTES_MAX} for index \"{}\"", self.constraint),
        )
        .with_hint("Use a shorter key, such as a hash of the value.")
    }
}

fn not_the_key() -> Error {
    Error::internal("the columns given are not the key's")
}

/// Bytes of the encoding of every value of a type, if that is the same for all.
fn fixed_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Bool => Some(1),
        DataType::Int2 => Some(2),
        DataType::Int4 | DataType::Float4 | DataType::Date => Some(4),
        DataType::Int8 | DataType::Float8 | DataType::Time | DataType::Timestamp | DataType::TimestampTz => Some(8),
        DataType::Numeric { precision, .. } if *precision <= 38 => Some(16),
        DataType::Uuid => Some(16),
        DataType::Numeric { .. } => Some(32),
        DataType::Text | DataType::Varchar { .. } | DataType::Bytea | DataType::Jsonb | DataType::Array(_) => None,
    }
}

/// Appends a column of fixed width to keys that are built as numbers.
fn append_fixed(keys: &mut [u128], array: &ArrayRef, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Bool => shift_in(keys, 8, array.as_boolean().values().iter().map(u128::from)),
        DataType::Int2 => shift_in(keys, 16, bits::<Int16Type>(array, |v| u128::from(flip_16(v)))),
        DataType::Int4 => shift_in(keys, 32, bits::<Int32Type>(array, |v| u128::from(flip_32(v)))),
        DataType::Date => shift_in(keys, 32, bits::<Date32Type>(array, |v| u128::from(flip_32(v)))),
        DataType::Int8 => shift_in(keys, 64, bits::<Int64Type>(array, |v| u128::from(flip_64(v)))),
        DataType::Time => shift_in(keys, 64, bits::<Time64MicrosecondType>(array, |v| u128::from(flip_64(v)))),
        DataType::Timestamp | DataType::TimestampTz => {
            shift_in(keys, 64, bits::<TimestampMicrosecondType>(array, |v| u128::from(flip_64(v))));
        }
        DataType::Float4 => shift_in(keys, 32, bits::<Float32Type>(array, |v| u128::from(order_32(v)))),
        DataType::Float8 => shift_in(keys, 64, bits::<Float64Type>(array, |v| u128::from(order_64(v)))),
        DataType::Numeric { .. } => shift_in(keys, 128, bits::<Decimal128Type>(array, flip_128)),
        DataType::Uuid => {
            let whole = |bytes: &[u8]| bytes.iter().fold(0, |key, byte| key << 8 | u128::from(*byte));
            let array = array.as_fixed_size_binary();
            shift_in(keys, 128, (0..array.len()).map(|row| whole(array.value(row))));
        }
        DataType::Text | DataType::Varchar { .. } | DataType::Bytea | DataType::Jsonb | DataType::Array(_) => {
            return Err(not_the_key());
        }
    }
    Ok(())
}

fn shift_in(keys: &mut [u128], width: u32, values: impl Iterator<Item = u128>) {
    for (key, value) in keys.iter_mut().zip(values) {
        *key = key.checked_shl(width).unwrap_or(0) | value;
    }
}

fn bits<T: ArrowPrimitiveType>(array: &ArrayRef, bits: impl Fn(T::Native) -> u128) -> impl Iterator<Item = u128> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.values().iter().map(move |value| bits(*value))
}

/// Appends the encoding of one value.
pub(super) fn append_value(
    key: &mut Vec<u8>,
    array: &ArrayRef,
    row: usize,
    data_type: &DataType,
    is_last: bool,
) -> Result<()> {
    match data_type {
        DataType::Bool => key.push(u8::from(array.as_boolean().value(row))),
        DataType::Int2 => key.extend(flip_16(value::<Int16Type>(array, row)).to_be_bytes()),
        DataType::Int4 => key.extend(flip_32(value::<Int32Type>(array, row)).to_be_bytes()),
        DataType::Date => key.extend(flip_32(value::<Date32Type>(array, row)).to_be_bytes()),
        DataType::Int8 => key.extend(flip_64(value::<Int64Type>(array, row)).to_be_bytes()),
        DataType::Time => key.extend(flip_64(value::<Time64MicrosecondType>(array, row)).to_be_bytes()),
        DataType::Timestamp | DataType::TimestampTz => {
            key.extend(flip_64(value::<TimestampMicrosecondType>(array, row)).to_be_bytes());
        }
        DataType::Float4 => key.extend(order_32(value::<Float32Type>(array, row)).to_be_bytes()),
        DataType::Float8 => key.extend(order_64(value::<Float64Type>(array, row)).to_be_bytes()),
        DataType::Numeric { precision, .. } if *precision <= 38 => {
            key.extend(flip_128(value::<Decimal128Type>(array, row)).to_be_bytes());
        }
        DataType::Numeric { .. } => {
            let mut bytes = value::<Decimal256Type>(array, row).to_be_bytes();
            if let Some(first) = bytes.first_mut() {
                *first ^= 0x80;
            }
            key.extend(bytes);
        }
        DataType::Uuid => key.extend(array.as_fixed_size_binary().value(row)),
        DataType::Text | DataType::Varchar { .. } => {
            append_bytes(key, array.as_string_view().value(row).as_bytes(), is_last);
        }
        DataType::Bytea => append_bytes(key, array.as_binary_view().value(row), is_last),
        DataType::Jsonb | DataType::Array(_) => return Err(not_the_key()),
    }
    Ok(())
}

fn append_bytes(key: &mut Vec<u8>, bytes: &[u8], is_last: bool) {
    if is_last {
        key.extend(bytes);
        return;
    }
    for &byte in bytes {
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.extend([0, 1]);
}

fn value<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn flip_16(value: i16) -> u16 {
    value.cast_unsigned() ^ (1 << 15)
}

fn flip_32(value: i32) -> u32 {
    value.cast_unsigned() ^ (1 << 31)
}

fn flip_64(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

fn flip_128(value: i128) -> u128 {
    value.cast_unsigned() ^ (1 << 127)
}

fn order_32(value: f32) -> u32 {
    let bits = if value.is_nan() { f32::NAN.to_bits() } else { (value + 0.0).to_bits() };
    if bits >> 31 == 0 { bits ^ (1 << 31) } else { !bits }
}

/// Bits in the order of the values. Adding zero turns -0.0 into 0.0 and leaves the rest alone.
fn order_64(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
    if bits >> 63 == 0 { bits ^ (1 << 63) } else { !bits }
}

/// The secret of a log's long keys, so that nobody can prepare keys that collide in every database.
fn secret_of(log: LogId) -> [u8; SECRET_BYTES] {
    let mut secret = [0; SECRET_BYTES];
    for (block, seed) in secret.chunks_exact_mut(16).zip(0..) {
        block.copy_from_slice(&xxh3_128_with_seed(log.as_bytes(), seed).to_le_bytes());
    }
    secret
}

/// Bytes that fit into a hash whole.
const WHOLE_BYTES: usize = 16;
/// Bytes of the secret that keys a hash; xxh3 asks for at least 136.
const SECRET_BYTES: usize = 192;

//! Keys of rows: their canonical bytes (version 1), and the 128 bits that stand for them in the key index (architecture W6).
//!
//! Bytewise order is the order of keys, and equal keys have equal bytes whatever width or scale their column has:
//!
//! | column | bytes |
//! |---|---|
//! | boolean | 0 or 1 |
//! | smallint, integer, bigint | 8: as a 64-bit integer, big-endian, sign flipped |
//! | real, double precision | 8: as a double, big-endian; sign flipped, all bits flipped when negative; one NaN, which is greatest; -0.0 is 0.0 |
//! | numeric | sign (0, 1, 2 for below, equal, above zero); then, unless zero, all bits of it flipped below zero: 128 + the power of ten `e` such that the number is 0.d₁d₂… · 10^e with d₁ ≠ 0; two digits a byte, plus 1, without trailing zeros; 0 |
//! | text, varchar | UTF-8; unless it is the last column, 00 is written 00 FF and 00 01 follows |
//! | bytea | likewise |
//! | date | 4: days since 1970, big-endian, sign flipped |
//! | time, timestamp, timestamptz | 8: µs, as a bigint |
//! | uuid | 16 |
//!
//! A key is its columns' bytes one after the other. Its [`KeyHash`] is made so:
//!
//! | key | 128 bits |
//! |---|---|
//! | columns of fixed width, at most 8 bytes together | the number that the bytes are, through a bijection of 64 bits: the upper half gives the key back |
//! | columns of fixed width, at most 16 bytes together | the number, through a bijection of 128 bits |
//! | others, at most 15 bytes | the bytes, zeros, and in the 16th byte their number, through the same bijection |
//! | longer ones | SipHash-2-4 of 128 bits, keyed by the index's secret |

mod columns;
mod hash;

use arrow_array::{Array, ArrayRef};
use outcrop_types::{DataType, KeySecret};
use siphasher::sip128::SipHasher24;

pub use hash::KeyHash;

/// Version of the canonical encoding and of the hashes; key runs carry it.
pub const KEY_ENCODING_VERSION: u16 = 1;

/// Bytes that fit into a hash whole.
const WHOLE_BYTES: usize = 16;

/// How much of a [`KeyHash`] tells keys of one index apart. Never grows: it says how many words there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWidth {
    /// The upper half, from which the lower one follows.
    Half,
    /// All of it.
    Whole,
}

/// What keeps columns from being the keys of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The columns are of other types, of different lengths, or hold a NULL.
    #[error("the columns given are not the key's")]
    Columns,
    /// A key has more bytes than the caller allows.
    #[error("key of {0} bytes")]
    TooLong(usize),
}

/// Encodes the keys of one index.
#[derive(Clone, Debug)]
pub struct KeyCodec {
    types: Vec<DataType>,
    form: Form,
    hasher: SipHasher24,
}

/// What all keys of an index have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Fixed width, at most 8 bytes.
    Half,
    /// Fixed width, at most 16 bytes.
    Whole,
    /// Any.
    Bytes,
}

impl KeyCodec {
    /// The codec of an index over columns of these types, in key order.
    pub fn new(types: Vec<DataType>, secret: &KeySecret) -> Self {
        let width: Option<usize> = types.iter().map(columns::fixed_width).sum();
        let form = match width {
            Some(0..=8) => Form::Half,
            Some(9..=WHOLE_BYTES) => Form::Whole,
            Some(_) | None => Form::Bytes,
        };
        Self { types, form, hasher: SipHasher24::new_with_key(secret.as_bytes()) }
    }

    /// How much of a hash tells keys apart.
    pub fn width(&self) -> KeyWidth {
        match self.form {
            Form::Half => KeyWidth::Half,
            Form::Whole | Form::Bytes => KeyWidth::Whole,
        }
    }

    /// The hashes of keys, given as arrays of the key columns in key order, none of whose keys may have more than
    /// `bytes_max` bytes.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn hashes(&self, key_columns: &[ArrayRef], bytes_max: usize) -> Result<Vec<KeyHash>, KeyError> {
        self.check(key_columns)?;
        let rows = key_columns.first().map_or(0, Array::len);
        if self.form == Form::Bytes {
            return self.hash_rows(key_columns, rows, bytes_max);
        }
        // Column by column: each shifts the bits of the former ones up and puts its own below.
        let mut keys = vec![0_u128; rows];
        for (array, data_type) in key_columns.iter().zip(&self.types) {
            columns::append_fixed(&mut keys, array, data_type)?;
        }
        Ok(match self.form {
            Form::Half => keys.into_iter().map(KeyHash::of_half).collect(),
            Form::Whole | Form::Bytes => keys.into_iter().map(KeyHash::of_whole).collect(),
        })
    }

    /// Appends the canonical bytes of one key.
    ///
    /// # Errors
    /// [`KeyError::Columns`].
    pub fn encode(&self, key_columns: &[ArrayRef], row: usize, key: &mut Vec<u8>) -> Result<(), KeyError> {
        for (position, (array, data_type)) in key_columns.iter().zip(&self.types).enumerate() {
            columns::append_value(key, array, row, data_type, position + 1 == self.types.len())?;
        }
        Ok(())
    }

    fn hash_rows(&self, key_columns: &[ArrayRef], rows: usize, bytes_max: usize) -> Result<Vec<KeyHash>, KeyError> {
        let mut key = Vec::with_capacity(64);
        let mut hashes = Vec::with_capacity(rows);
        for row in 0..rows {
            key.clear();
            self.encode(key_columns, row, &mut key)?;
            if key.len() > bytes_max {
                return Err(KeyError::TooLong(key.len()));
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
            _ => KeyHash::of_bits(u128::from(self.hasher.hash(key))),
        }
    }

    fn check(&self, key_columns: &[ArrayRef]) -> Result<(), KeyError> {
        let right = key_columns.len() == self.types.len()
            && key_columns.iter().zip(&self.types).all(|(array, data_type)| {
                array.data_type() == &data_type.to_arrow() && array.logical_null_count() == 0
            })
            && key_columns.iter().all(|array| key_columns.first().is_some_and(|first| first.len() == array.len()));
        if right { Ok(()) } else { Err(KeyError::Columns) }
    }
}

#[cfg(test)]
mod tests;

//! Keys of rows to [`KeyHash`]es.

use arrow_array::{ArrayRef, RecordBatch};
use outcrop_format::{KeyCodec, KeyError, KeyHash, KeyWidth};
use outcrop_types::{Condition, DataType, Error, KeyIndex, Result, TableSchema};

use crate::memtable::value_at;

/// Longest key of a row, encoded, in bytes (architecture §10).
pub(crate) const KEY_BYTES_MAX: usize = 1_024;

/// Turns the key columns of rows into [`KeyHash`]es, as [`outcrop_format::key`] says.
pub(crate) struct KeyEncoder {
    constraint: String,
    columns: Vec<KeyColumn>,
    codec: KeyCodec,
}

struct KeyColumn {
    name: String,
    data_type: DataType,
    /// Position in the table's batches.
    position: usize,
}

impl KeyEncoder {
    /// The encoder of one key index of a table.
    pub(crate) fn new(schema: &TableSchema, index: &KeyIndex) -> Self {
        let columns: Vec<KeyColumn> = index
            .columns
            .iter()
            .filter_map(|id| {
                let column = schema.column(*id)?;
                let (name, data_type) = (column.name.clone(), column.data_type.clone());
                Some(KeyColumn { name, data_type, position: schema.position(*id)? })
            })
            .collect();
        let types = columns.iter().map(|column| column.data_type.clone()).collect();
        Self { constraint: index.name.clone(), columns, codec: KeyCodec::new(types, &index.secret) }
    }

    /// What of a hash tells keys apart.
    pub(crate) fn width(&self) -> KeyWidth {
        self.codec.width()
    }

    /// Hashes of keys, given as arrays of the key columns in key order.
    ///
    /// # Errors
    /// `ProgramLimitExceeded` when a key is longer than [`KEY_BYTES_MAX`]; `InternalError` when the arrays are not the key's
    /// columns or hold a NULL.
    pub(crate) fn encode(&self, key_columns: &[ArrayRef]) -> Result<Vec<KeyHash>> {
        self.codec.hashes(key_columns, KEY_BYTES_MAX).map_err(|error| self.refused(error))
    }

    /// As [`KeyEncoder::encode`], for keys that are only looked for: a key that is too long is one that nobody has.
    ///
    /// # Errors
    /// `InternalError` when the arrays are not the key's columns or hold a NULL.
    pub(crate) fn encode_wanted(&self, key_columns: &[ArrayRef]) -> Result<Vec<KeyHash>> {
        self.codec.hashes(key_columns, usize::MAX).map_err(|error| self.refused(error))
    }

    /// The canonical bytes of a row's key, which its hash stands for.
    ///
    /// # Errors
    /// `InternalError` when the arrays are not the key's columns.
    pub(crate) fn bytes(&self, key_columns: &[ArrayRef], row: usize) -> Result<Vec<u8>> {
        let mut key = Vec::new();
        self.codec.encode(key_columns, row, &mut key).map_err(|error| self.refused(error))?;
        Ok(key)
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

    fn refused(&self, error: KeyError) -> Error {
        match error {
            KeyError::TooLong(bytes) => Error::new(
                Condition::ProgramLimitExceeded,
                format!(
                    "key of {bytes} bytes exceeds the maximum of {KEY_BYTES_MAX} for index \"{}\"",
                    self.constraint
                ),
            )
            .with_hint("Use a shorter key, such as a hash of the value."),
            other => Error::internal(other.to_string()),
        }
    }
}

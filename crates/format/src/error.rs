//! What can be wrong with bytes, and with values that should become bytes.

use std::fmt;

use arrow_schema::DataType as ArrowType;
use outcrop_types::{ColumnId, Condition, Error};

/// Bytes that are not what they should be: where, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct DecodeError {
    /// Position in the bytes given to the decoder.
    pub offset: u64,
    /// What is wrong there.
    pub what: DecodeProblem,
}

impl DecodeError {
    /// A problem at a position.
    pub const fn new(offset: u64, what: DecodeProblem) -> Self {
        Self { offset, what }
    }

    /// The same problem where the decoded bytes begin at `base` of a larger whole.
    #[must_use]
    pub const fn shifted(self, base: u64) -> Self {
        Self { offset: self.offset.saturating_add(base), what: self.what }
    }

    /// The error that a user sees: names `file`, in which the decoded bytes begin at `base`.
    ///
    /// Bytes that a newer version of Outcrop may have written are `UnsupportedVersion`; all else is `DataCorrupted`.
    pub fn in_file(self, file: impl fmt::Display, base: u64) -> Error {
        let error = self.shifted(base);
        if self.what.is_from_newer_version() {
            Error::new(Condition::UnsupportedVersion, format!("cannot read {file}: {error}"))
                .with_hint("It was written by a newer version of Outcrop; open it with that version.")
        } else {
            Error::corrupt(file, error.offset, error.what).with_source(error)
        }
    }
}

/// Why bytes do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeProblem {
    /// The bytes end too early.
    #[error("{needed} bytes expected, {left} left")]
    Truncated {
        /// Bytes wanted.
        needed: u64,
        /// Bytes there.
        left: u64,
    },
    /// Bytes follow where the thing should have ended.
    #[error("{0} bytes after the end")]
    TrailingBytes(u64),
    /// A variable-length integer is too long or not in its shortest form.
    #[error("malformed variable-length integer")]
    Varint,
    /// The first bytes are not those of this kind of file.
    #[error("not a {0}")]
    Magic(&'static str),
    /// A version that this build does not read.
    #[error("{what} has format version {found}, this build reads up to {newest}")]
    Version {
        /// The thing with the version.
        what: &'static str,
        /// Version found.
        found: u16,
        /// Newest version that this build reads.
        newest: u16,
    },
    /// Feature bits that must be understood and are not.
    #[error("unknown required features {0:#x}")]
    Features(u64),
    /// A codec or key that this build does not have.
    #[error("unknown codec {codec} or key {key}")]
    Codec {
        /// Codec number.
        codec: u8,
        /// Encryption key number.
        key: u32,
    },
    /// A section that must be understood and is not.
    #[error("unknown required section {tag} of a {container}")]
    Section {
        /// What holds the section.
        container: &'static str,
        /// Its tag.
        tag: u16,
    },
    /// A section that must be there is not.
    #[error("{container} without section {tag}")]
    MissingSection {
        /// What should hold the section.
        container: &'static str,
        /// The tag.
        tag: u16,
    },
    /// A section that may be there once is there again.
    #[error("section {tag} of a {container} repeated")]
    RepeatedSection {
        /// What holds the section.
        container: &'static str,
        /// Its tag.
        tag: u16,
    },
    /// A tag byte with no meaning.
    #[error("unknown {what} tag {found}")]
    Tag {
        /// What the tag selects.
        what: &'static str,
        /// The tag.
        found: u8,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A number above its limit.
    #[error("{what} is {found}, at most {max} possible")]
    Limit {
        /// What the number counts.
        what: &'static str,
        /// The number.
        found: u64,
        /// Its limit.
        max: u64,
    },
    /// Checksum mismatch.
    #[error("checksum is {found:#x}, expected {expected:#x}")]
    Checksum {
        /// As stored.
        expected: u64,
        /// As computed.
        found: u64,
    },
    /// A column's bytes are of another type than its schema says.
    #[error("column {column} is stored with another type")]
    ColumnType {
        /// The column.
        column: ColumnId,
    },
    /// A column is stored twice.
    #[error("column {column} is stored twice")]
    RepeatedColumn {
        /// The column.
        column: ColumnId,
    },
    /// NULL in a column that does not allow it.
    #[error("column {column} is NULL and must not be")]
    UnexpectedNull {
        /// The column.
        column: ColumnId,
    },
    /// The schema's initial default of a column does not fit the column's type.
    #[error("initial default of column {column} does not fit its type")]
    InitialDefault {
        /// The column.
        column: ColumnId,
    },
    /// Two parts that must agree do not.
    #[error("{0}")]
    Inconsistent(&'static str),
}

impl DecodeProblem {
    /// Whether a newer Outcrop, rather than damage, explains the bytes.
    pub const fn is_from_newer_version(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::Features(_) | Self::Section { .. } | Self::Codec { .. })
    }
}

/// Values that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// As many column ids as columns are needed.
    #[error("{ids} column ids for {columns} columns")]
    ColumnCount {
        /// Ids given.
        ids: usize,
        /// Columns of the batch.
        columns: usize,
    },
    /// An Arrow type that no SQL type has.
    #[error("no stored form for Arrow type {0}")]
    ArrowType(ArrowType),
    /// A value that is not of the wanted type.
    #[error("value does not fit {0}")]
    ValueType(outcrop_types::DataType),
    /// More than the format can hold.
    #[error("{what}: {found}, at most {max} possible")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The limit.
        max: u64,
    },
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::internal(format!("cannot encode: {error}")).with_source(error)
    }
}

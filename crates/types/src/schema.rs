//! Table schemas: what the catalog of a log holds and every batch obeys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{Schema as ArrowSchema, SchemaRef};

use crate::{ColumnId, DataType, IndexId, SchemaVersion, TableId, Value};

/// Longest name of a schema, table, column or constraint, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most columns of a table.
pub const COLUMNS_MAX: usize = 4_096;
/// Most columns that a table may ever have had, dropped ones too: clients of PostgreSQL number columns with 16 bits.
pub const COLUMNS_EVER_MAX: u32 = 32_767;
/// The schema that unqualified names mean; `public` resolves to it.
pub const DEFAULT_SCHEMA: &str = "commons";

/// A table's name within its schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema ("workspace" in REST).
    pub schema: String,
    /// The table ("collection" in REST).
    pub table: String,
}

impl TableName {
    /// The name `schema.table`.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A column of a table (architecture F5).
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Identity; survives renames.
    pub id: ColumnId,
    /// Name in SQL.
    pub name: String,
    /// Type, with parameters.
    pub data_type: DataType,
    /// Collation of text: 0 is bytewise, and the only one today.
    pub collation: u32,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// What rows older than the column hold.
    pub initial_default: Value,
    /// SQL text of the DEFAULT expression, evaluated for each inserted row that omits the column.
    pub write_default: Option<String>,
}

/// A unique key of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIndex {
    /// Identity within the table.
    pub id: IndexId,
    /// Constraint name, as in error messages (`flights_pkey`).
    pub name: String,
    /// Key columns, in key order.
    pub columns: Vec<ColumnId>,
    /// Keys the hash that stands for long keys.
    pub secret: KeySecret,
}

/// A random number by which nobody outside can tell which keys would have one hash. It never leaves the data directory.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KeySecret([u8; 16]);

impl KeySecret {
    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the manifest and the hash.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

/// Storage choices of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Keeps no key index; refuses UPDATE and DELETE.
    pub append_only: bool,
    /// Rows of a segment are in the order of these columns, and compaction keeps segments apart by them. Empty: rows stay in
    /// the order of their commits.
    pub sort_key: Vec<ColumnId>,
    /// When rows expire.
    pub retention: Option<Retention>,
}

/// Rows are deleted when their time is longer ago than a period. A row without time stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The time of a row: a `timestamp` (taken for UTC), `timestamptz` or `date`.
    pub column: ColumnId,
    /// How long rows stay, in microseconds; not negative.
    pub period_us: i64,
}

impl TableOptions {
    /// Whether the table could not do what its options say without this column.
    pub fn needs(&self, column: ColumnId) -> bool {
        self.sort_key.contains(&column) || self.retention.is_some_and(|retention| retention.column == column)
    }
}

impl Retention {
    /// Rows of this time and older ones expire at `now_us`: the greatest such value of a column of this type. `None` if the
    /// type has no such value.
    pub fn limit(&self, data_type: &DataType, now_us: i64) -> Option<Value> {
        let us = now_us.saturating_sub(self.period_us);
        // The least and the greatest number stand for the infinities: neither is reached by waiting.
        let us = us.clamp(i64::MIN + 1, i64::MAX - 1);
        match data_type {
            DataType::Timestamp => Some(Value::Timestamp(us)),
            DataType::TimestampTz => Some(Value::TimestampTz(us)),
            // A day expires when it has ended that long ago.
            DataType::Date => i32::try_from(us.div_euclid(DAY_US) - 1).ok().map(Value::Date),
            DataType::Bool
            | DataType::Int2
            | DataType::Int4
            | DataType::Int8
            | DataType::Float4
            | DataType::Float8
            | DataType::Numeric { .. }
            | DataType::Text
            | DataType::Varchar { .. }
            | DataType::Bytea
            | DataType::Time
            | DataType::Uuid
            | DataType::Jsonb
            | DataType::Array(_) => None,
        }
    }
}

/// What `COMMENT ON` said of a table and of its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// Of the table.
    pub table: Option<String>,
    /// Of columns.
    pub columns: BTreeMap<ColumnId, String>,
}

/// A table: its name, columns and keys at one schema version.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSchema {
    /// Identity; survives renames.
    pub id: TableId,
    /// Counts changes of this schema.
    pub version: SchemaVersion,
    /// Current name.
    pub name: TableName,
    /// Columns in declaration order.
    pub columns: Vec<Column>,
    /// Key indexes: the primary key first, if there is one.
    pub keys: Vec<KeyIndex>,
    /// Storage choices.
    pub options: TableOptions,
    /// Ids below this one were given to columns once, also to such as are gone: they are never given again.
    pub next_column: ColumnId,
    /// What `COMMENT ON` said.
    pub comments: Comments,
}

impl TableSchema {
    /// The primary key, if the table has one.
    pub fn primary_key(&self) -> Option<&KeyIndex> {
        self.keys.first()
    }

    /// Position of a column in declaration order.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    /// The column with this id.
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The column with this name (exact match; SQL folds unquoted names before).
    pub fn column_named(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// An id that no column of this table ever had; `None` when there is none left.
    pub fn free_column_id(&self) -> Option<ColumnId> {
        let taken = self.columns.iter().map(|column| column.id).max().unwrap_or_default();
        let free = taken.next().map(|after| after.max(self.next_column))?;
        (free.get() <= COLUMNS_EVER_MAX).then_some(free)
    }

    /// Whether a column is part of a key.
    pub fn is_key_column(&self, id: ColumnId) -> bool {
        self.keys.iter().any(|key| key.columns.contains(&id))
    }

    /// The same schema without NOT NULL: what rows that are dead, or not judged yet, obey.
    #[must_use]
    pub fn with_nulls(&self) -> Self {
        let mut lax = self.clone();
        lax.columns.iter_mut().for_each(|column| column.nullable = true);
        lax
    }

    /// The Arrow schema of this table's batches: all columns in declaration order.
    pub fn to_arrow(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(
            self.columns
                .iter()
                .map(|column| column.data_type.to_field(&column.name, column.nullable))
                .collect::<Vec<_>>(),
        ))
    }
}

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

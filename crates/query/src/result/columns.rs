//! Description of result columns.

use std::fmt;

use outcrop_types::{ColumnId, Condition, DataType, Error, TableId};

/// A column of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumn {
    /// Its name, as SQL gives it.
    pub name: String,
    /// Its type.
    pub data_type: ResultType,
    /// The table that it comes from unchanged.
    pub table: Option<TableId>,
    /// The column of that table.
    pub column: Option<ColumnId>,
}

impl ResultColumn {
    /// A computed column.
    pub fn new(name: impl Into<String>, data_type: ResultType) -> Self {
        Self { name: name.into(), data_type, table: None, column: None }
    }
}

/// Whether a client that was told `described` can read rows of `now`.
pub(crate) fn same_result(described: &[ResultColumn], now: &[ResultColumn]) -> bool {
    described.len() == now.len()
        && described.iter().zip(now).all(|(old, new)| (&old.name, &old.data_type) == (&new.name, &new.data_type))
}

/// 0A000 for a prepared statement whose result would not be what was described.
pub(crate) fn changed_result() -> Error {
    Error::new(Condition::FeatureNotSupported, "cached plan must not change result type")
        .with_hint("Prepare the statement again.")
}

/// The type of a result column. Grows when SQL gains types that are not storable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultType {
    /// A type that columns may have; batches hold [`DataType::to_arrow`].
    Data(DataType),
    /// `interval`; batches hold `Interval(MonthDayNano)`.
    Interval,
    /// An untyped NULL or literal; batches hold `Null` or `Utf8View`. Clients see `text`.
    Unknown,
    /// A type of PostgreSQL's catalogs.
    Catalog(CatalogType),
}

/// A type of PostgreSQL's catalogs, by its oid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// Type modifier, -1 for none.
    pub typmod: i32,
}

impl From<DataType> for ResultType {
    fn from(data_type: DataType) -> Self {
        Self::Data(data_type)
    }
}

impl fmt::Display for ResultType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data_type) => data_type.fmt(f),
            Self::Interval => f.write_str("interval"),
            Self::Unknown => f.write_str("unknown"),
            Self::Catalog(catalog) => write!(f, "oid {}", catalog.oid),
        }
    }
}

//! Building the rows of a system table.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use outcrop_types::{DataType, Error, Result};

use crate::error::{from_arrow, from_datafusion};
use crate::types::catalog_field;

/// The type of a column of a system table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Oid,
    Name,
    Char,
    Text,
    /// `timestamp with time zone`; its cells are microseconds since 1970.
    Timestamp,
    /// `smallint[]`, as in `pg_index.indkey`.
    Int2List,
    /// `text[]`.
    TextList,
    /// `oid[]`.
    OidList,
    /// `bigint[]`.
    Int8List,
}

impl Kind {
    fn field(self, name: &str) -> Field {
        let of = |data_type: DataType| data_type.to_field(name, true);
        let catalog = |type_name: &str| {
            catalog_field(type_name, name).unwrap_or_else(|| Field::new(name, ArrowType::Utf8View, true))
        };
        match self {
            Self::Bool => of(DataType::Bool),
            Self::Int2 => of(DataType::Int2),
            Self::Int4 => of(DataType::Int4),
            Self::Int8 => of(DataType::Int8),
            Self::Float4 => of(DataType::Float4),
            Self::Oid => catalog("oid"),
            Self::Name => catalog("name"),
            Self::Char => catalog("\"char\""),
            Self::Text => of(DataType::Text),
            Self::Timestamp => of(DataType::TimestampTz),
            Self::Int2List => of(DataType::Array(Box::new(DataType::Int2))),
            Self::TextList => of(DataType::Array(Box::new(DataType::Text))),
            Self::OidList | Self::Int8List => of(DataType::Array(Box::new(DataType::Int8))),
        }
    }
}

/// Rows that are being collected.
pub(super) struct Rows {
    fields: Vec<Field>,
    columns: Vec<Vec<ScalarValue>>,
    rows: usize,
}

impl Rows {
    /// An empty table with these columns.
    pub(super) fn new(columns: &[(&str, Kind)]) -> Self {
        Self {
            fields: columns.iter().map(|(name, kind)| kind.field(name)).collect(),
            columns: vec![Vec::new(); columns.len()],
            rows: 0,
        }
    }

    /// Adds a row. Values that are missing at the end are NULL.
    pub(super) fn push(&mut self, values: impl IntoIterator<Item = Cell>) -> Result<()> {
        let mut values = values.into_iter();
        for (field, column) in self.fields.iter().zip(&mut self.columns) {
            column.push(values.next().unwrap_or(Cell::Null).into_scalar(field.data_type())?);
        }
        self.rows += 1;
        Ok(())
    }

    /// The finished table.
    pub(super) fn finish(self) -> Result<RecordBatch> {
        let arrays = self
            .columns
            .into_iter()
            .zip(&self.fields)
            .map(|(scalars, field)| {
                if scalars.is_empty() {
                    return Ok(new_empty_array(field.data_type()));
                }
                ScalarValue::iter_to_array(scalars).map_err(from_datafusion)
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(self.fields)), arrays, &options).map_err(from_arrow)
    }
}

/// One value.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Cell {
    fn into_scalar(self, arrow: &ArrowType) -> Result<ScalarValue> {
        let wrong = || Error::internal("a system table has a value of another type");
        Ok(match (self, arrow) {
            (Self::Null, _) => ScalarValue::try_from(arrow).map_err(from_datafusion)?,
            (Self::Bool(value), ArrowType::Boolean) => ScalarValue::Boolean(Some(value)),
            (Self::Int(value), ArrowType::Int16) => {
                ScalarValue::Int16(Some(i16::try_from(value).map_err(|_wide| wrong())?))
            }
            (Self::Int(value), ArrowType::Int32) => {
                ScalarValue::Int32(Some(i32::try_from(value).map_err(|_wide| wrong())?))
            }
            (Self::Int(value), ArrowType::Timestamp(TimeUnit::Microsecond, zone)) => {
                ScalarValue::TimestampMicrosecond(Some(value), zone.clone())
            }
            (Self::Int(value), ArrowType::Int64) => ScalarValue::Int64(Some(value)),
            (Self::Float(value), ArrowType::Float32) => ScalarValue::Float32(Some(value)),
            (Self::Text(value), ArrowType::Utf8View) => ScalarValue::Utf8View(Some(value)),
            (Self::Texts(values), ArrowType::List(item)) => {
                let scalars: Vec<ScalarValue> =
                    values.into_iter().map(|value| ScalarValue::Utf8View(Some(value))).collect();
                ScalarValue::List(ScalarValue::new_list_nullable(&scalars, item.data_type()))
            }
            (Self::Ints(values), ArrowType::List(item)) => {
                let scalars = values
                    .into_iter()
                    .map(|value| Self::Int(value).into_scalar(item.data_type()))
                    .collect::<Result<Vec<_>>>()?;
                ScalarValue::List(ScalarValue::new_list_nullable(&scalars, item.data_type()))
            }
            (Self::Texts(values), ArrowType::List(item)) => {
                let scalars: Vec<ScalarValue> =
                    values.into_iter().map(|value| ScalarValue::Utf8View(Some(value))).collect();
                ScalarValue::List(ScalarValue::new_list_nullable(&scalars, item.data_type()))
            }
            _ => return Err(wrong()),
        })
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

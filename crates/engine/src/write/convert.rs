//! A statement that was made under one version of a schema and gets its place after another.
//!
//! It means what it would have meant right before the `ALTER TABLE`: columns that are gone are left out, new ones get their
//! initial default, widened ones are widened. What cannot be brought over so is refused with 40001: nothing was applied, and
//! the statement can be repeated.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use outcrop_format::SegmentMeta;
use outcrop_format::batch::{constant_array, widen_array};
use outcrop_types::{Column, Condition, DataType, Error, Result, TableSchema, Value};

use super::api::{ConflictRows, ConflictUpdate};

/// From the rows of one version of a schema to those of a later one.
pub(crate) struct Conversion {
    schema: Arc<TableSchema>,
    /// For each column of the later version: its position in the earlier one, and its type there.
    sources: Vec<Option<(usize, DataType)>>,
    /// How many columns the earlier version has.
    earlier_columns: usize,
}

impl Conversion {
    /// # Errors
    /// `SerializationFailure` if a new column has no value for rows that were made without it.
    pub(crate) fn new(from: &TableSchema, to: &Arc<TableSchema>) -> Result<Self> {
        let source = |column: &Column| {
            let position = from.position(column.id)?;
            Some((position, from.columns.get(position)?.data_type.clone()))
        };
        let sources: Vec<_> = to.columns.iter().map(source).collect();
        // Whether a NULL would be what the rewrite of a volatile default, or the statement itself, gave is not known any more.
        let has_value = |column: &Column| {
            column.initial_default != Value::Null || (column.nullable && column.write_default.is_none())
        };
        if to.columns.iter().zip(&sources).any(|(column, source)| source.is_none() && !has_value(column)) {
            return Err(altered(to));
        }
        Ok(Self { schema: Arc::clone(to), sources, earlier_columns: from.columns.len() })
    }

    /// Whether a batch of the one is a batch of the other: only names, defaults, comments and NOT NULL changed. Callbacks and
    /// what was described to the client hold then.
    pub(crate) fn keeps_shape(&self) -> bool {
        let mut columns = self.schema.columns.iter().zip(&self.sources).enumerate();
        self.earlier_columns == self.sources.len()
            && columns.all(|(at, (column, source))| {
                source.as_ref().is_some_and(|(position, data_type)| (*position, data_type) == (at, &column.data_type))
            })
    }

    /// The later version.
    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Rows of the earlier version as rows of the later one.
    ///
    /// # Errors
    /// `SerializationFailure` for a NULL that is not allowed any more.
    pub(crate) fn rows(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.schema.columns.iter().zip(&self.sources);
        let arrays =
            columns.map(|(column, source)| self.array(rows, column, source.as_ref())).collect::<Result<_>>()?;
        RecordBatch::try_new(self.schema.to_arrow(), arrays)
            .map_err(|error| Error::internal("converted rows do not fit their schema").with_source(error))
    }

    /// Whether rows of a staged segment of the earlier version, which is read through the later one, obey it.
    ///
    /// # Errors
    /// `SerializationFailure` for a NULL that is not allowed any more.
    pub(crate) fn check_segment(&self, meta: &SegmentMeta) -> Result<()> {
        let has_nulls = |column: &Column| meta.column(column.id).is_some_and(|stored| stored.null_count > 0);
        if self.schema.columns.iter().any(|column| !column.nullable && has_nulls(column)) {
            return Err(altered(&self.schema));
        }
        Ok(())
    }

    fn array(&self, rows: &RecordBatch, column: &Column, source: Option<&(usize, DataType)>) -> Result<ArrayRef> {
        let Some((position, data_type)) = source else {
            return Ok(constant_array(&column.initial_default, &column.data_type, rows.num_rows())?);
        };
        let array =
            rows.columns().get(*position).ok_or_else(|| Error::internal("a batch without one of its columns"))?;
        if !column.nullable && array.logical_null_count() > 0 {
            return Err(altered(&self.schema));
        }
        Ok(widen_array(array, data_type, &column.data_type)?)
    }
}

/// 40001.
pub(crate) fn altered(schema: &TableSchema) -> Error {
    let message = format!("table \"{}\" was altered while the statement ran", schema.name.table);
    Error::new(Condition::SerializationFailure, message).with_hint("Nothing was applied; repeat the statement.")
}

/// Stands for a callback that was made for an earlier version of the schema.
pub(crate) struct OfEarlierVersion(pub(crate) Arc<TableSchema>);

impl ConflictUpdate for OfEarlierVersion {
    fn update(&mut self, _: &RecordBatch, _: &RecordBatch) -> Result<ConflictRows> {
        Err(altered(&self.0))
    }
}

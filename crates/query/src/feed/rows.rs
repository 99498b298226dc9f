//! What a feed shows, as rows of `outcrop.feed_changes`.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringViewArray, StringViewBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use outcrop_engine::FeedEvent;
use outcrop_types::{DataType, Result, TableSchema};

use super::json::objects;
use crate::error::from_arrow;

/// The columns of the table; the last two are the arguments of a call.
pub(super) fn schema() -> SchemaRef {
    let columns = [
        ("position", DataType::Text),
        ("committed_at", DataType::TimestampTz),
        ("table_schema", DataType::Text),
        ("table_name", DataType::Text),
        ("op", DataType::Text),
        ("old", DataType::Jsonb),
        ("new", DataType::Jsonb),
        ("cursor", DataType::Text),
        ("max_rows", DataType::Int8),
    ];
    let fields: Vec<_> = columns.iter().map(|(name, data_type)| data_type.to_field(name, true)).collect();
    Arc::new(Schema::new(fields))
}

/// A commit that is shown.
pub(super) struct Shown<'a> {
    pub(super) position: &'a str,
    pub(super) wall_us: i64,
    pub(super) cursor: &'a str,
    pub(super) max_rows: i64,
}

impl Shown<'_> {
    /// The rows of one of its events.
    pub(super) fn rows(&self, schema: &SchemaRef, event: &FeedEvent) -> Result<RecordBatch> {
        match event {
            FeedEvent::Inserted { table, new } => self.of_table(schema, table, "insert", None, Some(new)),
            FeedEvent::Updated { table, old, new } => self.of_table(schema, table, "update", Some(old), Some(new)),
            FeedEvent::Deleted { table, old } => self.of_table(schema, table, "delete", Some(old), None),
            FeedEvent::Table(table) => self.of_table(schema, table, "define table", None, None),
            FeedEvent::TableDropped(table) => self.of_table(schema, table, "drop table", None, None),
            FeedEvent::Truncated(table) => self.of_table(schema, table, "truncate", None, None),
            FeedEvent::SchemaCreated(name) => self.batch(schema, (Some(name), None, "create schema"), (None, None)),
            FeedEvent::SchemaDropped(name) => self.batch(schema, (Some(name), None, "drop schema"), (None, None)),
            _ => self.batch(schema, (None, None, "other"), (None, None)),
        }
    }

    fn of_table(
        &self,
        schema: &SchemaRef,
        table: &TableSchema,
        op: &str,
        old: Option<&RecordBatch>,
        new: Option<&RecordBatch>,
    ) -> Result<RecordBatch> {
        let old = old.map(|rows| objects(table, rows)).transpose()?;
        let new = new.map(|rows| objects(table, rows)).transpose()?;
        self.batch(schema, (Some(&table.name.schema), Some(&table.name.table), op), (old, new))
    }

    /// As many rows as there are old or new ones; one without either.
    fn batch(
        &self,
        schema: &SchemaRef,
        (table_schema, table_name, op): (Option<&str>, Option<&str>, &str),
        (old, new): (Option<Vec<String>>, Option<Vec<String>>),
    ) -> Result<RecordBatch> {
        let rows = old.as_ref().or(new.as_ref()).map_or(1, Vec::len);
        let same = |text: Option<&str>| -> ArrayRef {
            let mut texts = StringViewBuilder::with_capacity(rows);
            (0..rows).for_each(|_| texts.append_option(text));
            Arc::new(texts.finish())
        };
        let json = |objects: Option<Vec<String>>| match objects {
            Some(objects) => Arc::new(StringViewArray::from_iter_values(objects)) as ArrayRef,
            None => same(None),
        };
        let columns: Vec<ArrayRef> = vec![
            same(Some(self.position)),
            Arc::new(TimestampMicrosecondArray::from_value(self.wall_us, rows).with_timezone("UTC")),
            same(table_schema),
            same(table_name),
            same(Some(op)),
            json(old),
            json(new),
            same(Some(self.cursor)),
            Arc::new(Int64Array::from_value(self.max_rows, rows)),
        ];
        let columns = columns.into_iter().zip(schema.fields()).map(|(array, field)| {
            if array.data_type() == field.data_type() {
                Ok(array)
            } else {
                datafusion::arrow::compute::cast(&array, field.data_type())
            }
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(from_arrow)?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(from_arrow)
    }
}

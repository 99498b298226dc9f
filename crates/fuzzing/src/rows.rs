//! Tables and rows for the targets.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use outcrop_ingest::{Cells, ColumnBuilder, TextSettings};
use outcrop_types::{
    Column, ColumnId, Comments, DataType, SchemaVersion, TableId, TableName, TableOptions, TableSchema, Value,
};

/// A type of each kind, and arrays of some.
pub(crate) fn all_types() -> Vec<DataType> {
    let array = |item: DataType| DataType::Array(Box::new(item));
    vec![
        DataType::Int4,
        DataType::Text,
        DataType::Bool,
        DataType::Int2,
        DataType::Int8,
        DataType::Float4,
        DataType::Float8,
        DataType::Numeric { precision: 10, scale: 2 },
        DataType::NUMERIC_DEFAULT,
        DataType::Numeric { precision: 76, scale: 5 },
        DataType::Varchar { length: 5 },
        DataType::Bytea,
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::TimestampTz,
        DataType::Uuid,
        DataType::Jsonb,
        array(DataType::Int4),
        array(DataType::Text),
        array(DataType::Bool),
        array(DataType::TimestampTz),
        array(DataType::Bytea),
    ]
}

/// A table with these columns, `c0` and on, which allow NULL but for the first.
pub(crate) fn table(types: &[DataType]) -> Arc<TableSchema> {
    let column = |(number, data_type): (u32, &DataType)| Column {
        id: ColumnId::new(number + 1),
        name: format!("c{number}"),
        data_type: data_type.clone(),
        collation: 0,
        nullable: number > 0,
        initial_default: Value::Null,
        write_default: None,
    };
    Arc::new(TableSchema {
        id: TableId::new(3),
        version: SchemaVersion::new(1),
        name: TableName::new("commons", "t"),
        columns: (0..).zip(types).map(column).collect(),
        keys: Vec::new(),
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    })
}

/// A few rows of a table, with a NULL in every column that allows it.
pub(crate) fn some_rows(schema: &TableSchema, rows: usize) -> RecordBatch {
    let arrays: Vec<ArrayRef> = schema
        .columns
        .iter()
        .map(|column| {
            let mut builder = ColumnBuilder::new(&column.data_type);
            for row in 0..rows {
                if column.nullable && row % 3 == 1 {
                    builder.append_null();
                } else {
                    let text = example(&column.data_type, row);
                    builder.append_text(&text, &TextSettings::default()).expect("an example of the type");
                }
            }
            builder.finish().expect("an array of the type")
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options).expect("rows of the table")
}

/// Text of a value.
pub(crate) fn example(data_type: &DataType, row: usize) -> String {
    match data_type {
        DataType::Bool => (row.is_multiple_of(2)).to_string(),
        DataType::Int2 | DataType::Int4 | DataType::Int8 | DataType::Varchar { .. } => row.to_string(),
        DataType::Float4 | DataType::Float8 | DataType::Numeric { .. } => format!("{row}.5"),
        DataType::Text => format!("text number {row}, of some length"),
        DataType::Bytea => format!("\\x{:04x}", row % 0xffff),
        DataType::Date => format!("2024-02-{:02}", row % 29 + 1),
        DataType::Time => format!("12:34:{:02}.5", row % 60),
        DataType::Timestamp => format!("2024-02-29 12:34:{:02}", row % 60),
        DataType::TimestampTz => format!("2024-02-29 12:34:{:02}+02", row % 60),
        DataType::Uuid => format!("00112233-4455-6677-8899-aabbccdd{:04x}", row % 0xffff),
        DataType::Jsonb => format!("{{\"a\": [{row}, null, \"x\"]}}"),
        DataType::Array(item) => format!("{{{}, NULL}}", quoted(&example(item, row))),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Values of a batch, in a form in which NaN equals itself.
pub(crate) fn printed(batch: &RecordBatch) -> String {
    let columns: Vec<Cells<'_>> =
        batch.columns().iter().map(|column| Cells::try_new(column.as_ref()).expect("a column type of ours")).collect();
    let rows = (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row)).collect::<Vec<_>>());
    format!("{:?}", rows.collect::<Vec<_>>())
}

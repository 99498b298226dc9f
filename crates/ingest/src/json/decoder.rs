//! JSON documents to rows of a declared table.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use outcrop_types::error::Constraint;
use outcrop_types::{Column, Condition, DataType, Error, Result, TableSchema, jsonb};
use serde_json::value::RawValue;

use crate::{ColumnBuilder, TextSettings};

/// Decodes documents one by one; a bad one is reported and leaves no row.
#[derive(Debug)]
pub struct DocumentDecoder {
    schema: Arc<TableSchema>,
    settings: TextSettings,
    columns: Vec<ColumnBuilder>,
    /// For each column, the good documents that do not name it.
    omitted: Vec<Vec<usize>>,
    /// Which rows of the builders are of good documents.
    is_good: Vec<bool>,
    good: usize,
}

/// The documents that were good, in order.
#[derive(Debug)]
pub struct DecodedDocuments {
    /// One row for each, with all columns of the table. NOT NULL columns with a DEFAULT may hold NULL: see `omitted`.
    pub columns: Vec<ArrayRef>,
    /// Good documents.
    pub rows: usize,
    /// For each column the rows whose documents do not name it; where the column has a DEFAULT they want it.
    pub omitted: Vec<Vec<usize>>,
}

impl DocumentDecoder {
    /// A decoder for documents of a table.
    pub fn new(schema: Arc<TableSchema>, settings: TextSettings) -> Self {
        let columns = schema.columns.iter().map(|column| ColumnBuilder::new(&column.data_type)).collect();
        let omitted = vec![Vec::new(); schema.columns.len()];
        Self { schema, settings, columns, omitted, is_good: Vec::new(), good: 0 }
    }

    /// Reads a document, a JSON object. After an error nothing of it stays.
    ///
    /// # Errors
    /// `InvalidTextRepresentation` for what is no object, `UndefinedColumn` for members that the table does not have,
    /// `DatatypeMismatch` and what [`crate::text::parse`] says of a member, `NotNullViolation`.
    pub fn push(&mut self, document: &str) -> Result<()> {
        let members: HashMap<String, &RawValue> = serde_json::from_str(document).map_err(|source| {
            Error::new(Condition::InvalidTextRepresentation, "a document is not a JSON object")
                .with_detail(format!("{source}."))
        })?;
        if let Some(unknown) = members.keys().find(|name| self.schema.column_named(name).is_none()) {
            return Err(Error::new(
                Condition::UndefinedColumn,
                format!("column \"{unknown}\" of table \"{}\" does not exist", self.schema.name.table),
            ));
        }
        let mut first_error = None;
        for (column, builder) in self.schema.columns.iter().zip(&mut self.columns) {
            let member = members.get(&column.name).map(|raw| raw.get());
            let cell = if first_error.is_none() { member } else { None };
            let answer = match cell {
                Some(raw) => append_json(builder, raw, &column.name, &self.settings),
                None => {
                    builder.append_null();
                    Ok(())
                }
            };
            let answer = answer.and_then(|()| check_null(&self.schema, column, member));
            first_error = first_error.or_else(|| answer.err());
        }
        self.is_good.push(first_error.is_none());
        if let Some(error) = first_error {
            return Err(error);
        }
        for (column, omitted) in self.schema.columns.iter().zip(&mut self.omitted) {
            if !members.contains_key(&column.name) {
                omitted.push(self.good);
            }
        }
        self.good += 1;
        Ok(())
    }

    /// The good documents.
    ///
    /// # Errors
    /// `Internal` if Arrow refuses the columns, which would be a bug here.
    pub fn finish(mut self) -> Result<DecodedDocuments> {
        let mask = BooleanArray::from(std::mem::take(&mut self.is_good));
        let columns = self.columns.iter_mut().map(|builder| {
            let column = builder.finish()?;
            if self.good == column.len() {
                return Ok(column);
            }
            arrow_select::filter::filter(&column, &mask)
                .map_err(|source| Error::internal("documents cannot be filtered").with_source(source))
        });
        Ok(DecodedDocuments { columns: columns.collect::<Result<_>>()?, rows: self.good, omitted: self.omitted })
    }
}

impl DecodedDocuments {
    /// The rows as a batch of the table, for tables whose documents need no defaults, or once they were filled in.
    ///
    /// # Errors
    /// `NotNullViolation` if a column that must not be NULL holds one.
    pub fn into_batch(self, schema: &TableSchema) -> Result<RecordBatch> {
        for (column, cells) in schema.columns.iter().zip(&self.columns) {
            if !column.nullable && cells.null_count() > 0 {
                return Err(null_violation(schema, column));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(schema.to_arrow(), self.columns, &options)
            .map_err(|source| Error::internal("documents do not make a batch").with_source(source))
    }
}

/// `null` in a column that must not be NULL, or no member and no default.
fn check_null(schema: &TableSchema, column: &Column, member: Option<&str>) -> Result<()> {
    let is_null = match member {
        Some(raw) => raw == "null",
        None => column.write_default.is_none(),
    };
    if is_null && !column.nullable { Err(null_violation(schema, column)) } else { Ok(()) }
}

fn null_violation(schema: &TableSchema, column: &Column) -> Error {
    let message = format!(
        "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
        column.name, schema.name.table
    );
    Error::new(Condition::NotNullViolation, message).with_constraint(Constraint {
        schema: schema.name.schema.clone(),
        table: schema.name.table.clone(),
        column: Some(column.name.clone()),
        name: None,
    })
}

fn append_json(column: &mut ColumnBuilder, raw: &str, name: &str, settings: &TextSettings) -> Result<()> {
    match cell_text(column.data_type(), raw, name).inspect_err(|_| column.append_null())? {
        Some(text) => {
            column.append_text(&text, settings).map_err(|error| error.with_context(format!("field \"{name}\"")))
        }
        None => {
            column.append_null();
            Ok(())
        }
    }
}

/// The text that a JSON value stands for in a column of this type; `None` for NULL.
fn cell_text(data_type: &DataType, raw: &str, name: &str) -> Result<Option<String>> {
    if raw == "null" {
        return Ok(None);
    }
    if *data_type == DataType::Jsonb {
        return Ok(Some(raw.to_owned()));
    }
    let mismatch = |found: &str| {
        Error::new(Condition::DatatypeMismatch, format!("field \"{name}\" is {found}, expected is {data_type}"))
    };
    let is_number_type = matches!(
        data_type,
        DataType::Int2
            | DataType::Int4
            | DataType::Int8
            | DataType::Float4
            | DataType::Float8
            | DataType::Numeric { .. }
    );
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(Some).map_err(|source| {
            Error::new(Condition::InvalidTextRepresentation, format!("field \"{name}\" is not a valid string"))
                .with_detail(format!("{source}."))
        }),
        Some(b't' | b'f') if *data_type == DataType::Bool => Ok(Some(raw.to_owned())),
        Some(b't' | b'f') => Err(mismatch("a boolean")),
        Some(b'{') => Err(mismatch("an object")),
        Some(b'[') => {
            let DataType::Array(item) = data_type else { return Err(mismatch("an array")) };
            array_literal(item, raw, name).map(Some)
        }
        Some(_) if is_number_type => number_text(data_type, raw).map(Some),
        Some(_) | None => Err(mismatch("a number")),
    }
}

/// Numbers go as their digits; `1.0` and `1e3` are integers too.
fn number_text(data_type: &DataType, raw: &str) -> Result<String> {
    let is_integer = matches!(data_type, DataType::Int2 | DataType::Int4 | DataType::Int8);
    if !is_integer || !raw.contains(['.', 'e', 'E']) {
        return Ok(raw.to_owned());
    }
    let plain = jsonb::normalize(raw)?;
    Ok(match plain.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        Some(_) | None => plain,
    })
}

fn array_literal(item: &DataType, raw: &str, name: &str) -> Result<String> {
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|source| {
        Error::new(Condition::InvalidTextRepresentation, format!("field \"{name}\" is not a valid array"))
            .with_detail(format!("{source}."))
    })?;
    let mut literal = vec![b'{'];
    for (position, raw) in items.iter().enumerate() {
        if position > 0 {
            literal.push(b',');
        }
        match cell_text(item, raw.get(), name)? {
            None => literal.extend_from_slice(b"NULL"),
            Some(text) => crate::text::array::write_element(&mut literal, text.as_bytes()),
        }
    }
    literal.push(b'}');
    Ok(String::from_utf8_lossy(&literal).into_owned())
}

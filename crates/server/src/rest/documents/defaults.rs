//! DEFAULT values for what documents leave out.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use futures::StreamExt as _;
use outcrop_ingest::json::DecodedDocuments;
use outcrop_query::{ExecuteOptions, Execution, Session};
use outcrop_types::{Column, Error, Result, TableSchema};

/// Fills the columns that have a DEFAULT where documents do not name them. Each row gets a value of its own: `DEFAULT
/// gen_random_uuid()` differs from row to row.
pub(super) async fn fill(session: &mut Session, schema: &TableSchema, documents: &mut DecodedDocuments) -> Result<()> {
    for (position, column) in schema.columns.iter().enumerate() {
        let Some(omitted) = documents.omitted.get(position).filter(|rows| !rows.is_empty()) else { continue };
        let Some(default) = &column.write_default else { continue };
        let values = evaluate(session, column, default, omitted.len()).await?;
        if let Some(array) = documents.columns.get_mut(position) {
            *array = merge(column, array, omitted, &values)?;
        }
    }
    Ok(())
}

/// The default's value for `rows` rows.
async fn evaluate(session: &mut Session, column: &Column, default: &str, rows: usize) -> Result<ArrayRef> {
    let sql = format!("SELECT CAST(({default}) AS {}) AS value FROM generate_series(1, {rows})", column.data_type);
    let statement = session.parse(&sql).await?.into_iter().next().ok_or_else(|| unexpected(column))?;
    let prepared = session.prepare(statement, &[]).await?;
    let Execution::Rows(mut batches) = session.execute(&prepared, &[], ExecuteOptions::default()).await? else {
        return Err(unexpected(column));
    };
    let mut arrays: Vec<ArrayRef> = Vec::new();
    while let Some(batch) = batches.next().await.transpose()? {
        arrays.extend(batch.columns().first().map(Arc::clone));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    let values = arrow_select::concat::concat(&arrays).map_err(|source| unexpected(column).with_source(source))?;
    if values.len() == rows { Ok(values) } else { Err(unexpected(column)) }
}

/// The column with the values in the places of the omitted rows, which are sorted.
fn merge(column: &Column, array: &ArrayRef, omitted: &[usize], values: &ArrayRef) -> Result<ArrayRef> {
    let mut next = omitted.iter().enumerate().peekable();
    let places: Vec<(usize, usize)> = (0..array.len())
        .map(|row| match next.next_if(|(_, omitted)| **omitted == row) {
            Some((value, _)) => (1, value),
            None => (0, row),
        })
        .collect();
    arrow_select::interleave::interleave(&[array.as_ref(), values.as_ref()], &places)
        .map_err(|source| unexpected(column).with_source(source))
}

fn unexpected(column: &Column) -> Error {
    Error::internal(format!("the default of column \"{}\" has unexpected values", column.name))
}

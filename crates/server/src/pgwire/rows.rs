//! Batches to DataRow messages.

use arrow_array::RecordBatch;
use outcrop_ingest::binary::write_sized;
use outcrop_ingest::{Cells, TextSettings};
use outcrop_query::ResultColumn;
use outcrop_types::{Condition, Error, Result};
use outcrop_wire::Format;
use tokio::io::AsyncWrite;

use super::outbox::Outbox;
use super::wire_type::{cells, format_of};

/// A batch, looked at once, to be written row by row.
pub(super) struct RowWriter<'a> {
    columns: Vec<(Cells<'a>, Format)>,
    count: [u8; 2],
    settings: TextSettings,
}

impl<'a> RowWriter<'a> {
    pub(super) fn try_new(
        batch: &'a RecordBatch,
        columns: &[ResultColumn],
        formats: &[Format],
        settings: TextSettings,
    ) -> Result<Self> {
        if batch.num_columns() != columns.len() {
            return Err(Error::internal("a batch has other columns than its result"));
        }
        let count = i16::try_from(columns.len())
            .map_err(|_too_many| Error::new(Condition::TooManyColumns, "a result has too many columns"))?;
        let columns = batch
            .columns()
            .iter()
            .zip(columns)
            .enumerate()
            .map(|(position, (array, column))| Ok((cells(array.as_ref(), column)?, format_of(formats, position))));
        Ok(Self { columns: columns.collect::<Result<_>>()?, count: count.to_be_bytes(), settings })
    }

    /// Adds one row.
    pub(super) fn put<W: AsyncWrite + Unpin>(&self, row: usize, outbox: &mut Outbox<W>) {
        outbox.put_raw(b'D', |out| {
            out.extend_from_slice(&self.count);
            for (cells, format) in &self.columns {
                if cells.is_null(row) {
                    out.extend_from_slice(&(-1_i32).to_be_bytes());
                    continue;
                }
                write_sized(out, |out| match format {
                    Format::Text => cells.write_text(row, &self.settings, out),
                    Format::Binary => cells.write_binary(row, out),
                });
            }
        });
    }
}

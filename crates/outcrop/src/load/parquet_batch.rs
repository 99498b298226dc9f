//! Batches of a Parquet file whose types are those of the table: from columns to COPY's binary format, without text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use outcrop_ingest::copy::CopyEncoder;
use outcrop_ingest::{Cells, TextSettings};
use outcrop_types::DataType;

use super::batch::{Batch, BatchSource, Form, HAS_NUL, IS_NULL, Rejected};
use super::input::InputFile;
use super::parquet::{ParquetRows, column_array};
use super::plan::Target;

/// Makes batches of the rows of a Parquet file.
pub(super) struct ParquetBatches {
    rows: ParquetRows,
    types: Arc<[DataType]>,
    /// Names of the table's columns, and whether they take NULL.
    columns: Vec<(String, bool)>,
    encoder: CopyEncoder,
    taken: Arc<AtomicU64>,
    failure: Option<anyhow::Error>,
    is_ended: bool,
}

impl ParquetBatches {
    /// `types` are those of the file and of `targets`; `taken` counts bytes, as far as rows tell.
    pub(super) fn open(
        input: &InputFile,
        types: Arc<[DataType]>,
        targets: &[Target],
        taken: &Arc<AtomicU64>,
    ) -> Result<Self> {
        Ok(Self {
            rows: ParquetRows::open(input, Arc::clone(taken))?,
            columns: targets.iter().map(|target| (target.column.name.clone(), target.column.is_nullable)).collect(),
            encoder: Form::Binary(Arc::clone(&types)).encoder(),
            types,
            taken: Arc::clone(taken),
            failure: None,
            is_ended: false,
        })
    }

    /// Adds the next rows of the file; `false` at its end.
    fn fill(&mut self, batch: &mut Batch) -> Result<bool> {
        let Some((first, arrays)) = self.rows.next(|batch| table_arrays(batch, &self.types))? else {
            return Ok(false);
        };
        let cells = arrays.iter().zip(self.types.iter());
        let cells = cells
            .map(|(array, data_type)| Cells::of_type(array.as_ref(), data_type))
            .collect::<outcrop_types::Result<Vec<_>>>()?;
        let mut refused = self.refused(&arrays);
        for (line, row) in (first..).zip(0..arrays.first().map_or(0, |array| array.len())) {
            let written = match refused.remove(&row) {
                Some(reason) => Err(reason),
                None => batch.push_row(line, |out| self.encoder.write_row(&cells, row, out)),
            };
            if let Err(reason) = written {
                let cells = cells.iter().map(|column| text(column, row)).collect();
                batch.rejected.push(Rejected { line, reason, cells });
            }
        }
        Ok(true)
    }

    /// Why rows are refused that the table's columns cannot take.
    fn refused(&self, arrays: &[ArrayRef]) -> BTreeMap<usize, String> {
        let mut refused = BTreeMap::new();
        for ((name, is_nullable), array) in self.columns.iter().zip(arrays) {
            let mut refuse = |row, reason| {
                refused.entry(row).or_insert_with(|| format!("column {name}: {reason}"));
            };
            if !is_nullable && array.null_count() > 0 {
                (0..array.len()).filter(|row| array.is_null(*row)).for_each(|row| refuse(row, IS_NULL));
            }
            if let Some(texts) = array.as_string_view_opt() {
                let has_nul = |text: Option<&str>| text.is_some_and(|text| text.as_bytes().contains(&0));
                let rows = texts.iter().enumerate().filter(|(_, text)| has_nul(*text));
                rows.for_each(|(row, _)| refuse(row, HAS_NUL));
            }
        }
        refused
    }
}

impl BatchSource for ParquetBatches {
    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let mut batch = Batch::new(Form::Binary(Arc::clone(&self.types)));
        while !self.is_ended && !batch.is_full() {
            match self.fill(&mut batch) {
                Ok(more) => self.is_ended = !more,
                Err(error) => {
                    self.is_ended = true;
                    self.failure = Some(error);
                }
            }
        }
        batch.taken = self.taken.load(Ordering::Relaxed);
        if !batch.is_empty() {
            return Ok(Some(batch));
        }
        self.failure.take().map_or(Ok(None), Err)
    }
}

/// The columns of some rows as columns of the table.
fn table_arrays(batch: &RecordBatch, types: &[DataType]) -> Result<Vec<ArrayRef>> {
    let schema = batch.schema_ref();
    let columns = batch.columns().iter().zip(types).zip(schema.fields());
    let arrays = columns.map(|((array, data_type), field)| {
        column_array(array, data_type).with_context(|| format!("column \"{}\"", field.name()))
    });
    arrays.collect()
}

fn text(column: &Cells<'_>, row: usize) -> Option<String> {
    let mut out = Vec::new();
    column.write_text(row, &TextSettings::default(), &mut out);
    (!column.is_null(row)).then(|| String::from_utf8_lossy(&out).into_owned())
}

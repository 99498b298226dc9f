//! One job: the live rows of some units, written as a segment, step by step.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use outcrop_types::{Condition, Error, Result, TableId, UnitId};

use super::install::{Input, Installed, install};
use super::output::{Output, OutputWriter};
use crate::ScanColumn;
use crate::commit::{RowMap, only_shard};
use crate::key_index::ShardKeys;
use crate::node::Node;
use crate::snapshot::{Morsel, Snapshot, TableSnapshot};
use crate::write::key_hashes;

/// Units on their way to a segment, which holds their rows that are alive at the pin, input by input, in row order.
pub(crate) struct RewriteJob {
    node: Arc<Node>,
    table: TableId,
    inputs: Vec<Input>,
    output: UnitId,
    /// The rows alive at the pin, and the version that keeps them.
    pinned: TableSnapshot,
    keys: Option<Arc<ShardKeys>>,
    columns: Vec<ScanColumn>,
    left: VecDeque<Morsel>,
    /// Bytes of a row in the last batch; 0 before the first.
    row_bytes: usize,
    phase: Phase,
}

enum Phase {
    Begin,
    Writing(Box<OutputWriter>),
    Written(Option<Output>),
}

/// What a step of a job did.
pub(crate) enum JobStep {
    More,
    Installed(Installed),
    /// An input is gone: its table was dropped or truncated meanwhile.
    Abandoned,
    /// An input cannot be read. The job is over, and nothing else is touched by it.
    Unreadable(Error),
}

impl RewriteJob {
    /// Begins to rewrite units of a table, as they are in `pin`, where all their rows are. `None` if one of them is not there:
    /// the table was dropped or truncated.
    pub(crate) fn new(node: &Arc<Node>, pin: &Snapshot, table: TableId, inputs: &[UnitId]) -> Result<Option<Self>> {
        let (Some(pinned), Some(found)) = (pin.table(table), pin.version().tables.get(&table)) else { return Ok(None) };
        let state = only_shard(found)?;
        let output = node.ids.unit();
        let mut mapped = Vec::with_capacity(inputs.len());
        let mut left = VecDeque::new();
        let mut rows: u32 = 0;
        for unit in inputs {
            let Some(deletes) = state.deletes(*unit).cloned() else { return Ok(None) };
            let live = deletes.live();
            mapped.push(Input { unit: *unit, map: RowMap::new(deletes, output, rows) });
            rows = rows.checked_add(live).ok_or_else(|| Error::internal("too many rows for one segment"))?;
            left.extend(pinned.morsels_of(*unit, STEP_ROWS));
        }
        let mut columns: Vec<ScanColumn> =
            pinned.schema().columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
        columns.push(ScanColumn::CommitSeq);
        Ok(Some(Self {
            node: Arc::clone(node),
            table,
            inputs: mapped,
            output,
            keys: state.keys().map(Arc::clone),
            pinned,
            columns,
            left,
            row_bytes: 0,
            phase: Phase::Begin,
        }))
    }

    /// Does one piece of the work.
    ///
    /// # Errors
    /// `DiskFull`: the job is over, its segment gone, and a later one may succeed. Anything else: poison (W9).
    pub(crate) fn step(&mut self) -> Result<JobStep> {
        match std::mem::replace(&mut self.phase, Phase::Begin) {
            Phase::Begin if self.left.is_empty() => self.phase = Phase::Written(None),
            Phase::Begin => {
                let schema = self.pinned.schema();
                let writer = OutputWriter::create(&self.node, self.output, schema, self.keys.as_ref())?;
                self.phase = Phase::Writing(Box::new(writer));
            }
            Phase::Writing(mut writer) => {
                if let Some(morsel) = self.next_piece() {
                    match self.pinned.scan(&morsel, &self.columns, None) {
                        Ok(scanned) => self.write(&mut writer, &morsel, &scanned)?,
                        Err(error) if is_harmless(&error) => return Err(error),
                        Err(error) => return Ok(JobStep::Unreadable(error)),
                    }
                    self.phase = Phase::Writing(writer);
                } else {
                    self.phase = Phase::Written(Some(self.finish(*writer)?));
                }
            }
            Phase::Written(output) => {
                let installed = install(&self.node, self.table, &self.inputs, output)?;
                if installed.is_none() {
                    self.give_up();
                }
                return Ok(installed.map_or(JobStep::Abandoned, JobStep::Installed));
            }
        }
        Ok(JobStep::More)
    }

    /// Removes the files of the output, which nothing names.
    pub(crate) fn give_up(&mut self) {
        self.phase = Phase::Begin;
        crate::manifest::remove_segment_files(&self.node, self.output);
    }

    /// Whether all rows are written and durable: the next step installs them.
    #[cfg(test)]
    pub(crate) fn is_written(&self) -> bool {
        matches!(self.phase, Phase::Written(_))
    }

    /// As many rows as are read at once.
    fn next_piece(&mut self) -> Option<Morsel> {
        let morsel = self.left.pop_front()?;
        let rows_max = match self.row_bytes {
            0 => FIRST_ROWS,
            bytes => u32::try_from(STEP_BYTES / bytes).unwrap_or(u32::MAX).max(STEP_ROWS_MIN),
        };
        if morsel.rows.end - morsel.rows.start <= rows_max {
            return Some(morsel);
        }
        let mut pieces = self.pinned.cut(&morsel, rows_max).into_iter();
        let first = pieces.next();
        pieces.rev().for_each(|piece| self.left.push_front(piece));
        first
    }

    fn write(&mut self, writer: &mut OutputWriter, morsel: &Morsel, scanned: &RecordBatch) -> Result<()> {
        self.row_bytes = scanned.get_array_memory_size().checked_div(morsel.rows.len()).unwrap_or_default().max(1);
        let schema = self.pinned.schema();
        let data: Vec<usize> = (0..schema.columns.len()).collect();
        let rows =
            scanned.project(&data).map_err(|error| Error::internal("a scan without its columns").with_source(error))?;
        let seqs = scanned.columns().last().ok_or_else(|| Error::internal("a scan without commit numbers"))?;
        let keys = key_hashes(self.keys.as_deref(), schema, &rows)?;
        writer.write(&rows, seqs.as_primitive::<UInt64Type>(), &keys)
    }

    /// The maps say that the output has exactly the rows alive at the pin; nothing is installed that has others.
    fn finish(&self, writer: OutputWriter) -> Result<Output> {
        let expected: u64 = self.inputs.iter().map(|input| u64::from(input.map.pinned().live())).sum();
        if u64::from(writer.rows()) != expected {
            let found = writer.rows();
            return Err(Error::internal(format!("{found} rows were written as {}, not {expected}", self.output)));
        }
        writer.finish(&self.node)
    }
}

/// Whether a failure to write a file leaves everything else as it was (W9): there is no space for it, or no open file.
pub(crate) fn is_harmless(error: &Error) -> bool {
    matches!(error.condition(), Condition::DiskFull | Condition::InsufficientResources)
}

/// Most rows that one step writes, and the memory that it should take for them.
const STEP_ROWS: u32 = 32_768;
const STEP_BYTES: usize = 8 << 20;
/// Rows of the first step, which tells how large they are.
const FIRST_ROWS: u32 = 2_048;
/// Fewest rows of a step, however large they are.
const STEP_ROWS_MIN: u32 = 16;

//! One flush: the live rows of a sealed generation, written as a segment, step by step.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use outcrop_segment::{Segment, SegmentOptions, SegmentWriter};
use outcrop_types::{Condition, Error, Result, RowOrdinal, TableId, UnitId};

use super::install::{Installed, Output, install};
use crate::ScanColumn;
use crate::commit::{RowMap, only_shard};
use crate::key_index::ShardKeys;
use crate::node::{Node, SEGMENT_DIR};
use crate::snapshot::{Morsel, Snapshot, TableSnapshot};
use crate::write::key_columns;

/// A generation on its way to a segment.
pub(crate) struct FlushJob {
    node: Arc<Node>,
    table: TableId,
    input: UnitId,
    output: UnitId,
    /// The rows alive at the pin, and the version that keeps them.
    pinned: TableSnapshot,
    keys: Option<Arc<ShardKeys>>,
    map: RowMap,
    columns: Vec<ScanColumn>,
    left: VecDeque<Morsel>,
    phase: Phase,
}

enum Phase {
    Begin,
    Writing(SegmentWriter),
    Written(Option<(Arc<Segment>, u32)>),
}

/// What a step of a job did.
pub(crate) enum JobStep {
    More,
    Installed(Installed),
    /// The generation is gone: its table was dropped or truncated meanwhile.
    Abandoned,
}

impl FlushJob {
    /// Begins to flush generation `input` of a table, as it is in `pin`, where all its rows are. `None` if it is not there:
    /// the table was dropped or truncated.
    pub(crate) fn new(node: &Arc<Node>, pin: &Snapshot, table: TableId, input: UnitId) -> Result<Option<Self>> {
        let (Some(pinned), Some(found)) = (pin.table(table), pin.version().tables.get(&table)) else { return Ok(None) };
        let state = only_shard(found)?;
        let Some(deletes) = state.deletes(input).cloned() else { return Ok(None) };
        let output = node.ids.unit();
        let mut columns: Vec<ScanColumn> =
            pinned.schema().columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
        columns.push(ScanColumn::CommitSeq);
        let left = pinned.morsels(STEP_ROWS).into_iter().filter(|morsel| morsel.unit == input).collect();
        Ok(Some(Self {
            node: Arc::clone(node),
            table,
            input,
            output,
            keys: state.keys().map(Arc::clone),
            map: RowMap::new(deletes, output, 0),
            pinned,
            columns,
            left,
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
                let schema = Arc::clone(self.pinned.schema());
                let options = SegmentOptions::default();
                let node = &self.node;
                let writer = SegmentWriter::create(&node.env, SEGMENT_DIR, node.log_id, self.output, schema, &options)?;
                self.phase = Phase::Writing(writer);
            }
            Phase::Writing(mut writer) => {
                if let Some(morsel) = self.left.pop_front() {
                    self.write(&mut writer, &morsel)?;
                    self.phase = Phase::Writing(writer);
                } else {
                    self.phase = Phase::Written(Some(open_finished(&self.node, writer)?));
                }
            }
            Phase::Written(segment) => {
                let output = segment.map(|(segment, meta_crc)| Output { segment, meta_crc });
                let installed = install(&self.node, self.table, self.input, &self.map, output)?;
                if installed.is_none() {
                    self.give_up();
                }
                return Ok(installed.map_or(JobStep::Abandoned, JobStep::Installed));
            }
        }
        Ok(JobStep::More)
    }

    /// Forgets the index entries of the output; its files stay unnamed and are removed.
    pub(crate) fn give_up(&mut self) {
        if let Some(keys) = &self.keys {
            keys.retire(&[self.output], self.node.published_seq());
        }
        self.phase = Phase::Begin;
        crate::manifest::remove_segment_files(&self.node, self.output);
    }

    fn write(&self, writer: &mut SegmentWriter, morsel: &Morsel) -> Result<()> {
        let scanned = self.pinned.scan(morsel, &self.columns, None)?;
        let first = writer.rows();
        let schema = self.pinned.schema();
        let data: Vec<usize> = (0..schema.columns.len()).collect();
        let rows =
            scanned.project(&data).map_err(|error| Error::internal("a scan without its columns").with_source(error))?;
        let seqs = scanned.columns().last().ok_or_else(|| Error::internal("a scan without commit numbers"))?;
        writer.write(&rows, seqs.as_primitive::<UInt64Type>())?;
        if let Some(keys) = &self.keys {
            let hashes = keys.encode(&key_columns(schema, &rows)?)?;
            let numbers: Vec<RowOrdinal> = (first..writer.rows()).map(RowOrdinal::new).collect();
            keys.insert_segment(&hashes, self.output, &numbers)?;
        }
        Ok(())
    }
}

/// Completes a segment and opens it; the checksum is what its record says.
pub(crate) fn open_finished(node: &Node, writer: SegmentWriter) -> Result<(Arc<Segment>, u32)> {
    let meta = writer.finish()?;
    let crc = outcrop_segment::meta_checksum(&meta);
    Ok((Segment::open(&node.env, SEGMENT_DIR, Arc::new(meta), &node.cache)?, crc))
}

/// Whether a failure to write a file leaves everything else as it was (W9): there is no space for it, or no open file.
pub(crate) fn is_harmless(error: &Error) -> bool {
    matches!(error.condition(), Condition::DiskFull | Condition::InsufficientResources)
}

/// Rows that one step writes.
const STEP_ROWS: u32 = 32_768;

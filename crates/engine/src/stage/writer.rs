//! Invisible segments.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use outcrop_segment::DeleteVector;
use outcrop_types::{CommitSeq, Condition, Error, Result, RowAddress, RowOrdinal, TableSchema, UnitId};

use crate::flush::{Output, OutputWriter};
use crate::key_index::{KeyHash, ShardKeys};
use crate::manifest::{remove_segment_files, remove_staged_file};
use crate::node::Node;
use crate::snapshot::{NewSegment, ShardState, TableSnapshot};
use crate::write::Target;

/// The staged segments of one statement. Dropped before the statement is committed, it removes them.
pub(crate) struct Stage {
    node: Arc<Node>,
    schema: Arc<TableSchema>,
    keys: Option<Arc<ShardKeys>>,
    current: Option<OutputWriter>,
    finished: Vec<Output>,
    victims_file: Option<String>,
    committed: bool,
}

impl Stage {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            node: Arc::clone(&target.node),
            schema: Arc::clone(&target.schema),
            keys: target.keys.as_ref().map(Arc::clone),
            current: None,
            finished: Vec::new(),
            victims_file: None,
            committed: false,
        }
    }

    /// Writes rows, whose keys go to the run of their segment. Returns where they are, in their order.
    ///
    /// # Errors
    /// `DiskFull`: the statement fails. Another failed write poisons the node (W9).
    pub(crate) fn append(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<Vec<RowAddress>> {
        let mut addresses = Vec::with_capacity(rows.num_rows());
        let mut start = 0;
        while start < rows.num_rows() {
            let room = self.open_writer()?;
            let length = room.min(rows.num_rows() - start);
            let part = rows.slice(start, length);
            let part_keys = keys.get(start..start + length).unwrap_or_default();
            let outcome = self.write(&part, part_keys, &mut addresses);
            outcome.inspect_err(|error| self.failed(error))?;
            start += length;
        }
        Ok(addresses)
    }

    /// Completes the segment that is being written, so that all rows can be read.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let Some(writer) = self.current.take() else { return Ok(()) };
        let unit = writer.unit();
        let finished = writer.finish(&self.node);
        let output = finished.inspect_err(|error| {
            self.failed(error);
            remove_segment_files(&self.node, unit);
        })?;
        self.finished.push(output);
        Ok(())
    }

    /// The segments, once [`Stage::finish`] was called.
    pub(crate) fn segments(&self) -> &[Output] {
        &self.finished
    }

    /// The staged rows as a table of their own.
    pub(crate) fn snapshot(&self) -> Result<TableSnapshot> {
        let mut state = ShardState::new(&self.schema, self.node.log_id, &self.node.live, UnitId::new(0));
        let all = self.finished.iter().map(|staged| NewSegment {
            segment: Arc::clone(&staged.segment),
            deletes: DeleteVector::new(staged.segment.rows()),
            run: staged.run.as_ref().map(Arc::clone),
        });
        state.install(&[], all.collect())?;
        Ok(TableSnapshot::of_state(Arc::clone(&self.schema), state, self.node.published_seq()))
    }

    /// A victims file belongs to the statement until it is committed.
    pub(crate) fn own_victims_file(&mut self, name: &str) {
        if let Some(before) = self.victims_file.replace(name.to_owned()) {
            remove_staged_file(&self.node, &before);
        }
    }

    /// The record has its place as commit `seq`: the files belong to the log now.
    pub(crate) fn commit(&mut self, seq: CommitSeq, victims_file: Option<&str>) {
        self.committed = true;
        if let Some(name) = victims_file {
            self.node.victims_files.lock().push((seq, name.to_owned()));
        }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// A writer with room, and how many rows it takes.
    fn open_writer(&mut self) -> Result<usize> {
        let rows_max = self.node.options.flush_rows_max;
        if self.current.as_ref().is_some_and(|writer| writer.rows() >= rows_max) {
            self.finish()?;
        }
        if self.current.is_none() {
            let unit = self.node.ids.unit();
            let writer = OutputWriter::create(&self.node, unit, &self.schema, self.keys.as_ref());
            self.current = Some(writer.inspect_err(|error| self.failed(error))?);
        }
        let used = self.current.as_ref().map_or(0, OutputWriter::rows);
        Ok(usize::try_from(rows_max.saturating_sub(used)).unwrap_or(usize::MAX))
    }

    fn write(&mut self, rows: &RecordBatch, keys: &[KeyHash], addresses: &mut Vec<RowAddress>) -> Result<()> {
        let Some(writer) = &mut self.current else { return Err(Error::internal("a stage without writer")) };
        let first = writer.rows();
        // The commit has no number yet; the segment's metadata gets it when it has.
        writer.write(rows, &UInt64Array::from_value(0, rows.num_rows()), keys)?;
        let unit = writer.unit();
        addresses.extend((first..writer.rows()).map(|row| RowAddress::new(unit, RowOrdinal::new(row))));
        Ok(())
    }

    fn failed(&self, error: &Error) {
        if error.condition() == Condition::IoError {
            self.node.poison(error.message());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        self.current = None;
        let units: Vec<UnitId> = self.finished.drain(..).map(|staged| staged.segment.unit()).collect();
        units.iter().for_each(|unit| remove_segment_files(&self.node, *unit));
        if let Some(name) = self.victims_file.take() {
            remove_staged_file(&self.node, &name);
        }
    }
}

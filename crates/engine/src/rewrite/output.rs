//! Writing a segment together with the key run of its rows.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use outcrop_segment::{KeyRun, KeyRunBuilder, Segment, SegmentOptions, SegmentWriter};
use outcrop_types::{Error, Result, TableSchema, UnitId};

use crate::key_index::{KeyHash, ShardKeys};
use crate::node::{Node, SEGMENT_DIR};

/// A segment that is being written by a flush, a compaction or a staged statement. Dropped unfinished it leaves nothing.
pub(crate) struct OutputWriter {
    unit: UnitId,
    writer: SegmentWriter,
    keys: Option<(Arc<ShardKeys>, KeyRunBuilder)>,
}

/// A durable segment with its key run, which no record names yet.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) segment: Arc<Segment>,
    /// Checksum of the meta file, by which a record names it.
    pub(crate) meta_crc: u32,
    /// The run of its rows; `None` for a table without key index.
    pub(crate) run: Option<Arc<KeyRun>>,
}

impl OutputWriter {
    /// Starts segment `unit` of a table.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(crate) fn create(
        node: &Node,
        unit: UnitId,
        schema: &Arc<TableSchema>,
        keys: Option<&Arc<ShardKeys>>,
    ) -> Result<Self> {
        let options = SegmentOptions::default();
        let writer = SegmentWriter::create(&node.env, SEGMENT_DIR, node.log_id, unit, Arc::clone(schema), &options)?;
        Ok(Self::new(unit, writer, keys))
    }

    /// Starts a segment whose rows are all of one commit, which has no number yet (W10).
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(crate) fn create_staged(
        node: &Node,
        unit: UnitId,
        schema: &Arc<TableSchema>,
        keys: Option<&Arc<ShardKeys>>,
    ) -> Result<Self> {
        let (options, schema) = (SegmentOptions::default(), Arc::clone(schema));
        let writer = SegmentWriter::create_staged(&node.env, SEGMENT_DIR, node.log_id, unit, schema, &options)?;
        Ok(Self::new(unit, writer, keys))
    }

    fn new(unit: UnitId, writer: SegmentWriter, keys: Option<&Arc<ShardKeys>>) -> Self {
        let keys = keys.map(|keys| (Arc::clone(keys), KeyRunBuilder::new(unit, keys.encoder().width())));
        Self { unit, writer, keys }
    }

    /// The keys of its rows, for a table with a key index.
    pub(crate) fn keys(&self) -> Option<&KeyRunBuilder> {
        self.keys.as_ref().map(|(_, builder)| builder)
    }

    /// Its unit.
    pub(crate) fn unit(&self) -> UnitId {
        self.unit
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u32 {
        self.writer.rows()
    }

    /// Adds rows with the commits that inserted them and their keys; none for a table without key index.
    ///
    /// # Errors
    /// Those of [`SegmentWriter::write`]; `InternalError` when there is not a key for each row.
    pub(crate) fn write(&mut self, rows: &RecordBatch, seqs: &UInt64Array, keys: &[KeyHash]) -> Result<()> {
        self.add_keys(rows, keys)?;
        self.writer.write(rows, seqs)
    }

    /// As [`OutputWriter::write`], for a segment of one commit.
    ///
    /// # Errors
    /// As [`OutputWriter::write`].
    pub(crate) fn write_staged(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<()> {
        self.add_keys(rows, keys)?;
        self.writer.write_staged(rows)
    }

    fn add_keys(&mut self, rows: &RecordBatch, keys: &[KeyHash]) -> Result<()> {
        let Some((_, builder)) = &mut self.keys else { return Ok(()) };
        if keys.len() != rows.num_rows() {
            return Err(Error::internal(format!("{} keys for {} rows", keys.len(), rows.num_rows())));
        }
        builder.add(keys);
        Ok(())
    }

    /// Completes both files. The meta file is last: a segment that can be opened has its run.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`; what there is of the files is the caller's to remove.
    pub(crate) fn finish(self, node: &Node) -> Result<Output> {
        let unit = self.unit;
        let run = match self.keys {
            Some((keys, builder)) => {
                builder.finish(&node.env, &keys.run_place(unit))?;
                let run = KeyRun::open(&node.env, SEGMENT_DIR, (node.log_id, unit), &node.cache)?;
                Some(run.ok_or_else(|| Error::internal(format!("key run {unit} is gone")))?)
            }
            None => None,
        };
        let meta = self.writer.finish()?;
        let meta_crc = outcrop_segment::meta_checksum(&meta);
        let segment = Segment::open(&node.env, SEGMENT_DIR, Arc::new(meta), &node.cache)?;
        Ok(Output { segment, meta_crc, run })
    }
}

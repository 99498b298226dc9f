//! One key run in the place of several.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use outcrop_env::Env;
use outcrop_format::key_run::{CoveredSegment, RunEntry};
use outcrop_types::{Error, Result, RowAddress, UnitId};

use super::builder::KeyRunPlace;
use super::run::{KeyRun, read_entries};
use super::writer::RunFileWriter;

/// Merges runs step by step. Holds a few pages of each and the filter of the result.
pub struct KeyRunMerge {
    inputs: Vec<Input>,
    /// The next entry of each input that has one, as it will be in the output, and the input.
    heads: BinaryHeap<Reverse<(RunEntry, usize)>>,
    writer: RunFileWriter,
    written: u64,
}

struct Input {
    run: Arc<KeyRun>,
    next_page: u32,
    /// Entries that were read, last first.
    read: Vec<RunEntry>,
    /// For each segment of the run its number in the output; `None` if it is left out.
    numbers: Vec<Option<u8>>,
}

impl KeyRunMerge {
    /// Begins to merge runs of one key index. `keeps` says which segments are still there; entries of others are left out.
    ///
    /// # Errors
    /// `InternalError` when they would cover too many segments; `DiskFull`, `IoError`, `DataCorrupted`.
    pub fn new(env: &Env, place: &KeyRunPlace, runs: &[Arc<KeyRun>], keeps: impl Fn(UnitId) -> bool) -> Result<Self> {
        let mut segments: Vec<CoveredSegment> = runs.iter().flat_map(|run| run.segments()).copied().collect();
        segments.retain(|segment| keeps(segment.unit));
        segments.sort_unstable_by_key(|segment| segment.unit);
        segments.dedup();
        let number = |unit: UnitId| -> Result<Option<u8>> {
            match segments.binary_search_by_key(&unit, |segment| segment.unit) {
                Ok(at) => u8::try_from(at).map(Some).map_err(|_many| Error::internal("a key run of too many segments")),
                Err(_) => Ok(None),
            }
        };
        let mut inputs = Vec::with_capacity(runs.len());
        for run in runs {
            if run.width() != place.width || run.table() != place.table {
                return Err(Error::internal("key runs of different indexes do not merge"));
            }
            let numbers = run.segments().iter().map(|segment| number(segment.unit)).collect::<Result<_>>()?;
            inputs.push(Input { run: Arc::clone(run), next_page: 0, read: Vec::new(), numbers });
        }
        let entries = runs.iter().map(|run| run.entries()).sum();
        let writer = RunFileWriter::create(env, place.file_name()?, place.header(segments), entries)?;
        let mut merge = Self { inputs, heads: BinaryHeap::new(), writer, written: 0 };
        for input in 0..merge.inputs.len() {
            merge.advance(input)?;
        }
        Ok(merge)
    }

    /// Merges about `entries` entries; false when there are no more. `is_wanted` is asked for each row; one that nobody can
    /// see any more is left out.
    ///
    /// # Errors
    /// `DiskFull`, `IoError`, `DataCorrupted`.
    pub fn step(&mut self, entries: u64, is_wanted: impl Fn(RowAddress) -> bool) -> Result<bool> {
        for _ in 0..entries {
            let Some(Reverse((entry, input))) = self.heads.pop() else { return Ok(false) };
            if is_wanted(self.writer.address(&entry)) {
                self.writer.push(&entry)?;
                self.written += 1;
            }
            self.advance(input)?;
        }
        Ok(true)
    }

    /// Entries written so far.
    pub fn entries(&self) -> u64 {
        self.written
    }

    /// Completes the run, durable and under its name when this returns (S5).
    ///
    /// # Errors
    /// `DiskFull`, `IoError`: there is no run. After a failed sync the caller poisons the node (W9).
    pub fn finish(self) -> Result<()> {
        self.writer.finish()
    }

    /// Puts the next entry of an input among the heads.
    fn advance(&mut self, index: usize) -> Result<()> {
        let Some(input) = self.inputs.get_mut(index) else { return Ok(()) };
        loop {
            if input.read.is_empty() {
                read_entries(&input.run, &mut input.next_page, &mut input.read)?;
            }
            let Some(entry) = input.read.pop() else { return Ok(()) };
            input.run.address(&entry)?;
            if let Some(Some(segment)) = input.numbers.get(usize::from(entry.segment)) {
                self.heads.push(Reverse((RunEntry { segment: *segment, ..entry }, index)));
                return Ok(());
            }
        }
    }
}

impl std::fmt::Debug for KeyRunMerge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs: Vec<UnitId> = self.inputs.iter().map(|input| input.run.unit()).collect();
        f.debug_struct("KeyRunMerge").field("runs", &runs).field("written", &self.written).finish_non_exhaustive()
    }
}

//! The key run of a segment that is being written.

use outcrop_env::Env;
use outcrop_format::key_run::{CoveredSegment, KeyRunHeader, RunEntry};
use outcrop_format::{KeyHash, KeyWidth};
use outcrop_types::{Condition, Error, IndexId, LogId, Result, TableId, UnitId};

use super::writer::RunFileWriter;
use crate::meta::{file_name, key_run_file_name};
use crate::writer::SEGMENT_ROWS_MAX;

/// Which key index a run belongs to, and where its file is.
#[derive(Clone, Debug)]
pub struct KeyRunPlace {
    /// The directory, which exists.
    pub dir: String,
    /// The log.
    pub log_id: LogId,
    /// The run.
    pub unit: UnitId,
    /// The table.
    pub table: TableId,
    /// The key index of the table.
    pub index: IndexId,
    /// What of a hash tells keys apart.
    pub width: KeyWidth,
}

impl KeyRunPlace {
    pub(super) fn file_name(&self) -> Result<outcrop_env::FileName> {
        file_name(&self.dir, &key_run_file_name(self.log_id, self.unit))
    }

    pub(super) fn header(&self, segments: Vec<CoveredSegment>) -> KeyRunHeader {
        KeyRunHeader {
            log_id: self.log_id,
            unit: self.unit,
            table: self.table,
            index: self.index,
            width: self.width,
            entries: 0,
            filter_blocks: 0,
            segments,
        }
    }
}

/// Collects the keys of a segment's rows, in row order, and writes its run. Holds 12 or 20 bytes a row until then, and as
/// much again while it sorts.
#[derive(Debug)]
pub struct KeyRunBuilder {
    segment: UnitId,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    Half(Vec<u64>),
    Whole(Vec<KeyHash>),
}

impl KeyRunBuilder {
    /// A builder for the rows of `segment`.
    pub fn new(segment: UnitId, width: KeyWidth) -> Self {
        let entries = match width {
            KeyWidth::Half => Entries::Half(Vec::new()),
            KeyWidth::Whole => Entries::Whole(Vec::new()),
        };
        Self { segment, entries }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        match &self.entries {
            Entries::Half(highs) => highs.len(),
            Entries::Whole(keys) => keys.len(),
        }
    }

    /// The upper half of the key of a row, by which keys are spread.
    pub fn high(&self, row: u32) -> u64 {
        let row = usize::try_from(row).unwrap_or(usize::MAX);
        match &self.entries {
            Entries::Half(highs) => highs.get(row).copied(),
            Entries::Whole(keys) => keys.get(row).map(|key| key.high()),
        }
        .unwrap_or_default()
    }

    /// Whether a row has this key.
    pub fn has(&self, row: u32, key: KeyHash) -> bool {
        let row = usize::try_from(row).unwrap_or(usize::MAX);
        match &self.entries {
            Entries::Half(highs) => highs.get(row) == Some(&key.high()),
            Entries::Whole(keys) => keys.get(row) == Some(&key),
        }
    }

    /// The keys of the next rows.
    pub fn add(&mut self, keys: &[KeyHash]) {
        match &mut self.entries {
            Entries::Half(highs) => highs.extend(keys.iter().map(|key| key.high())),
            Entries::Whole(hashes) => hashes.extend_from_slice(keys),
        }
    }

    /// Writes the run, durable and under its name when this returns (S5).
    ///
    /// # Errors
    /// `DiskFull`, `IoError`: there is no run. After a failed sync the caller poisons the node (W9).
    pub fn finish(self, env: &Env, place: &KeyRunPlace) -> Result<()> {
        let rows = u32::try_from(self.rows()).ok().filter(|rows| *rows <= SEGMENT_ROWS_MAX).ok_or_else(|| {
            Error::new(Condition::ProgramLimitExceeded, format!("a segment has at most {SEGMENT_ROWS_MAX} rows"))
        })?;
        let header = place.header(vec![CoveredSegment { unit: self.segment, rows }]);
        let mut writer = RunFileWriter::create(env, place.file_name()?, header, u64::from(rows))?;
        let mut push = |key: KeyHash, row: u32| writer.push(&RunEntry { key, segment: 0, row });
        // Of one key the last row comes first.
        match self.entries {
            Entries::Half(highs) => {
                let mut entries: Vec<(u64, u32)> = highs.into_iter().zip((0..u32::MAX).map(|row| !row)).collect();
                entries.sort_unstable();
                entries.into_iter().try_for_each(|(high, row)| push(KeyHash::of_high(high), !row))?;
            }
            Entries::Whole(keys) => {
                let mut entries: Vec<(KeyHash, u32)> = keys.into_iter().zip((0..u32::MAX).map(|row| !row)).collect();
                entries.sort_unstable();
                entries.into_iter().try_for_each(|(key, row)| push(key, !row))?;
            }
        }
        writer.finish()
    }
}

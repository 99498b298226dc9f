//! Which records brought the rows of generations.

use std::collections::HashMap;

use outcrop_format::record::{Change, CommitRecord, DdlChange};
use outcrop_log::RecordPlace;
use outcrop_types::{CommitSeq, RowOrdinal, TableId, UnitId};

/// The generations that were not flushed yet at the place where a feed reads, with the records that their rows are in. A row
/// that is replaced has an address in such a generation, or in a segment.
#[derive(Debug, Default)]
pub(super) struct GenerationRows {
    generations: HashMap<UnitId, Generation>,
}

#[derive(Debug)]
struct Generation {
    table: TableId,
    /// By first row.
    records: Vec<RowsRecord>,
}

/// Rows of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowsRecord {
    pub(super) first_row: u32,
    pub(super) rows: u32,
    pub(super) seq: CommitSeq,
    pub(super) place: RecordPlace,
}

impl GenerationRows {
    /// The feed passes a record.
    pub(super) fn pass(&mut self, record: &CommitRecord, place: RecordPlace, is_shown: impl Fn(TableId) -> bool) {
        for change in &record.changes {
            match change {
                Change::Rows(change) if change.row_count > 0 && is_shown(change.table) => {
                    let of_table = || Generation { table: change.table, records: Vec::new() };
                    let generation = self.generations.entry(change.generation).or_insert_with(of_table);
                    generation.records.push(RowsRecord {
                        first_row: change.first_row.get(),
                        rows: change.row_count,
                        seq: record.seq,
                        place,
                    });
                }
                // Later records name rows of the outputs.
                Change::Install(change) => change.inputs.iter().for_each(|unit| {
                    self.generations.remove(unit);
                }),
                Change::Ddl(DdlChange::DropTable { table } | DdlChange::Truncate { table }) => {
                    self.generations.retain(|_, generation| generation.table != *table);
                }
                Change::Rows(_) | Change::Staged(_) | Change::Expire(_) | Change::Feed(_) => {}
                Change::Ddl(DdlChange::CreateSchema { .. } | DdlChange::DropSchema { .. } | DdlChange::PutTable(_)) => {
                }
            }
        }
    }

    /// Whether rows of a generation passed.
    pub(super) fn has(&self, unit: UnitId) -> bool {
        self.generations.contains_key(&unit)
    }

    /// The record that brought a row.
    pub(super) fn record_of(&self, unit: UnitId, row: RowOrdinal) -> Option<RowsRecord> {
        let records = &self.generations.get(&unit)?.records;
        let after = records.partition_point(|record| record.first_row <= row.get());
        let record = records.get(after.checked_sub(1)?)?;
        (row.get() - record.first_row < record.rows).then_some(*record)
    }
}

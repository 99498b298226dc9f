//! Memory of large statements does not grow with them (W10, P12).

use std::sync::Arc;

use outcrop_engine::{Engine, EngineOptions, OnConflict, ScanColumn, WriteMode};
use outcrop_env::Env;
use outcrop_testkit::Row;
use outcrop_types::{RowAddress, RowOrdinal, TableId, UnitId, Value};

use crate::support::allocations::peak_of;
use crate::support::*;

fn options() -> EngineOptions {
    let mut options = roomy();
    options.commit_inline_bytes_max = 100_000;
    options.page_cache_bytes = 1 << 20;
    // The keys of one segment are in memory while it is written.
    options.flush_rows_max = 20_000;
    options.compaction_in_background = false;
    options
}

fn text(id: i64) -> String {
    // Not the same text in all rows, and none that compresses to nothing.
    let mut state = id.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..12)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{state:016x}")
        })
        .collect()
}

fn some_rows(ids: std::ops::Range<i64>) -> Vec<Row> {
    ids.map(|id| vec![Value::Int(id), Value::Text(text(id))]).collect()
}

fn load(engine: &Engine, table: TableId, rows: i64) {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Insert(OnConflict::Error)).unwrap();
    for start in (0..rows).step_by(1_000) {
        write.insert(batch(&snapshot, table, &some_rows(start..start + 1_000))).unwrap();
    }
    assert_eq!(write.commit().wait().unwrap().inserted, u64::try_from(rows).unwrap());
}

fn update_all(engine: &Engine, table: TableId) -> u64 {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    let view = snapshot.table(table).unwrap();
    let schema = Arc::clone(view.schema());
    let mut columns: Vec<ScanColumn> = schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    columns.extend([ScanColumn::Unit, ScanColumn::Row]);
    for morsel in view.morsels(8_192) {
        let scanned = view.scan(&morsel, &columns, None).unwrap();
        let units = scanned.column(2).as_any().downcast_ref::<arrow_array::UInt64Array>().unwrap().clone();
        let rows = scanned.column(3).as_any().downcast_ref::<arrow_array::UInt32Array>().unwrap().clone();
        let victims: Vec<RowAddress> = units
            .values()
            .iter()
            .zip(rows.values())
            .map(|(unit, row)| RowAddress::new(UnitId::new(*unit), RowOrdinal::new(*row)))
            .collect();
        write.update(&victims, scanned.project(&[0, 1]).unwrap()).unwrap();
    }
    write.commit().wait().unwrap().updated
}

#[test]
fn a_large_insert_and_a_large_update_hold_a_few_bytes_a_row() {
    // Both are well beyond what a segment writer holds back, so what differs is what the statement itself keeps, and the
    // filters of the key runs of its segments.
    let [small, large] = [60_000, 150_000].map(|rows| {
        let directory = tempfile::tempdir().unwrap();
        let env = Env::real(directory.path()).unwrap();
        let engine = Engine::open(&env, options()).unwrap();
        let table = create(&engine, keyed("t"));
        let ((), insert) = peak_of(|| load(&engine, table, rows));
        let (updated, update) = peak_of(|| update_all(&engine, table));
        assert_eq!(updated, rows.unsigned_abs());
        (rows, insert, update)
    });
    let more_rows = large.0 - small.0;
    let (insert, update) = ((large.1 - small.1) / more_rows, (large.2 - small.2) / more_rows);
    assert!(insert <= 16, "an INSERT holds {insert} bytes a row: {small:?} {large:?}");
    assert!(update <= 36, "an UPDATE holds {update} bytes a row: {small:?} {large:?}");
}

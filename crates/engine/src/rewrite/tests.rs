//! What a rewrite holds in memory.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use outcrop_env::Env;
use outcrop_types::{ColumnId, DataType, TableName, TableOptions, UnitId, Value};

use super::{JobStep, RewriteJob};
use crate::allocations::peak_of;
use crate::{Ddl, Engine, EngineOptions, NewColumn, NewTable, OnConflict, WriteMode};

const ROWS: i64 = 1_500;

/// The most bytes that the flush of a table with so many columns holds at once.
fn peak_of_flush(columns: usize, sort_key: Vec<ColumnId>) -> i64 {
    let (env, _sim) = Env::simulated(1);
    let options = EngineOptions {
        log_file_bytes: 1 << 20,
        commit_inline_bytes_max: 64 << 20,
        compaction_in_background: false,
        ..EngineOptions::default()
    };
    let engine = Engine::open(&env, options).unwrap();
    let column = |number: usize| NewColumn {
        name: format!("c{number}"),
        data_type: DataType::Int8,
        nullable: number > 0,
        write_default: None,
        initial_default: Value::Null,
    };
    let table = NewTable {
        name: TableName::new("commons", "wide"),
        columns: (0..columns).map(column).collect(),
        primary_key: Some(("wide_pkey".to_owned(), vec!["c0".to_owned()])),
        options: TableOptions { sort_key, ..TableOptions::default() },
    };
    engine.ddl(Ddl::CreateTable(table)).wait().unwrap();
    let snapshot = engine.snapshot();
    let schema = Arc::clone(snapshot.catalog().tables().next().unwrap());
    // The first column is the key; the others take as good as nothing on the disk, which is in memory here.
    let key = Arc::new(Int64Array::from_iter_values(0..ROWS)) as ArrayRef;
    let same = |_| Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row / 1_000))) as ArrayRef;
    let arrays = std::iter::once(key).chain((1..columns).map(same)).collect();
    let mut write = engine.write(&snapshot, schema.id, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(RecordBatch::try_new(schema.to_arrow(), arrays).unwrap()).unwrap();
    write.commit().wait().unwrap();
    let node = engine.node();
    crate::flush::seal(node, schema.id).unwrap();
    let pin = node.snapshot();
    let unit: Vec<UnitId> = crate::flush::sealed_generations(node, None).iter().map(|sealed| sealed.unit).collect();
    let (mut job, peak) = peak_of(|| {
        let mut job = RewriteJob::new(node, &pin, schema.id, &unit).unwrap().unwrap();
        while !job.is_written() {
            assert!(matches!(job.step().unwrap(), JobStep::More));
        }
        job
    });
    assert!(matches!(job.step().unwrap(), JobStep::Installed(_)));
    peak
}

#[test]
fn the_memory_of_a_rewrite_does_not_depend_on_the_width_of_the_table() {
    let narrow = peak_of_flush(40, vec![ColumnId::new(20)]);
    let wide = peak_of_flush(400, vec![ColumnId::new(200), ColumnId::new(1)]);
    // What grows is the metadata: bounds, checksums and names of columns. ADR 0008 has the figures of a thousand columns.
    let metadata = 360 * 4_096;
    assert!(wide < narrow * 64 / 40 + metadata, "40 columns: {narrow} bytes, 400: {wide}");
}

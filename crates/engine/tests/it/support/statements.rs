//! What the tests share: small tables, statements and reads in terms of rows.

use std::sync::Arc;

use std::time::Duration;

use arrow_array::RecordBatch;
use outcrop_engine::{
    Commit, Ddl, Engine, EngineOptions, NewColumn, NewTable, OnConflict, ScanColumn, Snapshot, WriteMode,
};
use outcrop_testkit::{Row, batch_of, rows_of};
use outcrop_types::{
    DataType, Result, RowAddress, RowOrdinal, TableId, TableName, TableOptions, TableSchema, UnitId, Value,
};

/// Limits so small that everything happens all the time.
pub(crate) fn tiny() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.flush_bytes_max = 64 << 10;
    options.flush_rows_max = 50;
    options.flush_age_max = Duration::from_millis(500);
    options.memtable_bytes_max = 256 << 10;
    options.log_bytes_max = 256 << 10;
    options.log_file_bytes = 64 << 10;
    options.commit_inline_bytes_max = 8 << 10;
    // Some checkpoints say which rows are dead themselves, some need a file.
    options.checkpoint_inline_bytes_max = 60;
    options.page_cache_bytes = 1 << 20;
    options
}

/// Limits that keep everything in memory and log files small.
pub(crate) fn roomy() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.log_file_bytes = 1 << 20;
    options
}

pub(crate) fn column(name: &str, data_type: DataType, nullable: bool) -> NewColumn {
    NewColumn { name: name.to_owned(), data_type, nullable, write_default: None, initial_default: Value::Null }
}

/// `CREATE TABLE name (id bigint PRIMARY KEY, value text)`.
pub(crate) fn keyed(name: &str) -> NewTable {
    NewTable {
        name: TableName::new("commons", name),
        columns: vec![column("id", DataType::Int8, false), column("value", DataType::Text, true)],
        primary_key: Some((format!("{name}_pkey"), vec!["id".to_owned()])),
        options: TableOptions::default(),
    }
}

/// The definition that makes `schema`, but for its id.
pub(crate) fn definition(schema: &TableSchema) -> NewTable {
    NewTable {
        name: schema.name.clone(),
        columns: schema
            .columns
            .iter()
            .map(|column| NewColumn {
                name: column.name.clone(),
                data_type: column.data_type.clone(),
                nullable: column.nullable,
                write_default: column.write_default.clone(),
                initial_default: column.initial_default.clone(),
            })
            .collect(),
        primary_key: schema.primary_key().map(|key| {
            let names = key.columns.iter().map(|id| schema.column(*id).unwrap().name.clone());
            (key.name.clone(), names.collect())
        }),
        options: schema.options.clone(),
    }
}

pub(crate) fn create(engine: &Engine, table: NewTable) -> TableId {
    let name = table.name.clone();
    engine.ddl(Ddl::CreateTable(table)).wait().unwrap();
    engine.snapshot().catalog().table(&name).unwrap().id
}

/// `(id, value)`.
pub(crate) fn row(id: i64, value: &str) -> Row {
    vec![Value::Int(id), Value::Text(value.to_owned())]
}

pub(crate) fn rows(ids: std::ops::Range<i64>, value: &str) -> Vec<Row> {
    ids.map(|id| row(id, value)).collect()
}

pub(crate) fn batch(snapshot: &Snapshot, table: TableId, rows: &[Row]) -> RecordBatch {
    batch_of(snapshot.catalog().table_by_id(table).unwrap(), rows)
}

/// Key columns of keys.
pub(crate) fn key_batch(snapshot: &Snapshot, table: TableId, keys: &[Row]) -> RecordBatch {
    let schema = snapshot.catalog().table_by_id(table).unwrap();
    let key = schema.primary_key().unwrap();
    let columns = key.columns.iter().map(|id| schema.column(*id).unwrap().clone()).collect();
    batch_of(&TableSchema { columns, keys: Vec::new(), ..TableSchema::clone(schema) }, keys)
}

pub(crate) fn insert(engine: &Engine, table: TableId, rows: &[Row]) -> Result<Commit> {
    write_rows(engine, table, rows, WriteMode::Insert(OnConflict::Error))
}

pub(crate) fn upsert(engine: &Engine, table: TableId, rows: &[Row]) -> Result<Commit> {
    write_rows(engine, table, rows, WriteMode::Upsert)
}

pub(crate) fn write_rows(engine: &Engine, table: TableId, rows: &[Row], mode: WriteMode) -> Result<Commit> {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, mode)?.keep_rows();
    write.insert(batch(&snapshot, table, rows))?;
    write.commit().wait()
}

pub(crate) fn delete_keys(engine: &Engine, table: TableId, keys: &[Row]) -> Result<Commit> {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert)?.keep_rows();
    write.delete_keys(&key_batch(&snapshot, table, keys))?;
    write.commit().wait()
}

/// All rows of a table, in no order.
pub(crate) fn scan(snapshot: &Snapshot, table: TableId) -> Vec<Row> {
    scan_addresses(snapshot, table).into_iter().map(|(_, row)| row).collect()
}

/// All rows with their addresses.
pub(crate) fn scan_addresses(snapshot: &Snapshot, table: TableId) -> Vec<(RowAddress, Row)> {
    try_scan(snapshot, table).unwrap()
}

/// As [`scan_addresses`] on a machine that may fail.
pub(crate) fn try_scan(snapshot: &Snapshot, table: TableId) -> Result<Vec<(RowAddress, Row)>> {
    let Some(table) = snapshot.table(table) else { return Ok(Vec::new()) };
    let width = table.schema().columns.len();
    let mut columns: Vec<ScanColumn> =
        table.schema().columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    columns.extend([ScanColumn::Unit, ScanColumn::Row]);
    let mut found = Vec::new();
    for morsel in table.morsels(8_192) {
        let scanned = table.scan(&morsel, &columns, None)?;
        assert_eq!(scanned.num_rows(), usize::try_from(morsel.live).unwrap());
        let units = Arc::clone(scanned.column(width));
        let numbers = Arc::clone(scanned.column(width + 1));
        let data = scanned.project(&(0..width).collect::<Vec<_>>()).unwrap();
        for (index, row) in rows_of(&data).into_iter().enumerate() {
            let unit = units.as_any().downcast_ref::<arrow_array::UInt64Array>().unwrap().value(index);
            let number = numbers.as_any().downcast_ref::<arrow_array::UInt32Array>().unwrap().value(index);
            found.push((RowAddress::new(UnitId::new(unit), RowOrdinal::new(number)), row));
        }
    }
    assert_eq!(table.live_rows(), u64::try_from(found.len()).unwrap());
    Ok(found)
}

/// Rows of a keyed table sorted by id, as `(id, value)`.
pub(crate) fn pairs(snapshot: &Snapshot, table: TableId) -> Vec<(i64, String)> {
    let mut pairs: Vec<(i64, String)> = scan(snapshot, table)
        .into_iter()
        .map(|row| match row.as_slice() {
            [Value::Int(id), Value::Text(value)] => (*id, value.clone()),
            other => panic!("{other:?} is no row of this table"),
        })
        .collect();
    pairs.sort();
    pairs
}

/// Addresses of the rows with these ids.
pub(crate) fn find(snapshot: &Snapshot, table: TableId, ids: &[i64]) -> Vec<RowAddress> {
    let keys: Vec<Row> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    let found = snapshot.table(table).unwrap().lookup(&key_batch(snapshot, table, &keys)).unwrap();
    found.into_iter().map(|address| address.expect("the key exists")).collect()
}

/// Every key is found at the row that a scan shows, and the row is what a fetch gives.
pub(crate) fn check_keys(snapshot: &Snapshot, id: TableId) {
    let scanned = scan_addresses(snapshot, id);
    check_keys_of(snapshot, id, &scanned).unwrap();
}

/// As [`check_keys`], with what a scan gave, on a disk that may fail.
pub(crate) fn check_keys_of(snapshot: &Snapshot, id: TableId, scanned: &[(RowAddress, Row)]) -> Result<()> {
    let Some(table) = snapshot.table(id) else { return Ok(()) };
    let Some(key) = table.schema().primary_key() else { return Ok(()) };
    let positions: Vec<usize> = key.columns.iter().map(|id| table.schema().position(*id).unwrap()).collect();
    let keys: Vec<Row> =
        scanned.iter().map(|(_, row)| positions.iter().map(|position| row[*position].clone()).collect()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let found = table.lookup(&key_batch(snapshot, id, &keys))?;
    for ((address, row), found) in scanned.iter().zip(found) {
        assert_eq!(found, Some(*address), "key of {row:?}");
    }
    Ok(())
}

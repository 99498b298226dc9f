//! Small tables, and statements in terms of ids and values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, RecordBatch, UInt32Array, UInt64Array};
use outcrop_engine::{CommitHandle, Engine, EngineOptions, NewColumn, NewTable, ScanColumn, Snapshot, WriteMode};
use outcrop_testkit::{Row, batch_of, rows_of};
use outcrop_types::{
    DataType, Result, RowAddress, RowOrdinal, TableId, TableName, TableOptions, TableSchema, UnitId, Value,
};

/// Content of a table `(id bigint PRIMARY KEY, value text)`.
pub type Pairs = BTreeMap<i64, String>;

/// The table's name in the default schema.
pub fn name(table: &str) -> TableName {
    TableName::new("commons", table)
}

/// `CREATE TABLE name (id bigint PRIMARY KEY, value text)`.
pub fn keyed(table: &str) -> NewTable {
    NewTable {
        name: name(table),
        columns: vec![column("id", DataType::Int8, false), column("value", DataType::Text, true)],
        primary_key: Some((format!("{table}_pkey"), vec!["id".to_owned()])),
        options: TableOptions::default(),
    }
}

/// A column without defaults.
pub fn column(name: &str, data_type: DataType, nullable: bool) -> NewColumn {
    NewColumn { name: name.to_owned(), data_type, nullable, write_default: None, initial_default: Value::Null }
}

/// Limits so small that everything happens all the time.
pub fn tiny() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.flush_bytes_max = 64 << 10;
    options.flush_rows_max = 50;
    options.flush_age_max = Duration::from_millis(500);
    options.memtable_bytes_max = 256 << 10;
    options.log_bytes_max = 128 << 10;
    options.log_file_bytes = 32 << 10;
    options.commit_inline_bytes_max = 1_000;
    options.page_cache_bytes = 1 << 20;
    options
}

/// `(id, value)`.
pub fn row(id: i64, value: &str) -> Row {
    vec![Value::Int(id), Value::Text(value.to_owned())]
}

/// Rows as a batch of the table.
pub fn batch(snapshot: &Snapshot, table: TableId, rows: &[Row]) -> RecordBatch {
    batch_of(snapshot.catalog().table_by_id(table).expect("the table is there"), rows)
}

/// Keys as a batch of the key column.
pub fn keys(snapshot: &Snapshot, table: TableId, ids: &[i64]) -> RecordBatch {
    let schema = snapshot.catalog().table_by_id(table).expect("the table is there");
    let columns = vec![schema.columns[0].clone()];
    let rows: Vec<Row> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    batch_of(&TableSchema { columns, keys: Vec::new(), ..TableSchema::clone(schema) }, &rows)
}

/// Sends rows; the answer may be waited for later.
///
/// # Errors
/// What refused them before they had a place in the order.
pub fn send(engine: &Engine, table: TableId, mode: WriteMode, rows: &[Row]) -> Result<CommitHandle> {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, mode)?;
    write.insert(batch(&snapshot, table, rows))?;
    Ok(write.commit())
}

/// Sends a deletion by key.
///
/// # Errors
/// As [`send`].
pub fn send_delete(engine: &Engine, table: TableId, ids: &[i64]) -> Result<CommitHandle> {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Upsert)?;
    write.delete_keys(&keys(&snapshot, table, ids))?;
    Ok(write.commit())
}

/// Every row of a table with its address, as a scan gives them.
///
/// # Errors
/// What the disk says.
pub fn scan(snapshot: &Snapshot, table: TableId) -> Result<Vec<(RowAddress, Row)>> {
    let Some(table) = snapshot.table(table) else { return Ok(Vec::new()) };
    let width = table.schema().columns.len();
    let mut columns: Vec<ScanColumn> = table.schema().columns.iter().map(|c| ScanColumn::Column(c.id)).collect();
    columns.extend([ScanColumn::Unit, ScanColumn::Row]);
    let mut found = Vec::new();
    for morsel in table.morsels(8_192) {
        let scanned = table.scan(&morsel, &columns, None)?;
        let units = Arc::clone(scanned.column(width));
        let numbers = Arc::clone(scanned.column(width + 1));
        let units = units.as_any().downcast_ref::<UInt64Array>().expect("units are u64");
        let numbers = numbers.as_any().downcast_ref::<UInt32Array>().expect("row numbers are u32");
        let data = scanned.project(&(0..width).collect::<Vec<_>>()).expect("the columns are there");
        for (index, row) in rows_of(&data).into_iter().enumerate() {
            found.push((RowAddress::new(UnitId::new(units.value(index)), RowOrdinal::new(numbers.value(index))), row));
        }
    }
    assert_eq!(table.live_rows(), found.len() as u64, "the count of live rows is exact");
    Ok(found)
}

/// Every key is found at the row that a scan shows, each key is there once, and keys that are not there are not found (P6).
///
/// # Errors
/// What the disk says.
pub fn check_index(snapshot: &Snapshot, id: TableId, scanned: &[(RowAddress, Row)]) -> Result<()> {
    let Some(table) = snapshot.table(id) else { return Ok(()) };
    let mut ids: Vec<i64> = scanned.iter().map(|(_, row)| id_of(row)).collect();
    let mut wanted: Vec<Option<RowAddress>> = scanned.iter().map(|(address, _)| Some(*address)).collect();
    let distinct: std::collections::BTreeSet<i64> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len(), "a key is alive twice: {scanned:?}");
    for absent in (-1..200).filter(|id| !distinct.contains(id)).take(10) {
        ids.push(absent);
        wanted.push(None);
    }
    let found = table.lookup(&keys(snapshot, id, &ids))?;
    for ((id, found), wanted) in ids.iter().zip(found).zip(wanted) {
        assert_eq!(found, wanted, "key {id} through the index");
    }
    let addresses: Vec<RowAddress> = scanned.iter().map(|(address, _)| *address).collect();
    if !addresses.is_empty() {
        let columns: Vec<ScanColumn> = table.schema().columns.iter().map(|c| ScanColumn::Column(c.id)).collect();
        let fetched = rows_of(&table.fetch(&addresses, &columns)?);
        assert!(fetched.iter().eq(scanned.iter().map(|(_, row)| row)), "rows by address: {fetched:?}, {scanned:?}");
    }
    Ok(())
}

/// The key of a row.
///
/// # Panics
/// If the first column is no integer.
pub fn id_of(row: &Row) -> i64 {
    match row.first() {
        Some(Value::Int(id)) => *id,
        other => panic!("{other:?} is no id"),
    }
}

/// Rows as a map; every id once.
///
/// # Panics
/// If they are no pairs.
pub fn pairs(rows: &[(RowAddress, Row)]) -> Pairs {
    let pair = |(_, row): &(RowAddress, Row)| match row.as_slice() {
        [Value::Int(id), Value::Text(value)] => (*id, value.clone()),
        other => panic!("{other:?} is no row of this table"),
    };
    let pairs: Pairs = rows.iter().map(pair).collect();
    assert_eq!(pairs.len(), rows.len(), "a key is alive twice: {rows:?}");
    pairs
}

//! Small databases with files of every kind.

use std::sync::LazyLock;
use std::time::Duration;

use outcrop_engine::{
    AlterAction, Ddl, Engine, EngineOptions, FeedTables, NewColumn, NewTable, OnConflict, ScanColumn, WriteMode,
};
use outcrop_env::{DiskImage, Env, Sim};
use outcrop_testkit::generate::{from_seed, values_of};
use outcrop_testkit::{Row, batch_of};
use outcrop_types::{DataType, RowAddress, RowOrdinal, TableId, TableName, TableOptions, TableSchema, UnitId, Value};

use crate::contents::Contents;

/// A database at rest, what it holds, and how its disk looked before.
pub(crate) struct Built {
    /// After a clean stop.
    pub(crate) stopped: DiskImage,
    /// What it holds.
    pub(crate) contents: Contents,
    /// After the process was killed: nothing says that its last group is durable.
    pub(crate) killed: DiskImage,
    /// What it holds with the last group, and without it.
    pub(crate) killed_contents: [Contents; 2],
    /// The disk at earlier moments, oldest first.
    pub(crate) earlier: Vec<DiskImage>,
}

/// Limits of the databases.
pub(crate) fn options() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.flush_age_max = Duration::from_secs(100_000);
    options.log_file_bytes = 64 << 10;
    options.commit_inline_bytes_max = 4 << 10;
    options.page_cache_bytes = 4 << 20;
    options.compaction_in_background = false;
    options
}

/// A table with a column of every type; one with updates, deletes, merged key runs and compacted segments; one that is only in the
/// log; a cursor.
pub(crate) static EVERYTHING: LazyLock<Built> = LazyLock::new(everything);

/// A table without a key of which a statement deleted so much that its victims have a file.
pub(crate) static WITH_VICTIMS: LazyLock<Built> = LazyLock::new(with_victims);

fn everything() -> Built {
    let (env, sim) = Env::simulated(77);
    let mut earlier = Vec::new();
    let engine = Engine::open(&env, options()).unwrap();
    let wide = create(&engine, wide());
    let keyed = create(&engine, keyed("keyed"));
    insert(&engine, wide, &wide_rows(&schema(&engine, wide), 0..12));
    engine.create_feed_cursor("follower", FeedTables::Some([keyed].into())).wait().unwrap();
    upsert(&engine, keyed, &rows(0..60, "first"));
    engine.flush(None).unwrap();
    earlier.push(sim.image());
    // Staged: too large for a record.
    upsert(&engine, keyed, &rows(40..240, "second, of some more length"));
    delete(&engine, keyed, &[1, 2, 3, 55, 130]);
    sim.run_until_idle(1_000);
    engine.checkpoint().unwrap();
    earlier.push(sim.image());
    upsert(&engine, keyed, &rows(200..230, "third"));
    let rename = AlterAction::RenameColumn { from: "value".into(), to: "text".into() };
    let alter = |actions| Ddl::AlterTable { table: TableName::new("commons", "keyed"), actions };
    engine.ddl(alter(vec![rename])).wait().unwrap();
    engine.flush(None).unwrap();
    insert(&engine, wide, &wide_rows(&schema(&engine, wide), 12..16));
    earlier.push(sim.image());
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open(&env, options()).unwrap();
    sim.run_until_idle(1_000);
    let small = create(&engine, self::keyed("small"));
    insert(&engine, small, &rows(0..3, "in the log"));
    delete(&engine, keyed, &[7, 201]);
    // Its segment is named by the log only, until the next checkpoint.
    upsert(&engine, keyed, &rows(400..480, "staged, and in no manifest"));
    earlier.push(sim.image());
    finish(&sim, engine, earlier, |engine| upsert(engine, small, &rows(2..5, "last")))
}

fn with_victims() -> Built {
    let (env, sim) = Env::simulated(78);
    let mut earlier = Vec::new();
    let engine = Engine::open(&env, options()).unwrap();
    // Its rows stay in memory, so the log is kept from here on.
    let kept = create(&engine, keyed("kept"));
    insert(&engine, kept, &rows(0..2, "in the log"));
    let flags = create(
        &engine,
        NewTable {
            name: TableName::new("commons", "flags"),
            columns: vec![column("flag", DataType::Bool, false)],
            primary_key: None,
            options: TableOptions::default(),
        },
    );
    let many: Vec<Row> = (0..16_600).map(|number| vec![Value::Bool(number % 3 == 0)]).collect();
    insert(&engine, flags, &many);
    sim.run_until_idle(1_000);
    earlier.push(sim.image());
    let snapshot = engine.snapshot();
    let doomed: Vec<RowAddress> = addresses(&engine, flags).into_iter().take(16_500).collect();
    let mut write = engine.write(&snapshot, flags, WriteMode::Change(None)).unwrap();
    write.delete(&doomed).unwrap();
    assert_eq!(write.commit().wait().unwrap().deleted, 16_500);
    earlier.push(sim.image());
    finish(&sim, engine, earlier, |engine| insert(engine, kept, &rows(5..6, "last")))
}

/// Kills the process after `last`, and stops it cleanly on another copy of the machine.
fn finish(sim: &Sim, engine: Engine, earlier: Vec<DiskImage>, last: impl Fn(&Engine)) -> Built {
    sim.run_until_idle(1_000);
    // The mark of what is durable is written within 10 ms.
    sim.advance(Duration::from_millis(20));
    sim.run_until_idle(1_000);
    let before = Contents::read(&engine).unwrap();
    last(&engine);
    let contents = Contents::read(&engine).unwrap();
    assert!(before != contents);
    let killed = sim.image();
    engine.close().unwrap();
    drop(engine);
    Built { stopped: sim.image(), contents: contents.clone(), killed, killed_contents: [contents, before], earlier }
}

fn column(name: &str, data_type: DataType, nullable: bool) -> NewColumn {
    NewColumn { name: name.to_owned(), data_type, nullable, write_default: None, initial_default: Value::Null }
}

fn keyed(name: &str) -> NewTable {
    NewTable {
        name: TableName::new("commons", name),
        columns: vec![column("id", DataType::Int8, false), column("value", DataType::Text, true)],
        primary_key: Some((format!("{name}_pkey"), vec!["id".to_owned()])),
        options: TableOptions::default(),
    }
}

fn wide() -> NewTable {
    let array = |item: DataType| DataType::Array(Box::new(item));
    let types = [
        DataType::Bool,
        DataType::Int2,
        DataType::Int4,
        DataType::Float4,
        DataType::Float8,
        DataType::Numeric { precision: 10, scale: 2 },
        DataType::NUMERIC_DEFAULT,
        DataType::Numeric { precision: 76, scale: 5 },
        DataType::Text,
        DataType::Varchar { length: 20 },
        DataType::Bytea,
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::TimestampTz,
        DataType::Uuid,
        DataType::Jsonb,
        array(DataType::Int4),
        array(DataType::Text),
    ];
    let others = (0..).zip(types).map(|(number, data_type): (u32, _)| column(&format!("c{number}"), data_type, true));
    let keys = [column("id", DataType::Int8, false), column("part", DataType::Text, false)];
    NewTable {
        name: TableName::new("commons", "wide"),
        columns: keys.into_iter().chain(others).collect(),
        primary_key: Some(("wide_pkey".to_owned(), vec!["id".to_owned(), "part".to_owned()])),
        options: TableOptions::default(),
    }
}

fn wide_rows(schema: &TableSchema, ids: std::ops::Range<i64>) -> Vec<Row> {
    let value = |id: i64, (number, data_type): (u64, &DataType)| match (id + i64::try_from(number).unwrap()) % 4 {
        0 => Value::Null,
        _ => from_seed(&values_of(data_type), id.unsigned_abs() * 100 + number),
    };
    ids.map(|id| {
        let others = schema.columns.iter().skip(2).map(|column| &column.data_type);
        let others = (0..).zip(others).map(|column| value(id, column));
        [Value::Int(id), Value::Text(format!("part {}", id % 3))].into_iter().chain(others).collect()
    })
    .collect()
}

fn create(engine: &Engine, table: NewTable) -> TableId {
    let name = table.name.clone();
    engine.ddl(Ddl::CreateTable(table)).wait().unwrap();
    engine.snapshot().catalog().table(&name).unwrap().id
}

fn schema(engine: &Engine, table: TableId) -> TableSchema {
    TableSchema::clone(engine.snapshot().catalog().table_by_id(table).unwrap())
}

/// `(id, value)`.
fn rows(ids: std::ops::Range<i64>, value: &str) -> Vec<Row> {
    ids.map(|id| vec![Value::Int(id), Value::Text(format!("{value} {id}"))]).collect()
}

fn insert(engine: &Engine, table: TableId, rows: &[Row]) {
    write(engine, table, rows, WriteMode::Insert(OnConflict::Error));
}

fn upsert(engine: &Engine, table: TableId, rows: &[Row]) {
    write(engine, table, rows, WriteMode::Upsert);
}

fn write(engine: &Engine, table: TableId, rows: &[Row], mode: WriteMode) {
    let mut write = engine.write(&engine.snapshot(), table, mode).unwrap();
    write.insert(batch_of(&schema(engine, table), rows)).unwrap();
    write.commit().wait().unwrap();
}

fn delete(engine: &Engine, table: TableId, ids: &[i64]) {
    let schema = schema(engine, table);
    let columns = vec![schema.columns[0].clone()];
    let keys: Vec<Row> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    let mut write = engine.write(&engine.snapshot(), table, WriteMode::Upsert).unwrap();
    write.delete_keys(&batch_of(&TableSchema { columns, keys: Vec::new(), ..schema }, &keys)).unwrap();
    assert_eq!(write.commit().wait().unwrap().deleted, ids.len() as u64);
}

/// Where the rows of a table are, in the order of the table.
fn addresses(engine: &Engine, table: TableId) -> Vec<RowAddress> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{UInt32Type, UInt64Type};
    let snapshot = engine.snapshot();
    let table = snapshot.table(table).unwrap();
    let mut found = Vec::new();
    for morsel in table.morsels(8_192) {
        let scanned = table.scan(&morsel, &[ScanColumn::Unit, ScanColumn::Row], None).unwrap();
        let units = scanned.column(0).as_primitive::<UInt64Type>().values();
        let numbers = scanned.column(1).as_primitive::<UInt32Type>().values();
        let address = |(unit, number): (&u64, &u32)| RowAddress::new(UnitId::new(*unit), RowOrdinal::new(*number));
        found.extend(units.iter().zip(numbers).map(address));
    }
    found
}

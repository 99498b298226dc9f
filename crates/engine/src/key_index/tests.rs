use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::ArrayRef;
use outcrop_testkit::compare::compare_rows;
use outcrop_testkit::generate::{SchemaShape, from_seed, keys_for, schemas};
use outcrop_testkit::{Row, array_of, batch_of};
use outcrop_types::{
    Column, ColumnId, Comments, CommitSeq, Condition, DataType, IndexId, KeyIndex, KeySecret, LogId, RowAddress,
    RowOrdinal, SchemaVersion, Slot, TableId, TableName, TableOptions, TableSchema, UnitId, Value,
};
use proptest::prelude::*;

use super::encoder::KEY_BYTES_MAX;
use super::{KeyEncoder, KeyHash, ShardKeys};
use crate::Catalog;
use crate::snapshot::{LiveVersions, ShardState, TableState, Version};

const LOG: LogId = LogId::from_bytes([7; 16]);

fn schema_of(types: &[DataType]) -> TableSchema {
    let column = |(number, data_type): (u32, &DataType)| Column {
        id: ColumnId::new(number),
        name: format!("c{number}"),
        data_type: data_type.clone(),
        collation: 0,
        nullable: false,
        initial_default: Value::Null,
        write_default: None,
    };
    let columns: Vec<Column> = (1..).zip(types).map(column).collect();
    let key = KeyIndex {
        id: IndexId::new(1),
        name: "t_pkey".to_owned(),
        columns: columns.iter().map(|column| column.id).collect(),
        secret: KeySecret::from_bytes([3; 16]),
    };
    TableSchema {
        id: TableId::new(1),
        version: SchemaVersion::new(1),
        name: TableName::new("commons", "t"),
        columns,
        keys: vec![key],
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    }
}

fn encoder(schema: &TableSchema) -> KeyEncoder {
    KeyEncoder::new(schema, schema.primary_key().unwrap())
}

/// Keys, one row each, as arrays of the key columns.
fn arrays(schema: &TableSchema, keys: &[Row]) -> Vec<ArrayRef> {
    let key = schema.primary_key().unwrap();
    let types = key.columns.iter().map(|id| schema.column(*id).unwrap().data_type.clone());
    types
        .enumerate()
        .map(|(position, data_type)| array_of(&data_type, &keys.iter().map(|key| &key[position]).collect::<Vec<_>>()))
        .collect()
}

fn encode(schema: &TableSchema, keys: &[Row]) -> Vec<KeyHash> {
    encoder(schema).encode(&arrays(schema, keys)).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn equal_keys_and_only_they_have_equal_hashes(
        schema in schemas(SchemaShape { key_columns: 1..=3, ..SchemaShape::default() }),
        seed in any::<u64>(),
    ) {
        let keys: Vec<Row> = (0..24).map(|i| from_seed(&keys_for(&schema), seed.wrapping_add(i))).collect();
        let hashes = encode(&schema, &keys);
        for (a, a_hash) in keys.iter().zip(&hashes) {
            for (b, b_hash) in keys.iter().zip(&hashes) {
                prop_assert_eq!(compare_rows(a, b).is_eq(), a_hash == b_hash, "{:?} and {:?}", a, b);
            }
        }
    }

    #[test]
    fn encoded_keys_are_ordered_as_the_keys_are(
        schema in schemas(SchemaShape { key_columns: 1..=3, ..SchemaShape::default() }),
        seed in any::<u64>(),
    ) {
        let keys: Vec<Row> = (0..12).map(|i| from_seed(&keys_for(&schema), seed.wrapping_add(i))).collect();
        let columns = arrays(&schema, &keys);
        let encoder = encoder(&schema);
        let encoded: Vec<Vec<u8>> = (0..keys.len()).map(|row| encoder.bytes(&columns, row).unwrap()).collect();
        for (a, a_bytes) in keys.iter().zip(&encoded) {
            for (b, b_bytes) in keys.iter().zip(&encoded) {
                prop_assert_eq!(compare_rows(a, b), a_bytes.cmp(b_bytes), "{:?} and {:?}", a, b);
            }
        }
    }

    #[test]
    fn text_keys_do_not_run_into_each_other(
        pairs in proptest::collection::vec(("[a\0\u{1}\u{ff}]{0,4}", "[a\0\u{1}\u{ff}]{0,4}"), 2..20),
    ) {
        let schema = schema_of(&[DataType::Text, DataType::Text]);
        let keys: Vec<Row> = pairs.iter().map(|(a, b)| vec![text(a), text(b)]).collect();
        let hashes: HashSet<KeyHash> = encode(&schema, &keys).into_iter().collect();
        prop_assert_eq!(hashes.len(), pairs.iter().collect::<HashSet<_>>().len());
    }
}

#[test]
fn consecutive_integers_spread_over_slots_stripes_and_buckets() {
    let schema = schema_of(&[DataType::Int8]);
    let keys: Vec<Row> = (0..65_536).map(|i| vec![Value::Int(i)]).collect();
    let hashes = encode(&schema, &keys);
    let mut slots = vec![0_u32; usize::from(Slot::COUNT)];
    let mut stripes = [0_u32; 64];
    let mut buckets = vec![0_u32; 4_096];
    let mut tags = [0_u32; 128];
    for hash in &hashes {
        slots[usize::from(hash.slot().get())] += 1;
        stripes[hash.stripe(6)] += 1;
        buckets[usize::try_from(hash.low() & 4_095).unwrap()] += 1;
        tags[usize::try_from(hash.low() >> 57).unwrap()] += 1;
    }
    let spread = |counts: &[u32], mean: u32| {
        let tolerance = 7.0 * f64::from(mean).sqrt();
        counts.iter().all(|count| (f64::from(*count) - f64::from(mean)).abs() < tolerance)
    };
    assert!(spread(&slots, 16) && spread(&stripes, 1_024) && spread(&buckets, 16) && spread(&tags, 512));
}

#[test]
fn keys_at_the_border_of_whole_and_hashed_differ() {
    let schema = schema_of(&[DataType::Text]);
    let lengths = [0, 1, 14, 15, 16, 17, 100, 1_000];
    let keys: Vec<Row> = lengths
        .into_iter()
        .flat_map(|length| ["a", "b"].map(|tail| vec![text(&format!("{}{tail}", "x".repeat(length)))]))
        .collect();
    let hashes = encode(&schema, &keys);
    assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), keys.len());
    let mut other = schema.clone();
    other.keys[0].secret = KeySecret::from_bytes([8; 16]);
    let elsewhere = encode(&other, &keys);
    assert_eq!(hashes[..4], elsewhere[..4], "short keys are whole");
    assert!(hashes[10..].iter().zip(&elsewhere[10..]).all(|(a, b)| a != b), "long keys depend on the secret");
}

#[test]
fn a_key_that_is_too_long_cannot_be_stored_but_looked_for() {
    let schema = schema_of(&[DataType::Text]);
    let encoder = encoder(&schema);
    let longest = arrays(&schema, &[vec![text(&"k".repeat(KEY_BYTES_MAX))]]);
    let longer = arrays(&schema, &[vec![text(&"k".repeat(KEY_BYTES_MAX + 1))]]);
    assert_eq!(encoder.encode(&longest).unwrap().len(), 1);
    let error = encoder.encode(&longer).unwrap_err();
    assert_eq!(error.condition(), Condition::ProgramLimitExceeded);
    assert!(error.message().contains("t_pkey"), "{error}");
    assert_eq!(encoder.encode_wanted(&longer).unwrap().len(), 1);
}

#[test]
fn columns_that_are_not_the_key_are_refused() {
    let schema = schema_of(&[DataType::Int8]);
    let encoder = encoder(&schema);
    let int4 = array_of(&DataType::Int4, &[&Value::Int(1)]);
    let int8 = array_of(&DataType::Int8, &[&Value::Int(1)]);
    let null = array_of(&DataType::Int8, &[&Value::Null]);
    for wrong in [vec![], vec![int4], vec![Arc::clone(&int8), int8], vec![null]] {
        assert_eq!(encoder.encode(&wrong).unwrap_err().condition(), Condition::InternalError);
    }
}

#[test]
fn a_conflict_is_described_as_postgresql_does() {
    let schema = schema_of(&[DataType::Int8, DataType::Text]);
    let batch = batch_of(&schema, &[vec![Value::Int(1), text("a")], vec![Value::Int(-2), text("b c")]]);
    assert_eq!(encoder(&schema).describe(&batch, 1), "Key (c1, c2)=(-2, b c) already exists.");
}

/// A table of integer keys whose writer publishes every commit.
struct Table {
    schema: Arc<TableSchema>,
    live: Arc<LiveVersions>,
    tail: ShardState,
    seq: u64,
    published: Option<Arc<Version>>,
}

impl Table {
    fn new() -> Self {
        let schema = Arc::new(schema_of(&[DataType::Int8]));
        let live = LiveVersions::new();
        let tail = ShardState::new(&schema, LOG, &live, UnitId::FIRST);
        let mut table = Self { schema, live, tail, seq: 0, published: None };
        table.publish();
        table
    }

    fn keys(&self) -> &ShardKeys {
        self.tail.keys().unwrap()
    }

    /// Replaces the row of each key, in one commit.
    fn upsert(&mut self, keys: &[i64]) {
        let rows: Vec<Row> = keys.iter().map(|key| vec![Value::Int(*key)]).collect();
        let hashes = encode(&self.schema, &rows);
        let index = Arc::clone(self.tail.keys().unwrap());
        let victims: Vec<RowAddress> = index.lookup_live(&hashes, &self.tail).unwrap().into_iter().flatten().collect();
        self.seq += 1;
        self.tail.delete(&victims).unwrap();
        let unit = self.tail.open_unit();
        let first = self.tail.append(batch_of(&self.schema, &rows), CommitSeq::new(self.seq)).unwrap();
        index.insert(&hashes, unit, first, CommitSeq::new(self.seq));
    }

    /// Publishes once more, as a commit that changes nothing.
    fn publish_again(&mut self) -> Arc<Version> {
        self.seq += 1;
        self.publish()
    }

    fn publish(&mut self) -> Arc<Version> {
        let state = TableState { schema: Arc::clone(&self.schema), shards: vec![Arc::new(self.tail.clone())] };
        let tables = [(self.schema.id, Arc::new(state))].into_iter().collect();
        let version = Version::new(CommitSeq::new(self.seq), Arc::new(Catalog::default()), tables, Arc::default());
        let version = self.live.publish(&version);
        self.published = Some(Arc::clone(&version));
        version
    }
}

fn find(version: &Version, key: i64) -> Option<RowAddress> {
    let table = version.tables.get(&TableId::new(1)).unwrap();
    let hashes = encode(&table.schema, &[vec![Value::Int(key)]]);
    table.shards[0].keys().unwrap().lookup_live(&hashes, &table.shards[0]).unwrap()[0]
}

#[test]
fn a_hot_key_keeps_few_entries() {
    let mut table = Table::new();
    for _ in 0..5_000 {
        table.upsert(&[1]);
        table.publish();
    }
    assert!(table.keys().len() <= 4, "{} entries", table.keys().len());
    assert_eq!(
        find(table.published.as_ref().unwrap(), 1),
        Some(RowAddress::new(UnitId::FIRST, RowOrdinal::new(4_999)))
    );
}

#[test]
fn a_hot_key_keeps_the_entries_that_readers_hold() {
    let mut table = Table::new();
    let mut held = BTreeMap::new();
    for commit in 0..2_000_u32 {
        table.upsert(&[1]);
        let version = table.publish();
        if commit % 100 == 50 {
            held.insert(commit, version);
        }
    }
    assert!(table.keys().len() <= 2 * held.len() + 4, "{} entries", table.keys().len());
    for (commit, version) in &held {
        assert_eq!(find(version, 1), Some(RowAddress::new(UnitId::FIRST, RowOrdinal::new(*commit))));
    }
    held.clear();
    for _ in 0..64 {
        table.upsert(&[1]);
        table.publish();
    }
    assert!(table.keys().len() <= 4, "{} entries after the readers left", table.keys().len());
}

#[test]
fn entries_of_commits_that_are_not_published_stay() {
    let mut table = Table::new();
    table.upsert(&[1]);
    table.publish();
    let mut pending = Vec::new();
    for _ in 0..50 {
        table.upsert(&[1]);
        pending.push((table.seq, table.tail.clone()));
    }
    // Any of them may still be the end of a group.
    for (seq, state) in &pending {
        let hashes = encode(&table.schema, &[vec![Value::Int(1)]]);
        let found = table.keys().lookup_live(&hashes, state).unwrap()[0].unwrap();
        assert_eq!(u64::from(found.row.get()), seq - 1);
    }
    assert_eq!(find(table.published.as_ref().unwrap(), 1), Some(RowAddress::new(UnitId::FIRST, RowOrdinal::new(0))));
}

#[test]
fn candidates_come_newest_first() {
    let mut table = Table::new();
    let _reader = table.publish_again();
    table.upsert(&[5]);
    table.tail.seal(UnitId::new(2));
    table.upsert(&[5]);
    table.upsert(&[5]);
    let mut found = Vec::new();
    table.keys().candidates(encode(&table.schema, &[vec![Value::Int(5)]])[0], &mut found);
    let address = |unit, row| RowAddress::new(UnitId::new(unit), RowOrdinal::new(row));
    assert_eq!(found, [address(2, 1), address(2, 0), address(1, 0)]);
}

#[test]
fn a_retired_generation_goes_when_its_last_reader_does() {
    let mut table = Table::new();
    table.upsert(&[1, 2, 3]);
    table.tail.seal(UnitId::new(2));
    let reader = table.publish();
    table.upsert(&[1]);
    table.seq += 1;
    table.tail.install(&[UnitId::FIRST], Vec::new()).unwrap();
    table.keys().retire(&[UnitId::FIRST], CommitSeq::new(table.seq));
    table.publish();
    assert_eq!(table.keys().len(), 4, "the reader still asks for them");
    assert_eq!(find(&reader, 2), Some(RowAddress::new(UnitId::FIRST, RowOrdinal::new(1))));
    table.keys().collect();
    assert_eq!(table.keys().len(), 4);
    drop(reader);
    table.keys().collect();
    assert_eq!(table.keys().len(), 1);
    assert_eq!(find(table.published.as_ref().unwrap(), 2), None);
    assert!(find(table.published.as_ref().unwrap(), 1).is_some());
}

#[test]
fn readers_find_their_rows_while_the_writer_goes_on() {
    const KEYS: i64 = 64;
    let mut table = Table::new();
    table.upsert(&(0..KEYS).collect::<Vec<_>>());
    table.publish();
    let current = Arc::new(arc_swap::ArcSwap::new(table.publish_again()));
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (current, done) = (Arc::clone(&current), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut rounds = 0_u32;
                while !done.load(Ordering::Acquire) || rounds == 0 {
                    let version = current.load_full();
                    let state = &version.tables.get(&TableId::new(1)).unwrap().shards[0];
                    let found: HashSet<RowAddress> = (0..KEYS).map(|key| find(&version, key).unwrap()).collect();
                    assert_eq!(i64::try_from(found.len()).unwrap(), KEYS, "every key has its own row");
                    assert!(found.iter().all(|address| state.is_live(*address)));
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let mut unit = UnitId::FIRST;
    for round in 0..3_000_i64 {
        table.upsert(&[round % KEYS, round * 7 % KEYS + KEYS]);
        if round % 500 == 499 {
            unit = unit.next().unwrap();
            table.tail.seal(unit);
        }
        current.store(table.publish());
    }
    done.store(true, Ordering::Release);
    let rounds: Vec<u32> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert!(rounds.iter().all(|rounds| *rounds > 0));
}

#[test]
fn a_table_that_only_appends_has_no_index() {
    let mut schema = schema_of(&[DataType::Int8]);
    schema.options.append_only = true;
    assert!(ShardKeys::new(&schema, LOG, &LiveVersions::new()).is_none());
    schema.options.append_only = false;
    schema.keys.clear();
    assert!(ShardKeys::new(&schema, LOG, &LiveVersions::new()).is_none());
}

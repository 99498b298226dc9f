use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use outcrop_env::Env;
use outcrop_segment::{
    DeleteVector, KeyRun, KeyRunBuilder, KeyRunMerge, PageCache, Segment, SegmentOptions, SegmentWriter,
};
use outcrop_testkit::compare::{Key, compare_rows};
use outcrop_testkit::generate::{SchemaShape, from_seed, keys_for, row_for, schemas};
use outcrop_testkit::model::key_values;
use outcrop_testkit::{Row, array_of, assert_same_rows, batch_of, compare_values, rows_of};
use outcrop_types::{
    ColumnId, CommitSeq, CompareOp, Condition, DataType, LogId, Predicate, Result, RowAddress, RowOrdinal, TableId,
    TableSchema, UnitId, Value,
};
use proptest::prelude::*;

use super::{LiveVersions, NewSegment, ShardState, Snapshot, TableSnapshot, TableState, Version};
use crate::key_index::{ShardKeys, rebuild_runs};
use crate::{Catalog, Morsel, ScanColumn};

const LOG: LogId = LogId::from_bytes([9; 16]);
const DIR: &str = "segments";
const TABLE: TableId = TableId::new(1);

/// A writer without log: it changes the tail, publishes, and keeps what the table should hold.
struct Writer {
    env: Env,
    cache: Arc<PageCache>,
    schema: Arc<TableSchema>,
    live: Arc<LiveVersions>,
    tail: ShardState,
    seq: CommitSeq,
    unit: UnitId,
    /// Rows by key, with the commit that wrote them.
    rows: BTreeMap<Key, (Row, CommitSeq)>,
    /// Every key that ever had a row.
    seen: BTreeSet<Key>,
    /// The published version, as `ArcSwap` would hold it.
    published: Option<Snapshot>,
    /// A flush between its pin and its install.
    flush: Option<Flush>,
}

struct Flush {
    input: UnitId,
    pin: ShardState,
    segment: Arc<Segment>,
    run: Arc<KeyRun>,
    /// Row of the input for each row of the output.
    origins: Vec<RowOrdinal>,
}

/// A snapshot and what must be found in it.
struct Held {
    snapshot: Snapshot,
    rows: BTreeMap<Key, (Row, CommitSeq)>,
    /// Keys that have no row in it, but had one.
    gone: Vec<Row>,
}

impl Writer {
    fn new(schema: TableSchema) -> Self {
        let env = Env::simulated(1).0;
        env.disk.create_dir(DIR).unwrap();
        let live = LiveVersions::new();
        let tail = ShardState::new(&schema, LOG, &live, UnitId::FIRST);
        let (schema, cache) = (Arc::new(schema), PageCache::new(1 << 20));
        let (seq, unit) = (CommitSeq::ZERO, UnitId::FIRST);
        let mut writer = Self {
            env,
            cache,
            schema,
            live,
            tail,
            seq,
            unit,
            rows: BTreeMap::new(),
            seen: BTreeSet::new(),
            published: None,
            flush: None,
        };
        writer.publish();
        writer
    }

    fn keys(&self) -> Arc<ShardKeys> {
        Arc::clone(self.tail.keys().unwrap())
    }

    fn next_seq(&mut self) -> CommitSeq {
        self.seq = self.seq.next().unwrap();
        self.seq
    }

    fn next_unit(&mut self) -> UnitId {
        self.unit = self.unit.next().unwrap();
        self.unit
    }

    /// Replaces rows by key; of several with one key the last counts.
    fn upsert(&mut self, rows: &[Row]) {
        let by_key: BTreeMap<Key, Row> =
            rows.iter().map(|row| (Key(key_values(&self.schema, row)), row.clone())).collect();
        let keys: Vec<Row> = by_key.keys().map(|key| key.0.clone()).collect();
        let rows: Vec<Row> = by_key.values().cloned().collect();
        self.kill(&keys);
        let seq = self.next_seq();
        let (index, unit) = (self.keys(), self.tail.open_unit());
        let hashes = index.encode(&key_arrays(&self.schema, &keys)).unwrap();
        let first = self.tail.append(batch_of(&self.schema, &rows), seq).unwrap();
        index.insert(&hashes, unit, first, seq);
        self.seen.extend(by_key.keys().cloned());
        self.rows.extend(by_key.into_iter().map(|(key, row)| (key, (row, seq))));
    }

    fn delete(&mut self, keys: &[Row]) {
        self.next_seq();
        let before = self.rows.len();
        for key in keys {
            self.rows.remove(&Key(key.clone()));
        }
        assert_eq!(self.kill(keys), u64::try_from(before - self.rows.len()).unwrap());
    }

    fn kill(&mut self, keys: &[Row]) -> u64 {
        let index = self.keys();
        let hashes = index.encode(&key_arrays(&self.schema, keys)).unwrap();
        let mut victims: Vec<RowAddress> =
            index.lookup_live(&hashes, &self.tail).unwrap().into_iter().flatten().collect();
        victims.reverse();
        self.tail.delete(&victims).unwrap()
    }

    fn seal(&mut self) {
        let unit = self.next_unit();
        self.tail.seal(unit);
    }

    /// Writes the oldest sealed generation as a segment, as of now.
    fn begin_flush(&mut self) {
        let open = self.tail.open_unit();
        let oldest = self.tail.generations().next().filter(|generation| generation.unit != open);
        let (Some(input), None) = (oldest.map(|generation| generation.unit), &self.flush) else { return };
        let pin = self.tail.clone();
        if pin.deletes(input).unwrap().live() == 0 {
            self.install(&[input], Vec::new());
            return;
        }
        let output = self.next_unit();
        let mut columns = all_columns(&self.schema);
        columns.extend([ScanColumn::Row, ScanColumn::CommitSeq]);
        let options = SegmentOptions::default();
        let mut writer =
            SegmentWriter::create(&self.env, DIR, LOG, output, Arc::clone(&self.schema), &options).unwrap();
        let view = TableSnapshot::of_state(Arc::clone(&self.schema), pin.clone(), self.seq);
        let mut origins = Vec::new();
        let index = self.keys();
        let mut builder = KeyRunBuilder::new(output, index.encoder().width());
        for batch in view.scan_unit(input, &columns, 10).unwrap() {
            let (_, mut arrays, _) = batch.unwrap().into_parts();
            let seqs: UInt64Array = arrays.pop().unwrap().as_primitive::<UInt64Type>().clone();
            let rows = arrays.pop().unwrap();
            let batch = RecordBatch::try_new(self.schema.to_arrow(), arrays).unwrap();
            let keys: Vec<Row> = rows_of(&batch).iter().map(|row| key_values(&self.schema, row)).collect();
            origins.extend(rows.as_primitive::<UInt32Type>().values().iter().map(|row| RowOrdinal::new(*row)));
            builder.add(&index.encode(&key_arrays(&self.schema, &keys)).unwrap());
            writer.write(&batch, &seqs).unwrap();
        }
        builder.finish(&self.env, &index.run_place(output)).unwrap();
        let run = self.open_run(output);
        let meta = Arc::new(writer.finish().unwrap());
        let segment = Segment::open(&self.env, DIR, meta, &self.cache).unwrap();
        self.flush = Some(Flush { input, pin, segment, run, origins });
    }

    fn open_run(&self, unit: UnitId) -> Arc<KeyRun> {
        KeyRun::open(&self.env, DIR, (LOG, unit), &self.cache).unwrap().unwrap()
    }

    /// Puts one run in the place of all.
    fn merge_runs(&mut self) {
        let runs: Vec<Arc<KeyRun>> = self.tail.runs().map(Arc::clone).collect();
        if runs.len() < 2 {
            return;
        }
        let output = self.next_unit();
        let place = self.keys().run_place(output);
        let mut merge = KeyRunMerge::new(&self.env, &place, &runs, |unit| self.tail.has_unit(unit)).unwrap();
        while merge.step(3, |row| self.tail.is_live(row)).unwrap() {}
        merge.finish().unwrap();
        let inputs: Vec<UnitId> = runs.iter().map(|run| run.unit()).collect();
        let merged = self.open_run(output);
        assert!(self.tail.replace_runs(&inputs, merged));
    }

    /// Installs the segment with what died since the pin.
    fn finish_flush(&mut self) {
        let Some(Flush { input, pin, segment, run, origins }) = self.flush.take() else { return };
        let mut deletes = DeleteVector::new(segment.rows());
        let died = self.tail.deletes(input).unwrap().difference(pin.deletes(input).unwrap());
        let died: Vec<RowOrdinal> =
            died.map(|row| RowOrdinal::new(origins.binary_search(&row).unwrap().try_into().unwrap())).collect();
        deletes.delete(&died);
        self.install(&[input], vec![NewSegment { segment, deletes, run: Some(run) }]);
    }

    fn install(&mut self, inputs: &[UnitId], outputs: Vec<NewSegment>) {
        let seq = self.next_seq();
        self.tail.install(inputs, outputs).unwrap();
        self.keys().retire(inputs, seq);
    }

    fn publish(&mut self) -> Held {
        if self.published.as_ref().is_none_or(|published| published.commit_seq() < self.seq) {
            let state = TableState { schema: Arc::clone(&self.schema), shards: vec![Arc::new(self.tail.clone())] };
            let tables = [(TABLE, Arc::new(state))].into_iter().collect();
            let version =
                self.live.publish(&Version::new(self.seq, Arc::new(Catalog::default()), tables, Arc::default()));
            self.published = Some(Snapshot::new(version));
        }
        let gone = self.seen.iter().filter(|key| !self.rows.contains_key(*key)).map(|key| key.0.clone()).collect();
        Held { snapshot: self.published.clone().unwrap(), rows: self.rows.clone(), gone }
    }

    /// Publishes and checks.
    fn check(&mut self) -> Held {
        let held = self.publish();
        held.check();
        held
    }
}

impl Held {
    fn table(&self) -> TableSnapshot {
        self.snapshot.table(TABLE).unwrap()
    }

    /// Every way to read must give the rows that the snapshot had when it was taken.
    fn check(&self) {
        let table = self.table();
        assert_eq!(table.live_rows(), u64::try_from(self.rows.len()).unwrap());
        assert!(table.row_bytes() > 0);
        for morsel_rows in [1, 7, 8_192, u32::MAX] {
            self.check_scan(&table, &table.morsels(morsel_rows));
        }
        self.check_lookup(&table);
        self.check_statistics(&table);
    }

    fn check_scan(&self, table: &TableSnapshot, morsels: &[Morsel]) {
        let mut columns = all_columns(table.schema());
        columns.extend([ScanColumn::Unit, ScanColumn::Row, ScanColumn::CommitSeq]);
        let mut found = Vec::new();
        for morsel in morsels {
            let batch = table.scan(morsel, &columns, None).unwrap();
            assert_eq!(batch.num_rows(), usize::try_from(morsel.live).unwrap());
            assert!(morsel.live > 0);
            assert_eq!(table.scan(morsel, &[], None).unwrap().num_rows(), batch.num_rows());
            let (_, mut arrays, _) = batch.into_parts();
            let hidden = arrays.split_off(table.schema().columns.len());
            let rows = rows_of(&RecordBatch::try_new(table.schema().to_arrow(), arrays).unwrap());
            for (row, values) in rows.into_iter().enumerate() {
                assert_eq!(hidden[0].as_primitive::<UInt64Type>().value(row), morsel.unit.get());
                assert!(morsel.rows.contains(&hidden[1].as_primitive::<UInt32Type>().value(row)));
                let seq = CommitSeq::new(hidden[2].as_primitive::<UInt64Type>().value(row));
                let expected = self.rows.get(&Key(key_values(table.schema(), &values)));
                assert_eq!(expected.map(|(_, seq)| *seq), Some(seq), "commit of {values:?}");
                found.push(values);
            }
        }
        let expected: Vec<Row> = self.rows.values().map(|(row, _)| row.clone()).collect();
        assert_same_rows("scan", &expected, &found);
    }

    fn check_lookup(&self, table: &TableSnapshot) {
        let schema = table.schema();
        let keys: Vec<Row> = self.rows.keys().map(|key| key.0.clone()).collect();
        let found = table.lookup(&key_batch(schema, &keys)).unwrap();
        if !self.gone.is_empty() {
            let gone = table.lookup(&key_batch(schema, &self.gone)).unwrap();
            assert!(gone.iter().all(Option::is_none), "{gone:?} for keys without row");
        }
        let addresses: Vec<RowAddress> = found.into_iter().map(|address| address.unwrap()).rev().collect();
        let columns = all_columns(schema);
        let fetched = table.fetch(&addresses, &columns).unwrap();
        let fetched = rows_of(&fetched);
        for (row, (expected, _)) in fetched.iter().zip(self.rows.values().rev()) {
            assert!(compare_rows(row, expected).is_eq(), "{row:?} for {expected:?}");
        }
        assert_eq!(fetched.len(), self.rows.len());
        assert_eq!(table.fetch(&addresses, &[]).unwrap().num_rows(), addresses.len());
    }

    fn check_statistics(&self, table: &TableSnapshot) {
        for (position, column) in table.schema().columns.iter().enumerate() {
            let statistics = table.column_statistics(column.id).unwrap();
            let values: Vec<&Value> = self.rows.values().map(|(row, _)| &row[position]).collect();
            let nulls = values.iter().filter(|value| ***value == Value::Null).count();
            assert!(statistics.null_count.unwrap() >= u64::try_from(nulls).unwrap());
            for value in values.iter().filter(|value| ***value != Value::Null) {
                assert!(statistics.min.as_ref().is_none_or(|min| compare_values(min, value).is_le()));
                assert!(statistics.max.as_ref().is_none_or(|max| compare_values(max, value).is_ge()));
            }
            if let Some(&value) = values.iter().find(|value| ***value != Value::Null) {
                self.check_predicate(table, position, value);
            }
        }
    }

    /// Looking for a value must find every row that has it.
    fn check_predicate(&self, table: &TableSnapshot, position: usize, value: &Value) {
        let column = &table.schema().columns[position];
        let predicate = Predicate::Compare(column.id, CompareOp::Equal, value.clone());
        let count = |rows: &[Row]| rows.iter().filter(|row| compare_values(&row[position], value).is_eq()).count();
        let mut found = 0;
        for morsel in table.morsels(5).iter().filter(|morsel| table.may_match(morsel, &predicate)) {
            let batch = table.scan(morsel, &all_columns(table.schema()), Some(&predicate)).unwrap();
            found += count(&rows_of(&batch));
        }
        let expected: Vec<Row> = self.rows.values().map(|(row, _)| row.clone()).collect();
        assert_eq!(found, count(&expected), "rows with {} = {value}", column.name);
    }
}

fn all_columns(schema: &TableSchema) -> Vec<ScanColumn> {
    schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect()
}

fn key_arrays(schema: &TableSchema, keys: &[Row]) -> Vec<ArrayRef> {
    let columns = schema.primary_key().unwrap().columns.iter();
    columns
        .enumerate()
        .map(|(position, id)| {
            let values: Vec<&Value> = keys.iter().map(|key| &key[position]).collect();
            array_of(&schema.column(*id).unwrap().data_type, &values)
        })
        .collect()
}

fn key_batch(schema: &TableSchema, keys: &[Row]) -> RecordBatch {
    let names = (0..).map(|number| format!("k{number}"));
    let columns = names.zip(key_arrays(schema, keys)).map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A table `(id bigint primary key, name text)`.
fn plain_schema() -> TableSchema {
    let mut schema =
        from_seed(&schemas(SchemaShape { columns: 1..=1, key_columns: 1..=1, ..SchemaShape::default() }), 1);
    schema.columns[0].data_type = DataType::Int8;
    schema.columns[1].data_type = DataType::Text;
    schema.columns[1].nullable = true;
    schema
}

fn plain_rows(ids: std::ops::Range<i64>) -> Vec<Row> {
    ids.map(|id| vec![Value::Int(id), Value::Text(format!("the name of number {id}"))]).collect()
}

#[derive(Clone, Debug)]
enum Action {
    Upsert(Vec<Row>),
    Delete(Vec<Row>),
    Publish,
    Hold,
    Release(usize),
    Seal,
    BeginFlush,
    FinishFlush,
    MergeRuns,
}

fn actions(schema: &TableSchema) -> BoxedStrategy<Vec<Action>> {
    let action = prop_oneof![
        8 => proptest::collection::vec(row_for(schema), 1..12).prop_map(Action::Upsert),
        3 => proptest::collection::vec(keys_for(schema), 1..6).prop_map(Action::Delete),
        3 => Just(Action::Publish),
        2 => Just(Action::Hold),
        1 => any::<usize>().prop_map(Action::Release),
        2 => Just(Action::Seal),
        3 => Just(Action::BeginFlush),
        3 => Just(Action::FinishFlush),
        1 => Just(Action::MergeRuns),
    ];
    proptest::collection::vec(action, 1..50).boxed()
}

fn tables() -> BoxedStrategy<(TableSchema, Vec<Action>)> {
    let shape = SchemaShape { table: TABLE, columns: 0..=4, key_columns: 1..=2 };
    schemas(shape).prop_flat_map(|schema| (Just(schema.clone()), actions(&schema))).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_snapshot_keeps_its_rows_whatever_happens_after_it((schema, actions) in tables()) {
        let mut writer = Writer::new(schema);
        let mut held: Vec<Held> = Vec::new();
        for action in actions {
            match action {
                Action::Upsert(rows) => writer.upsert(&rows),
                Action::Delete(keys) => writer.delete(&keys),
                Action::Publish => drop(writer.publish()),
                Action::Hold => held.push(writer.publish()),
                Action::Release(index) if !held.is_empty() => drop(held.remove(index % held.len())),
                Action::Release(_) => {}
                Action::Seal => writer.seal(),
                Action::BeginFlush => writer.begin_flush(),
                Action::FinishFlush => writer.finish_flush(),
                Action::MergeRuns => writer.merge_runs(),
            }
        }
        writer.check();
        held.iter().for_each(Held::check);
        // With the readers gone, only what the table has now may keep entries.
        held.clear();
        writer.finish_flush();
        writer.next_seq();
        writer.check();
        writer.keys().collect();
        prop_assert_eq!(writer.live.count(), 1);
        let units: Vec<UnitId> = writer
            .tail
            .generations()
            .map(|generation| generation.unit)
            .chain(writer.tail.segments().map(|view| view.segment.unit()))
            .collect();
        for key in writer.rows.keys() {
            let mut candidates = Vec::new();
            let hash = writer.keys().encode(&key_arrays(&writer.schema, std::slice::from_ref(&key.0))).unwrap()[0];
            writer.keys().candidates(hash, &mut candidates);
            prop_assert!(candidates.iter().all(|address| units.contains(&address.unit)), "{candidates:?} in {units:?}");
        }
    }

    #[test]
    fn an_index_built_from_rows_answers_like_the_one_that_grew((schema, actions) in tables()) {
        let mut writer = Writer::new(schema);
        for action in actions {
            match action {
                Action::Upsert(rows) => writer.upsert(&rows),
                Action::Delete(keys) => writer.delete(&keys),
                Action::Seal => writer.seal(),
                Action::BeginFlush => writer.begin_flush(),
                Action::FinishFlush => writer.finish_flush(),
                Action::MergeRuns => writer.merge_runs(),
                Action::Publish | Action::Hold | Action::Release(_) => {}
            }
        }
        writer.finish_flush();
        let rebuilt = rebuild(&writer);
        let view = TableSnapshot::of_state(Arc::clone(&writer.schema), rebuilt, writer.seq);
        let keys: Vec<Row> = writer.rows.keys().map(|key| key.0.clone()).collect();
        let keys = key_batch(&writer.schema, &keys);
        prop_assert_eq!(view.lookup(&keys).unwrap(), writer.publish().table().lookup(&keys).unwrap());
    }
}

/// The same units with an index of their own, as recovery makes it.
fn rebuild(writer: &Writer) -> ShardState {
    let columns = all_columns(&writer.schema);
    let view = TableSnapshot::of_state(Arc::clone(&writer.schema), writer.tail.clone(), writer.seq);
    let mut state: Option<ShardState> = None;
    for generation in writer.tail.generations() {
        let state = match &mut state {
            Some(state) => {
                state.seal(generation.unit);
                state
            }
            None => state.insert(ShardState::new(&writer.schema, LOG, &writer.live, generation.unit)),
        };
        // Replay brings dead rows too; what they hold does not matter.
        let rows: Vec<RowAddress> =
            (0..generation.rows).map(|row| RowAddress::new(generation.unit, RowOrdinal::new(row))).collect();
        state.append(view.fetch(&rows, &columns).unwrap(), writer.seq).unwrap();
        let dead: Vec<RowAddress> = writer
            .tail
            .deletes(generation.unit)
            .unwrap()
            .iter_deleted()
            .map(|row| RowAddress::new(generation.unit, row))
            .collect();
        state.delete(&dead).unwrap();
    }
    let mut state = state.unwrap();
    let segments = writer.tail.segments().map(|view| NewSegment {
        segment: Arc::clone(view.segment),
        deletes: view.deletes.clone(),
        run: None,
    });
    state.install(&[], segments.collect()).unwrap();
    // The runs are lost: each segment gets one of its own.
    let built = rebuild_runs(&writer.env, &writer.cache, &writer.schema, &mut state).unwrap();
    assert_eq!(built.len(), writer.tail.segments().count());
    let view = TableSnapshot::of_state(Arc::clone(&writer.schema), state.clone(), writer.seq);
    writer.tail.generations().for_each(|generation| view.index_generation(generation.unit).unwrap());
    state
}

#[test]
fn morsels_of_a_segment_begin_at_blocks_and_cover_it() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..20_000));
    writer.seal();
    writer.begin_flush();
    writer.finish_flush();
    let keys: Vec<Row> = (8_192..16_384).map(|id| vec![Value::Int(id)]).collect();
    writer.delete(&keys);
    let held = writer.check();
    let morsels = held.table().morsels(100);
    assert!(morsels.iter().all(|morsel| morsel.rows.start % 8_192 == 0));
    assert_eq!(morsels.iter().map(|morsel| morsel.live).sum::<u32>(), 20_000 - 8_192);
    assert!(morsels.len() < 3, "a piece without live rows is left out: {morsels:?}");
}

#[test]
fn morsels_of_a_generation_are_whole_chunks_or_pieces_of_large_ones() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..20_000));
    writer.upsert(&plain_rows(20_000..20_300));
    writer.upsert(&plain_rows(20_300..20_310));
    let table = writer.publish().table();
    let ranges = |rows| table.morsels(rows).into_iter().map(|morsel| morsel.rows).collect::<Vec<_>>();
    assert_eq!(ranges(8_192), [0..8_192, 8_192..16_384, 16_384..20_000, 20_000..20_310]);
    assert_eq!(ranges(u32::MAX), [0..20_310]);
}

#[test]
fn chunks_that_cannot_match_are_skipped() {
    let mut writer = Writer::new(plain_schema());
    for part in 0..4 {
        writer.upsert(&plain_rows(part * 5_000..(part + 1) * 5_000));
    }
    let table = writer.publish().table();
    let predicate = Predicate::Compare(ColumnId::new(1), CompareOp::GreaterOrEqual, Value::Int(15_000));
    let [morsel] = &table.morsels(u32::MAX)[..] else { panic!("one piece expected") };
    assert!(table.may_match(morsel, &predicate));
    assert_eq!(table.scan(morsel, &[ScanColumn::Row], Some(&predicate)).unwrap().num_rows(), 5_000);
    let nothing = Predicate::Compare(ColumnId::new(1), CompareOp::Less, Value::Int(0));
    assert!(!table.may_match(morsel, &nothing));
    let empty = table.scan(morsel, &all_columns(table.schema()), Some(&nothing)).unwrap();
    assert_eq!((empty.num_rows(), empty.schema()), (0, table.schema().to_arrow()));
}

#[test]
fn a_scan_without_dead_rows_copies_nothing() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..10_000));
    let table = writer.publish().table();
    let place = |morsel: &Morsel| {
        let batch = table.scan(morsel, &[ScanColumn::Column(ColumnId::new(1))], None).unwrap();
        batch.column(0).as_primitive::<arrow_array::types::Int64Type>().values().as_ptr().addr()
    };
    let morsels = table.morsels(8_192);
    assert_eq!(place(&morsels[0]), place(&morsels[0]));
    assert_eq!(place(&morsels[1]) - place(&morsels[0]), 8_192 * 8);
}

#[test]
fn fetch_takes_any_order_and_repeated_rows() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..50));
    writer.seal();
    writer.begin_flush();
    writer.finish_flush();
    writer.upsert(&plain_rows(50..90));
    writer.seal();
    writer.upsert(&plain_rows(90..100));
    let table = writer.publish().table();
    let ids = [99, 3, 55, 3, 95, 49, 55, 0];
    let keys: Vec<Row> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    let addresses: Vec<RowAddress> =
        table.lookup(&key_batch(table.schema(), &keys)).unwrap().into_iter().map(|found| found.unwrap()).collect();
    let columns = [ScanColumn::Row, ScanColumn::Column(ColumnId::new(1)), ScanColumn::Unit];
    let batch = table.fetch(&addresses, &columns).unwrap();
    let found: Vec<i64> = batch.column(1).as_primitive::<arrow_array::types::Int64Type>().values().to_vec();
    assert_eq!(found, ids);
    for (row, address) in addresses.iter().enumerate() {
        assert_eq!(batch.column(0).as_primitive::<UInt32Type>().value(row), address.row.get());
        assert_eq!(batch.column(2).as_primitive::<UInt64Type>().value(row), address.unit.get());
    }
    let empty = table.fetch(&[], &columns).unwrap();
    assert_eq!((empty.num_rows(), empty.num_columns()), (0, 3));
}

#[test]
fn rows_older_than_a_column_have_its_initial_default() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..20));
    writer.seal();
    writer.begin_flush();
    writer.finish_flush();
    writer.upsert(&plain_rows(20..30));
    let mut schema = plain_schema();
    let mut column = schema.columns[0].clone();
    (column.id, column.name, column.initial_default) = (ColumnId::new(40), "c40".to_owned(), Value::Int(5));
    schema.columns.push(column);
    let table = TableSnapshot::of_state(Arc::new(schema), writer.tail.clone(), writer.seq);
    let column = ScanColumn::Column(ColumnId::new(40));
    for morsel in table.morsels(8_192) {
        let batch = table.scan(&morsel, &[ScanColumn::Row, column], None).unwrap();
        assert!(batch.num_rows() > 0);
        assert!(rows_of(&batch.project(&[1]).unwrap()).iter().all(|row| *row == [Value::Int(5)]));
    }
    let row = RowAddress::new(writer.tail.open_unit(), RowOrdinal::new(3));
    assert_eq!(rows_of(&table.fetch(&[row, row], &[column]).unwrap()), [[Value::Int(5)], [Value::Int(5)]]);
    let statistics = table.column_statistics(ColumnId::new(40)).unwrap();
    assert_eq!((statistics.min, statistics.null_count), (Some(Value::Int(5)), Some(0)));
}

#[test]
fn a_hot_key_keeps_few_entries_over_many_flushes() {
    let mut writer = Writer::new(plain_schema());
    let key = |id: i64| vec![Value::Int(id)];
    let mut reader = None;
    let mut candidates = Vec::new();
    for flush in 0..24 {
        writer.upsert(&plain_rows(1..2));
        writer.upsert(&plain_rows(100 + flush..101 + flush));
        writer.seal();
        writer.begin_flush();
        writer.finish_flush();
        let held = writer.check();
        match flush {
            3 => reader = Some(held),
            18 => reader = None,
            _ => drop(held),
        }
        reader.iter().for_each(Held::check);
        candidates.clear();
        let hash = writer.keys().encode(&key_arrays(&writer.schema, &[key(1)])).unwrap()[0];
        writer.keys().candidates(hash, &mut candidates);
        assert!(candidates.len() <= 8, "{} entries after flush {flush}", candidates.len());
    }
}

#[test]
fn a_key_with_a_null_is_not_found() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..3));
    let table = writer.publish().table();
    let keys =
        key_batch(table.schema(), &[vec![Value::Int(1)], vec![Value::Null], vec![Value::Int(2)], vec![Value::Int(7)]]);
    let found: Vec<Option<u32>> =
        table.lookup(&keys).unwrap().into_iter().map(|address| Some(address?.row.get())).collect();
    assert_eq!(found, [Some(1), None, Some(2), None]);
}

#[test]
fn addresses_of_nowhere_are_errors_not_panics() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..3));
    let table = writer.publish().table();
    let columns = all_columns(table.schema());
    let internal = |result: Result<RecordBatch>| assert_eq!(result.unwrap_err().condition(), Condition::InternalError);
    internal(table.fetch(&[RowAddress::new(UnitId::FIRST, RowOrdinal::new(3))], &columns));
    internal(table.fetch(&[RowAddress::new(UnitId::new(99), RowOrdinal::new(0))], &columns));
    internal(table.scan(&Morsel { unit: UnitId::new(99), rows: 0..1, live: 1 }, &columns, None));
    internal(table.scan(&table.morsels(9)[0], &[ScanColumn::Column(ColumnId::new(77))], None));
    assert!(table.scan_unit(UnitId::new(99), &columns, 1).is_err());
    assert!(table.column_statistics(ColumnId::new(77)).is_none());
    let mut state = writer.tail.clone();
    for row in
        [RowAddress::new(UnitId::FIRST, RowOrdinal::new(3)), RowAddress::new(UnitId::new(99), RowOrdinal::new(0))]
    {
        assert!(!state.is_live(row));
        assert!(state.delete(&[row]).is_err());
    }
    assert!(state.install(&[UnitId::new(99)], Vec::new()).is_err());
    assert!(state.install(&[UnitId::FIRST], Vec::new()).is_err(), "the open generation takes rows");
}

#[test]
fn an_empty_generation_leaves_no_trace() {
    let mut writer = Writer::new(plain_schema());
    writer.seal();
    writer.seal();
    assert_eq!(writer.tail.generations().count(), 1);
    assert!(!writer.tail.has_unit(UnitId::FIRST));
    let held = writer.check();
    assert!(held.table().morsels(8_192).is_empty());
    let statistics = held.table().column_statistics(ColumnId::new(1)).unwrap();
    assert_eq!((statistics.min, statistics.null_count), (None, Some(0)));
}

#[test]
fn a_version_counts_as_held_until_its_last_handle_goes() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..1));
    let held = writer.publish();
    let (first, table) = (held.snapshot.commit_seq(), held.table());
    writer.upsert(&plain_rows(1..2));
    let second = writer.publish().snapshot.commit_seq();
    drop(held);
    assert_eq!((writer.live.oldest_seq(), writer.live.count()), (first, 2), "a table keeps its version");
    assert!(writer.live.sees_between(first, second));
    assert!(!writer.live.sees_between(CommitSeq::ZERO, first));
    assert!(writer.live.sees_between(second, second.next().unwrap()), "not published yet");
    assert_eq!(writer.live.held()[0].seq, first);
    drop(table);
    assert_eq!((writer.live.oldest_seq(), writer.live.count()), (second, 1));
    assert!(!writer.live.sees_between(first, second));
    // A clone for the writer's next tail is no reader.
    let tail = Version::clone(&writer.live.held()[0]);
    assert_eq!(writer.live.count(), 1);
    drop(tail);
    assert_eq!(writer.live.count(), 1);
}

#[test]
fn a_tail_that_is_read_outside_of_the_turn_is_live_until_its_last_handle_goes() {
    let mut writer = Writer::new(plain_schema());
    writer.upsert(&plain_rows(0..1));
    let first = writer.publish().snapshot.commit_seq();
    writer.upsert(&plain_rows(1..2));
    let tail = Version::new(writer.seq, Arc::new(Catalog::default()), imbl::OrdMap::new(), Arc::default());
    let (one, two) = (writer.live.hold(&tail), writer.live.hold(&tail));
    let second = writer.publish().snapshot.commit_seq();
    assert_eq!(second, tail.seq);
    writer.upsert(&plain_rows(2..3));
    let third = writer.publish().snapshot.commit_seq();
    drop(one);
    assert!(writer.live.sees_between(second, third), "held twice");
    assert!(!writer.live.sees_between(first, second));
    assert_eq!(writer.live.oldest_seq(), second);
    drop(two);
    assert!(!writer.live.sees_between(second, third));
    assert_eq!(writer.live.oldest_seq(), third);
}

//! What goes in comes out.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use outcrop_env::FileName;
use outcrop_format::SegmentMeta;
use outcrop_types::{
    Column, ColumnId, CommitSeq, CompareOp, Condition, DataType, LogId, Predicate, RowOrdinal, TableSchema, UnitId,
    Value,
};
use proptest::prelude::*;

use super::data::*;
use crate::{
    LiveFiles, PageCache, ScanColumn, Segment, SegmentOptions, SegmentWriter, meta_checksum, orphans, read_meta,
};

fn spreads() -> impl Strategy<Value = Spread> {
    prop_oneof![
        Just(Spread::Constant),
        Just(Spread::Few),
        Just(Spread::Ascending),
        Just(Spread::Runs),
        Just(Spread::Outliers),
        Just(Spread::Wild),
    ]
}

fn assert_batches(found: &RecordBatch, expected: &RecordBatch, what: &str) {
    assert_eq!(found.num_rows(), expected.num_rows(), "{what}");
    for (n, (a, b)) in found.columns().iter().zip(expected.columns()).enumerate() {
        assert_same(a, b, &format!("{what}, column {n} of type {}", b.data_type()));
    }
}

fn open(env: &outcrop_env::Env, meta: SegmentMeta) -> Arc<Segment> {
    Segment::open(env, DIR, Arc::new(meta), &PageCache::new(4 << 20)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_type_comes_back_as_it_went_in(
        seed in any::<u64>(), rows in 1_usize..1500, spread in spreads(),
        nulls in prop_oneof![Just(0_u64), Just(10), Just(97), Just(100)],
        piece in 1_usize..700, nullable in any::<bool>(),
    ) {
        let types: Vec<_> = all_types().into_iter().map(|data_type| (data_type, nullable)).collect();
        let schema = schema(&types);
        let env = environment(seed);
        let batch = batch(&schema, seed, rows, spread, nulls);
        let meta = write(&env, &schema, &batch, piece.max(rows / 8), &options(256, 4096));
        prop_assert_eq!(meta_checksum(&read_meta(&env, DIR, LOG, UNIT).unwrap()), meta_checksum(&meta));
        let segment = open(&env, meta);
        segment.verify().unwrap();
        let end = rows as u32;

        let whole = segment.scan(&schema, &all_columns(&schema), 0..end, None, None).unwrap();
        assert_batches(&whole.batch, &batch, "scan");

        let range = end / 3..end - end / 4;
        let length = range.len();
        let live = BooleanBuffer::collect_bool(length, |row| !mix(seed ^ row as u64).is_multiple_of(3));
        let masked = segment.scan(&schema, &all_columns(&schema), range.clone(), Some(&live), None).unwrap();
        let expected = batch.slice(range.start as usize, length);
        let expected = filter_record_batch(&expected, &BooleanArray::new(live.clone(), None)).unwrap();
        assert_batches(&masked.batch, &expected, "masked scan");
        let ordinals: Vec<_> = live.set_indices().map(|row| RowOrdinal::new(range.start + row as u32)).collect();
        prop_assert_eq!(masked.rows().collect::<Vec<_>>(), ordinals);

        let rows: Vec<_> = (0..40_u64).map(|n| RowOrdinal::new((mix(seed ^ n) % u64::from(end)) as u32)).collect();
        let taken = segment.take(&schema, &all_columns(&schema), &rows).unwrap();
        let indices = UInt32Array::from_iter_values(rows.iter().map(|row| row.get()));
        assert_batches(&taken, &take_record_batch(&batch, &indices).unwrap(), "take");
    }

    #[test]
    fn a_predicate_never_loses_a_row(
        seed in any::<u64>(), rows in 1_usize..1200, spread in spreads(), nulls in prop_oneof![Just(0_u64), Just(30), Just(100)],
        choices in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8, any::<prop::sample::Index>(), any::<u64>()), 1..5),
        all in any::<bool>(),
    ) {
        let types: Vec<_> = all_types().into_iter().filter(|t| !matches!(t, DataType::Array(_))).map(|t| (t, true)).collect();
        let schema = schema(&types);
        let env = environment(seed);
        let batch = batch(&schema, seed, rows, spread, nulls);
        let segment = open(&env, write(&env, &schema, &batch, 500, &options(128, 2048)));
        let end = rows as u32;
        let values: Vec<Vec<Value>> = schema.columns.iter().map(|column| {
            let scan = segment.scan(&schema, &[ScanColumn::Column(column.id)], 0..end, None, None).unwrap();
            values(scan.batch.column(0), &column.data_type)
        }).collect();
        let parts = choices.iter().map(|(column, kind, row, seed)| {
            let n = column.index(schema.columns.len());
            let id = schema.columns[n].id;
            let inside = values[n][row.index(rows)].clone();
            let other = super::data::values(&array(&schema.columns[n].data_type, &[Some(*seed)]), &schema.columns[n].data_type).remove(0);
            let constant = if *seed % 2 == 0 || inside == Value::Null { other.clone() } else { inside.clone() };
            let op = [CompareOp::Equal, CompareOp::NotEqual, CompareOp::Less, CompareOp::LessOrEqual, CompareOp::Greater, CompareOp::GreaterOrEqual];
            match kind {
                _ if constant == Value::Null => Predicate::IsNotNull(id),
                6 => Predicate::In(id, vec![constant, other]),
                7 if seed % 3 == 0 => Predicate::IsNull(id),
                7 => Predicate::Or(vec![Predicate::IsNull(id), Predicate::Compare(id, CompareOp::Less, constant)]),
                kind => Predicate::Compare(id, op[usize::from(*kind)], constant),
            }
        }).collect();
        let predicate = if all { Predicate::And(parts) } else { Predicate::Or(parts) };
        let scan = segment.scan(&schema, &[ScanColumn::Row], 0..end, None, Some(&predicate)).unwrap();
        let found: Vec<u32> = scan.rows().map(RowOrdinal::get).collect();
        for row in 0..rows {
            let wanted = is_true(&predicate, &|id| &values[schema.position(id).unwrap()][row]) == Some(true);
            prop_assert!(!wanted || found.contains(&(row as u32)), "{predicate:?} lost row {row}: {:?}",
                predicate.columns().iter().map(|id| &values[schema.position(*id).unwrap()][row]).collect::<Vec<_>>());
        }
    }
}

/// SQL's three-valued logic, naively.
fn is_true<'a>(predicate: &Predicate, value: &impl Fn(ColumnId) -> &'a Value) -> Option<bool> {
    let compared = |id: ColumnId, op: CompareOp, constant: &Value| {
        let order = value(id).compare(constant)?;
        Some(match op {
            CompareOp::Equal => order.is_eq(),
            CompareOp::NotEqual => order.is_ne(),
            CompareOp::Less => order.is_lt(),
            CompareOp::LessOrEqual => order.is_le(),
            CompareOp::Greater => order.is_gt(),
            CompareOp::GreaterOrEqual => order.is_ge(),
        })
    };
    match predicate {
        Predicate::Compare(id, op, constant) => compared(*id, *op, constant),
        Predicate::In(id, constants) => {
            constants.iter().map(|c| compared(*id, CompareOp::Equal, c)).reduce(or).unwrap_or(Some(false))
        }
        Predicate::IsNull(id) => Some(*value(*id) == Value::Null),
        Predicate::IsNotNull(id) => Some(*value(*id) != Value::Null),
        Predicate::And(parts) => parts
            .iter()
            .map(|p| is_true(p, value))
            .fold(Some(true), |a, b| or(a.map(|a| !a), b.map(|b| !b)).map(|c| !c)),
        Predicate::Or(parts) => parts.iter().map(|p| is_true(p, value)).fold(Some(false), or),
    }
}

fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        (None, _) | (_, None) => None,
    }
}

fn ids(rows: usize) -> (Arc<TableSchema>, RecordBatch) {
    let schema = schema(&[(DataType::Int8, false), (DataType::Text, true)]);
    let batch = batch(&schema, 1, rows, Spread::Ascending, 20);
    (schema, batch)
}

#[test]
fn hidden_columns_tell_unit_row_and_commit() {
    let (schema, batch) = ids(3000);
    let env = environment(1);
    let meta = write(&env, &schema, &batch, 1000, &options(512, 4096));
    assert_eq!((meta.min_seq.get(), meta.max_seq.get()), (100, 100 + 2999 / 7));
    let segment = open(&env, meta);
    let hidden = [ScanColumn::CommitSeq, ScanColumn::Row, ScanColumn::Unit];
    let found =
        segment.take(&schema, &hidden, &[RowOrdinal::new(2999), RowOrdinal::new(5), RowOrdinal::new(5)]).unwrap();
    assert_eq!(
        found.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
        ["__seq", "__row", "__unit"]
    );
    assert_eq!(found.column(0).as_primitive::<UInt64Type>().values(), &[100 + 2999 / 7, 100, 100]);
    assert_eq!(found.column(1).as_ref(), &UInt32Array::from(vec![2999, 5, 5]) as &dyn Array);
    assert_eq!(found.column(2).as_primitive::<UInt64Type>().values(), &[17, 17, 17]);
}

#[test]
fn a_scan_without_columns_keeps_the_number_of_rows() {
    let (schema, batch) = ids(100);
    let env = environment(1);
    let segment = open(&env, write(&env, &schema, &batch, 100, &SegmentOptions::default()));
    assert_eq!(segment.scan(&schema, &[], 10..90, None, None).unwrap().batch.num_rows(), 80);
    assert_eq!(segment.scan(&schema, &all_columns(&schema), 7..7, None, None).unwrap().batch.num_rows(), 0);
    assert_eq!(segment.take(&schema, &all_columns(&schema), &[]).unwrap().num_rows(), 0);
    assert!(segment.scan(&schema, &[], 0..101, None, None).is_err());
    assert!(segment.take(&schema, &[], &[RowOrdinal::new(100)]).is_err());
}

#[test]
fn a_younger_column_has_its_default() {
    let (schema, batch) = ids(50);
    let env = environment(1);
    let segment = open(&env, write(&env, &schema, &batch, 50, &SegmentOptions::default()));
    let mut younger = (*schema).clone();
    let defaults = [
        (DataType::Int4, Value::Int(-7)),
        (DataType::Text, Value::Text("d".into())),
        (DataType::Numeric { precision: 50, scale: 1 }, Value::Decimal(15, 1)),
        (DataType::Uuid, Value::Uuid([9; 16])),
        (DataType::TimestampTz, Value::TimestampTz(5)),
        (DataType::Array(Box::new(DataType::Int2)), Value::Array(vec![Value::Int(1), Value::Null])),
        (DataType::Array(Box::new(DataType::Text)), Value::Array(vec![])),
        (DataType::Bytea, Value::Null),
    ];
    for (n, (data_type, initial_default)) in (10..).zip(defaults) {
        let name = format!("d{n}");
        younger.columns.push(Column {
            id: ColumnId::new(n),
            name,
            data_type,
            collation: 0,
            nullable: true,
            initial_default,
            write_default: None,
        });
    }
    let found = segment.scan(&younger, &all_columns(&younger), 0..50, None, None).unwrap().batch;
    for (column, array) in younger.columns.iter().zip(found.columns()).skip(2) {
        assert_eq!(*array.data_type(), column.data_type.to_arrow());
        match (&column.initial_default, &column.data_type) {
            (Value::Array(_), _) => assert_eq!(array.null_count(), 0),
            (default, data_type) => assert!(values(array, data_type).iter().all(|value| value == default)),
        }
    }
}

#[test]
fn rows_of_one_commit_store_no_number_and_get_it_from_the_metadata() {
    let (schema, batch) = ids(3000);
    let env = environment(1);
    let options = options(256, 4096);
    let mut writer = SegmentWriter::create_staged(&env, DIR, LOG, UNIT, Arc::clone(&schema), &options).unwrap();
    let seqs = UInt64Array::from_value(0, 3000);
    assert!(writer.write(&batch, &seqs).is_err(), "a staged segment has no place for numbers");
    writer.write_staged(&batch).unwrap();
    let meta = writer.finish().unwrap();
    let (min_seq, max_seq) = (CommitSeq::new(77), CommitSeq::new(77));
    let segment = open(&env, SegmentMeta { min_seq, max_seq, ..meta.clone() });
    let scanned = segment.scan(&schema, &[ScanColumn::CommitSeq], 0..3000, None, None).unwrap().batch;
    assert!(scanned.column(0).as_primitive::<UInt64Type>().values().iter().all(|seq| *seq == 77));
    assert_eq!(segment.scan(&schema, &all_columns(&schema), 0..3000, None, None).unwrap().batch, batch);
    segment.verify().unwrap();
    // Metadata that names several commits needs a number for each row.
    let broken = open(&env, SegmentMeta { min_seq: CommitSeq::new(7), max_seq, ..meta });
    assert_eq!(broken.verify().unwrap_err().condition(), Condition::DataCorrupted);
    let unstored = broken.scan(&schema, &[ScanColumn::CommitSeq], 0..3000, None, None);
    assert_eq!(unstored.unwrap_err().condition(), Condition::DataCorrupted);
}

#[test]
fn zone_maps_leave_only_blocks_that_may_match() {
    let (schema, batch) = ids(4096);
    let env = environment(1);
    let segment = open(&env, write(&env, &schema, &batch, 999, &options(256, 4096)));
    assert_eq!(segment.blocks().count(), 16);
    let nothing = Predicate::Compare(ColumnId::new(1), CompareOp::Equal, Value::Int(1 << 40));
    // The extremes of Int8 occur in every block, so only NULLs can exclude here.
    assert_eq!(segment.prune(&Predicate::IsNull(ColumnId::new(1)), 0..4096), []);
    assert_eq!(segment.prune(&Predicate::IsNotNull(ColumnId::new(1)), 300..4000), [300..4000]);
    assert_eq!(segment.prune(&nothing, 0..4096), [0..4096]);
    assert_eq!(segment.prune(&Predicate::IsNull(ColumnId::new(99)), 0..9999), [0..4096]);
    assert_eq!(segment.prune(&Predicate::In(ColumnId::new(1), vec![]), 0..4096), []);
}

#[test]
fn an_aborted_writer_leaves_no_file_and_orphans_are_found() {
    let (schema, batch) = ids(10);
    let env = environment(1);
    let writer =
        || SegmentWriter::create(&env, DIR, LOG, UNIT, Arc::clone(&schema), &SegmentOptions::default()).unwrap();
    writer().abort();
    drop(writer());
    assert_eq!(env.disk.list(DIR).unwrap(), []);
    write(&env, &schema, &batch, 10, &SegmentOptions::default());
    let own_run = format!("{LOG}-17.keys");
    let run = format!("segments/{own_run}");
    for name in ["segments/notes.txt", "segments/x.vortex", &format!("segments/{LOG}-99.meta.tmp"), &run] {
        env.disk.create(&FileName::new(name).unwrap()).unwrap();
    }
    let names = |segments: &[(LogId, UnitId)], key_runs: &[(LogId, UnitId)]| {
        let live =
            LiveFiles { segments: segments.iter().copied().collect(), key_runs: key_runs.iter().copied().collect() };
        orphans(&env, DIR, &live).unwrap().iter().map(|name| name.base().to_owned()).collect::<Vec<_>>()
    };
    let this = [(LOG, UNIT)];
    assert_eq!(names(&this, &this), [format!("{LOG}-99.meta.tmp")]);
    assert_eq!(names(&this, &[]), [own_run.clone(), format!("{LOG}-99.meta.tmp")], "its rows are in another run");
    let all = [own_run, format!("{LOG}-17.meta"), format!("{LOG}-17.vortex"), format!("{LOG}-99.meta.tmp")];
    assert_eq!(names(&[], &[]), all);
}

#[test]
fn a_table_without_rows_or_columns_can_be_written() {
    for types in [vec![], vec![(DataType::Int4, true)]] {
        let schema = schema(&types);
        let env = environment(1);
        let batch = batch(&schema, 1, 0, Spread::Wild, 0);
        let segment = open(&env, write(&env, &schema, &batch, 1, &SegmentOptions::default()));
        segment.verify().unwrap();
        assert_eq!(segment.scan(&schema, &[ScanColumn::CommitSeq], 0..0, None, None).unwrap().batch.num_rows(), 0);
    }
}

#[test]
fn conditions_on_whole_numbers_and_text_are_evaluated_exactly() {
    let (schema, batch) = ids(3000);
    let env = environment(1);
    let segment = open(&env, write(&env, &schema, &batch, 1000, &options(512, 4096)));
    let (id, name) = (ColumnId::new(1), ColumnId::new(2));
    let numbers = values(batch.column(0), &DataType::Int8);
    let texts = values(batch.column(1), &DataType::Text);
    let some_text = texts.iter().find(|text| **text != Value::Null).unwrap().clone();
    let predicates = [
        Predicate::Compare(id, CompareOp::Less, numbers[1500].clone()),
        Predicate::In(id, vec![numbers[7].clone(), numbers[2000].clone()]),
        Predicate::And(vec![Predicate::IsNull(name), Predicate::Compare(id, CompareOp::Greater, Value::Int(0))]),
        Predicate::Or(vec![Predicate::Compare(name, CompareOp::Equal, some_text), Predicate::IsNull(name)]),
    ];
    for predicate in predicates {
        let scan = segment.scan(&schema, &all_columns(&schema), 0..3000, None, Some(&predicate)).unwrap();
        let expected: Vec<u32> = (0..3000_u32)
            .filter(|&row| {
                let row = row as usize;
                is_true(&predicate, &|column| if column == id { &numbers[row] } else { &texts[row] }) == Some(true)
            })
            .collect();
        assert!(!expected.is_empty() && expected.len() < 3000, "{predicate:?}");
        assert_eq!(scan.rows().map(RowOrdinal::get).collect::<Vec<_>>(), expected, "{predicate:?}");
    }
}

#[test]
fn writers_move_between_threads_and_segments_are_shared() {
    fn send<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    send::<SegmentWriter>();
    shared::<Segment>();
    shared::<crate::ScanBatch>();
    shared::<PageCache>();
}

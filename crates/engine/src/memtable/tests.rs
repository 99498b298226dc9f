use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringViewArray};
use arrow_select::concat::concat_batches;
use outcrop_testkit::generate::{SchemaShape, data_types, from_seed, row_for, schemas, values_of};
use outcrop_testkit::{Row, array_of, assert_same_rows, batch_of, compare_values, rows_of};
use outcrop_types::{
    Column, ColumnId, Comments, CommitSeq, CompareOp, DataType, Predicate, RowOrdinal, SchemaVersion, TableId,
    TableName, TableOptions, TableSchema, UnitId, Value,
};
use proptest::prelude::*;

use super::bounds::ColumnBounds;
use super::coalesce::{CHUNK_ROWS, FAN_IN};
use super::{Chunk, Generation, value_at};

/// Everything that a generation holds, and the commit of each row.
fn contents(generation: &Generation, schema: &TableSchema) -> (Vec<Row>, Vec<u64>) {
    let mut seqs = Vec::new();
    let mut batches = Vec::new();
    let mut next = 0;
    for chunk in generation.chunks() {
        assert_eq!(chunk.rows().start, next, "numbers have no gap");
        next = chunk.rows().end;
        let arrays: Vec<ArrayRef> =
            schema.columns.iter().map(|column| chunk.column(column, 0..chunk.len()).unwrap().unwrap()).collect();
        batches.push(RecordBatch::try_new(schema.to_arrow(), arrays).unwrap());
        seqs.extend(chunk.seqs(0..chunk.len()).values());
    }
    assert_eq!(next, generation.rows());
    (rows_of(&concat_batches(&schema.to_arrow(), &batches).unwrap()), seqs)
}

fn schema_of(types: &[DataType]) -> TableSchema {
    let column = |(number, data_type): (u32, &DataType)| Column {
        id: ColumnId::new(number),
        name: format!("c{number}"),
        data_type: data_type.clone(),
        collation: 0,
        nullable: true,
        initial_default: Value::Null,
        write_default: None,
    };
    TableSchema {
        id: TableId::new(1),
        version: SchemaVersion::new(1),
        name: TableName::new("commons", "t"),
        columns: (1..).zip(types).map(column).collect(),
        keys: Vec::new(),
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_keep_number_order_and_commit_however_they_arrive(
        schema in schemas(SchemaShape::default()),
        sizes in proptest::collection::vec(prop_oneof![8 => 1_usize..4, 2 => 4_usize..80, 1 => 500_usize..700], 1..60),
        seed in any::<u64>(),
    ) {
        let mut generation = Generation::new(UnitId::FIRST, &schema);
        let pool: Vec<Row> = (0..16).map(|i| from_seed(&row_for(&schema), seed.wrapping_add(i))).collect();
        let (mut rows, mut seqs): (Vec<Row>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut older: Vec<(Generation, usize)> = Vec::new();
        for (number, size) in (0_u16..).zip(sizes) {
            let added: Vec<Row> = (0..size).map(|i| pool[(usize::from(number) * 7 + i) % pool.len()].clone()).collect();
            let seq = 10 + u64::from(number);
            let first = generation.append(batch_of(&schema, &added), CommitSeq::new(seq)).unwrap();
            prop_assert_eq!(usize::try_from(first.get()).unwrap(), rows.len());
            seqs.extend(added.iter().map(|_| seq));
            rows.extend(added);
            if number % 9 == 0 {
                older.push((generation.clone(), rows.len()));
            }
        }
        older.push((generation.clone(), rows.len()));
        for (generation, count) in &older {
            let (found, found_seqs) = contents(generation, &schema);
            prop_assert_eq!(found.len(), *count);
            for (row, expected) in rows[..*count].iter().enumerate() {
                assert_same_rows("row by number", std::slice::from_ref(expected), &found[row..=row]);
            }
            prop_assert_eq!(&found_seqs[..], &seqs[..*count]);
            prop_assert_eq!(generation.bytes(), generation.chunks().map(|chunk| chunk.bytes()).sum::<u64>());
        }
        prop_assert_eq!(generation.first_seq(), Some(CommitSeq::new(10)));
    }

    #[test]
    fn bounds_hold_every_value(data_type in data_types(), seed in any::<u64>(), count in 0_u64..20) {
        let strategy = prop_oneof![1 => Just(Value::Null), 3 => values_of(&data_type)];
        let values: Vec<Value> = (0..count).map(|i| from_seed(&strategy, seed.wrapping_add(i))).collect();
        let array = array_of(&data_type, &values.iter().collect::<Vec<_>>());
        // The array may have normalised the value; compare with what it holds.
        let values: Vec<Value> = (0..array.len()).map(|row| outcrop_testkit::value_at(&array, row)).collect();
        let bounds = ColumnBounds::of(&array, &data_type);
        let nulls = values.iter().filter(|value| **value == Value::Null).count();
        prop_assert_eq!(bounds.rows, u32::try_from(values.len()).unwrap());
        prop_assert_eq!(bounds.null_count, u32::try_from(nulls).unwrap());
        for value in values.iter().filter(|value| **value != Value::Null) {
            if let Some(min) = &bounds.min {
                prop_assert!(min.compare(value).is_some_and(Ordering::is_le), "{min} > {value}");
            }
            if let Some(max) = &bounds.max {
                prop_assert!(max.compare(value).is_some_and(Ordering::is_ge), "{max} < {value}");
            }
        }
    }

    #[test]
    fn a_value_is_read_as_it_was_written(data_type in data_types(), seed in any::<u64>()) {
        let value = from_seed(&values_of(&data_type), seed);
        let array = array_of(&data_type, &[&Value::Null, &value]);
        prop_assert_eq!(value_at(&array, 0, &data_type), Value::Null);
        prop_assert_eq!(value_at(&array, 9, &data_type), Value::Null);
        let (found, expected) = (value_at(&array, 1, &data_type), outcrop_testkit::value_at(&array, 1));
        prop_assert!(compare_values(&found, &expected).is_eq(), "{found} for {expected}");
    }
}

#[test]
fn one_row_commits_make_few_chunks_with_one_buffer_each() {
    let schema = schema_of(&[DataType::Int8, DataType::Text, DataType::Array(Box::new(DataType::Text))]);
    let mut generation = Generation::new(UnitId::FIRST, &schema);
    let text = |i: i64| Value::Text(format!("a text that does not fit into a view: {i}"));
    let count = 3 * i64::from(CHUNK_ROWS) / 2 + 77;
    for i in 0..count {
        let row = vec![Value::Int(i), text(i), Value::Array(vec![text(-i), Value::Null])];
        generation.append(batch_of(&schema, &[row]), CommitSeq::new(i.unsigned_abs() + 1)).unwrap();
        let chunks = generation.chunks().count();
        let full = generation.chunks().filter(|chunk| chunk.len() >= CHUNK_ROWS / 2).count();
        assert!(chunks - full <= 4 * (FAN_IN - 1), "{chunks} chunks, {full} full, after {i}");
    }
    let largest = generation.chunks().max_by_key(|chunk| chunk.len()).unwrap();
    assert!((CHUNK_ROWS / 2..2 * CHUNK_ROWS).contains(&largest.len()), "{} rows", largest.len());
    for chunk in generation.chunks().filter(|chunk| chunk.len() >= 8) {
        let column = |position: usize| chunk.column(&schema.columns[position], 0..chunk.len()).unwrap().unwrap();
        let (texts, lists) = (column(1), column(2));
        let (texts, lists) = (texts.as_string_view(), lists.as_list::<i32>());
        assert_eq!(texts.data_buffers().len(), 1);
        assert_eq!(lists.values().as_string_view().data_buffers().len(), 1);
    }
    let (rows, seqs) = contents(&generation, &schema);
    for (i, (row, seq)) in (0..count).zip(rows.iter().zip(seqs)) {
        assert_eq!((&row[0], &row[1], seq), (&Value::Int(i), &text(i), i.unsigned_abs() + 1));
    }
}

#[test]
fn a_slice_does_not_keep_the_batch_that_it_came_from() {
    let schema = schema_of(&[DataType::Text]);
    let text = "x".repeat(1_000);
    let large = StringViewArray::from_iter_values((0..10_000).map(|_| text.as_str()));
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(large)]).unwrap();
    let mut generation = Generation::new(UnitId::FIRST, &schema);
    generation.append(batch.slice(5_000, 3), CommitSeq::new(1)).unwrap();
    assert!(generation.bytes() < 20_000, "{} bytes for three rows", generation.bytes());
    let (rows, _) = contents(&generation, &schema);
    assert_eq!(rows, vec![vec![Value::Text(text)]; 3]);
}

#[test]
fn rows_of_another_table_are_refused() {
    let mut generation = Generation::new(UnitId::FIRST, &schema_of(&[DataType::Int8]));
    let text = batch_of(&schema_of(&[DataType::Text]), &[vec![Value::Null]]);
    let wide = batch_of(&schema_of(&[DataType::Int8, DataType::Int8]), &[vec![Value::Null, Value::Null]]);
    assert!(generation.append(text, CommitSeq::new(1)).is_err());
    assert!(generation.append(wide, CommitSeq::new(1)).is_err());
    assert_eq!(generation.rows(), 0);
}

#[test]
fn deletes_of_a_clone_leave_its_origin_alone() {
    let schema = schema_of(&[DataType::Int8]);
    let mut generation = Generation::new(UnitId::FIRST, &schema);
    let rows: Vec<Row> = (0..10).map(|i| vec![Value::Int(i)]).collect();
    generation.append(batch_of(&schema, &rows), CommitSeq::new(1)).unwrap();
    let mut changed = generation.clone();
    assert_eq!(changed.delete(&[RowOrdinal::new(3), RowOrdinal::new(9)]), 2);
    changed.append(batch_of(&schema, &rows), CommitSeq::new(2)).unwrap();
    assert_eq!((generation.rows(), generation.deletes().live()), (10, 10));
    assert_eq!((changed.rows(), changed.deletes().live()), (20, 18));
}

#[test]
fn chunks_of_a_range_are_those_that_hold_its_rows() {
    let schema = schema_of(&[DataType::Int8]);
    let mut generation = Generation::new(UnitId::FIRST, &schema);
    for size in [5_000, 6_000, 10] {
        let rows: Vec<Row> = (0..size).map(|i| vec![Value::Int(i)]).collect();
        generation.append(batch_of(&schema, &rows), CommitSeq::new(1)).unwrap();
    }
    let starts = |range| generation.chunks_in(range).map(|chunk| chunk.rows().start).collect::<Vec<_>>();
    assert_eq!(starts(0..11_010), [0, 5_000, 11_000]);
    assert_eq!(starts(4_999..5_000), [0]);
    assert_eq!(starts(5_000..5_001), [5_000]);
    assert_eq!(starts(4_999..11_001), [0, 5_000, 11_000]);
    assert_eq!(starts(11_009..11_010), [11_000]);
    assert_eq!(starts(3..3), [] as [u32; 0]);
}

#[test]
fn a_long_text_is_no_bound_and_excludes_nothing() {
    let array = array_of(&DataType::Text, &[&Value::Text("m".repeat(100)), &Value::Text("z".to_owned())]);
    let bounds = ColumnBounds::of(&array, &DataType::Text);
    assert_eq!((&bounds.min, &bounds.max), (&None, &Some(Value::Text("z".to_owned()))));
    let matches = |op, text: &str| {
        let predicate = Predicate::Compare(ColumnId::new(1), op, Value::Text(text.to_owned()));
        predicate.may_match(&|_| Some(bounds.as_bounds()))
    };
    assert!(matches(CompareOp::Less, "a"));
    assert!(!matches(CompareOp::Greater, "z"));
    assert!(matches(CompareOp::GreaterOrEqual, "z"));
}

#[test]
fn chunk_bounds_are_computed_once_for_all_who_share_it() {
    let schema = schema_of(&[DataType::Int8]);
    let mut generation = Generation::new(UnitId::FIRST, &schema);
    generation.append(batch_of(&schema, &[vec![Value::Int(1)], vec![Value::Null]]), CommitSeq::new(1)).unwrap();
    let clone = generation.clone();
    let chunk: &Arc<Chunk> = generation.chunks().next().unwrap();
    let bounds = chunk.bounds(ColumnId::new(1)).unwrap();
    assert!(std::ptr::eq(bounds, clone.chunks().next().unwrap().bounds(ColumnId::new(1)).unwrap()));
    assert_eq!(*bounds, ColumnBounds { min: Some(Value::Int(1)), max: Some(Value::Int(1)), null_count: 1, rows: 2 });
    assert!(chunk.bounds(ColumnId::new(2)).is_none());
}

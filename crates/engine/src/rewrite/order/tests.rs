use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringViewArray, UInt32Array};
use outcrop_testkit::generate::{SchemaShape, from_seed, schemas};

use super::*;

/// A table whose rows are sorted by columns of these types.
fn schema(types: &[DataType]) -> TableSchema {
    let shape = SchemaShape { columns: types.len()..=types.len(), key_columns: 0..=0, ..SchemaShape::default() };
    let mut schema = from_seed(&schemas(shape), 1);
    schema.columns.iter_mut().zip(types).for_each(|(column, data_type)| column.data_type = data_type.clone());
    schema.options.sort_key = schema.columns.iter().map(|column| column.id).collect();
    schema
}

/// Columns of a sort key with the row numbers.
fn batch(key: Vec<ArrayRef>, rows: &[u32]) -> RecordBatch {
    let names: Vec<String> = (0..=key.len()).map(|number| number.to_string()).collect();
    let columns = key.into_iter().chain([Arc::new(UInt32Array::from(rows.to_vec())) as ArrayRef]);
    RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap()
}

fn at(unit: u64, row: u32) -> RowAddress {
    RowAddress::new(UnitId::new(unit), RowOrdinal::new(row))
}

#[test]
fn rows_are_sorted_over_all_inputs_and_equal_keys_keep_their_order() {
    let mut builder = OrderBuilder::new(&schema(&[DataType::Int8]), 6, 1 << 20).unwrap().unwrap();
    let numbers = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    builder.begin(UnitId::new(4));
    builder.add(&batch(vec![numbers(&[Some(5), None])], &[0, 2])).unwrap();
    builder.begin(UnitId::new(4));
    builder.add(&batch(vec![numbers(&[Some(-7)])], &[9])).unwrap();
    builder.begin(UnitId::new(6));
    builder.add(&batch(vec![numbers(&[Some(1), Some(5), Some(5)])], &[3, 4, 5])).unwrap();
    let sorted = builder.finish();
    assert!(!sorted.is_merge(), "the first input was not in order");
    assert_eq!(sorted.addresses(0..6), [at(4, 9), at(6, 3), at(4, 0), at(6, 4), at(6, 5), at(4, 2)]);
    assert_eq!(sorted.addresses(1..3), [at(6, 3), at(4, 0)]);
    assert_eq!((sorted.len(), &*sorted.places()), (6, &[2, 5, 0, 1, 3, 4][..]));
}

#[test]
fn inputs_in_order_are_merged() {
    let mut builder = OrderBuilder::new(&schema(&[DataType::Int8]), 4, 1 << 20).unwrap().unwrap();
    for (unit, values) in [(1, vec![1, 3]), (2, vec![2, 4])] {
        builder.begin(UnitId::new(unit));
        builder.add(&batch(vec![Arc::new(Int64Array::from(values))], &[0, 1])).unwrap();
    }
    let sorted = builder.finish();
    assert!(sorted.is_merge());
    assert_eq!(sorted.addresses(0..4), [at(1, 0), at(2, 0), at(1, 1), at(2, 1)]);
}

#[test]
fn what_does_not_fit_is_left_out_of_the_comparison_or_not_sorted() {
    let schema = schema(&[DataType::Text, DataType::Int8]);
    assert!(OrderBuilder::new(&schema, 1_000, 55_999).unwrap().is_none());
    // Memory for 28 bytes of a key: 22 of text, with what tells where it ends.
    let sort = |memory| {
        let mut builder = OrderBuilder::new(&schema, 1_000, memory).unwrap().unwrap();
        builder.begin(UnitId::new(1));
        let texts = ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaz", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "aaz", "aab"];
        let key: Vec<ArrayRef> =
            vec![Arc::new(StringViewArray::from(texts.to_vec())), Arc::new(Int64Array::from(vec![1; 4]))];
        builder.add(&batch(key, &[0, 1, 2, 3])).unwrap();
        builder.finish().addresses(0..4)
    };
    assert_eq!(sort(56_000), [at(1, 0), at(1, 1), at(1, 3), at(1, 2)]);
    assert_eq!(sort(1 << 20), [at(1, 1), at(1, 0), at(1, 3), at(1, 2)]);
}

#[test]
fn a_table_without_sort_key_keeps_the_order_of_its_rows() {
    let mut schema = schema(&[DataType::Int8]);
    schema.options.sort_key.clear();
    assert!(OrderBuilder::new(&schema, 10, 1 << 20).unwrap().is_none());
}

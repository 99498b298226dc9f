use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringViewArray};
use outcrop_types::{
    Column, ColumnId, Comments, Condition, DataType, SchemaVersion, TableId, TableName, TableOptions, TableSchema,
    Value,
};

use super::*;

fn schema(columns: &[(DataType, bool)]) -> TableSchema {
    let columns = (1..).zip(columns).map(|(number, (data_type, nullable))| Column {
        id: ColumnId::new(number),
        name: format!("c{number}"),
        data_type: data_type.clone(),
        collation: 0,
        nullable: *nullable,
        initial_default: Value::Null,
        write_default: None,
    });
    TableSchema {
        id: TableId::new(1),
        version: SchemaVersion::new(1),
        name: TableName::new("commons", "t"),
        columns: columns.collect(),
        keys: Vec::new(),
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    }
}

fn normal(schema: &TableSchema, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let mut lax = schema.clone();
    lax.columns.iter_mut().for_each(|column| column.nullable = true);
    let batch = RecordBatch::try_new(lax.to_arrow(), columns).unwrap();
    normalise(&batch, schema, &schema.to_arrow())
}

#[test]
fn floats_have_one_nan_and_no_negative_zero_also_in_arrays() {
    let odd_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 5);
    let values = [Some(-0.0), Some(odd_nan), Some(-1.5), None, Some(f64::NEG_INFINITY)];
    let array = DataType::Array(Box::new(DataType::Float8));
    let schema = schema(&[(DataType::Float8, true), (array, true)]);
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(values.map(|value| Some(vec![value])));
    let arrow = schema.to_arrow();
    let ArrowType::List(field) = arrow.field(1).data_type() else { panic!("a list") };
    let (_, offsets, items, nulls) = list.into_parts();
    let list = ListArray::new(Arc::clone(field), offsets, items, nulls);
    let batch = normal(&schema, vec![Arc::new(Float64Array::from(values.to_vec())), Arc::new(list)]).unwrap();
    for floats in [batch.column(0), batch.column(1).as_list::<i32>().values()] {
        let floats: &Float64Array = floats.as_primitive();
        let bits: Vec<Option<u64>> = floats.iter().map(|value| value.map(f64::to_bits)).collect();
        let expected = [Some(0.0), Some(f64::NAN), Some(-1.5), None, Some(f64::NEG_INFINITY)];
        assert_eq!(bits, expected.map(|value: Option<f64>| value.map(f64::to_bits)));
    }
}

#[test]
fn null_in_a_not_null_column_is_refused() {
    let schema = schema(&[(DataType::Int8, true), (DataType::Int8, false)]);
    let column = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let error = normal(&schema, vec![column(vec![None, None]), column(vec![Some(1), None])]).unwrap_err();
    assert_eq!(error.condition(), Condition::NotNullViolation);
    assert_eq!(error.constraint().unwrap().column.as_deref(), Some("c2"));
    normal(&schema, vec![column(vec![None, None]), column(vec![Some(1), Some(2)])]).unwrap();
}

#[test]
fn a_batch_of_other_types_is_a_bug() {
    let schema = schema(&[(DataType::Int8, true)]);
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["1"]));
    let batch = RecordBatch::try_from_iter([("c1", text)]).unwrap();
    let error = normalise(&batch, &schema, &schema.to_arrow()).unwrap_err();
    assert_eq!(error.condition(), Condition::InternalError);
}

#[test]
fn a_slice_does_not_keep_its_batch() {
    let schema = schema(&[(DataType::Text, true), (DataType::Int8, true)]);
    let texts = StringViewArray::from_iter_values((0..10_000).map(|i| format!("a text that is not short {i}")));
    let columns: Vec<ArrayRef> = vec![Arc::new(texts), Arc::new(Int64Array::from_iter_values(0..10_000))];
    let slice = columns.iter().map(|column| column.slice(500, 2)).collect();
    let batch = normal(&schema, slice).unwrap();
    assert!(batch.get_array_memory_size() < 2_000, "{}", batch.get_array_memory_size());
    assert_eq!(batch.column(0).as_string_view().value(1), "a text that is not short 501");
}

#[test]
fn a_row_has_a_largest_size() {
    let schema = schema(&[(DataType::Text, true)]);
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["x".repeat(ROW_BYTES_MAX), String::new()]));
    let error = normal(&schema, vec![text]).unwrap_err();
    assert_eq!(error.condition(), Condition::ProgramLimitExceeded);
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["x".repeat(ROW_BYTES_MAX / 2); 3]));
    normal(&schema, vec![text]).unwrap();
}

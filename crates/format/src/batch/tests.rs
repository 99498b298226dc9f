use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt8Array};
use arrow_schema::{DataType as ArrowType, Schema};
use outcrop_testkit::generate::{SchemaShape, from_seed, rows_for, schemas};
use outcrop_testkit::{assert_same_rows, batch_of, rows_of};
use outcrop_types::{Column, ColumnId, DataType, TableSchema, Value};
use proptest::prelude::*;

use super::{BatchDecoder, batch_rows, constant_array, decode_batch, encode_batch};
use crate::error::{DecodeProblem, EncodeError};

fn ids(schema: &TableSchema) -> Vec<ColumnId> {
    schema.columns.iter().map(|column| column.id).collect()
}

fn encoded(batch: &RecordBatch, schema: &TableSchema) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_batch(batch, &ids(schema), &mut bytes).unwrap();
    bytes
}

fn shape() -> SchemaShape {
    SchemaShape { key_columns: 0..=2, columns: 0..=8, ..SchemaShape::default() }
}

/// A schema of one column after another.
fn schema_of(types: &[DataType]) -> TableSchema {
    let mut schema = from_seed(&schemas(SchemaShape { columns: 0..=0, key_columns: 0..=0, ..shape() }), 0);
    schema.columns = (1..)
        .zip(types)
        .map(|(number, data_type)| Column {
            id: ColumnId::new(number),
            name: format!("c{number}"),
            data_type: data_type.clone(),
            collation: 0,
            nullable: true,
            initial_default: Value::Null,
            write_default: None,
        })
        .collect();
    schema
}

proptest! {
    #[test]
    fn batches_come_back_whole_and_sliced(
        (schema, rows) in schemas(shape()).prop_flat_map(|schema| (Just(schema.clone()), rows_for(&schema, 40))),
        start in 0_usize..40,
        len in 0_usize..40,
    ) {
        let batch = batch_of(&schema, &rows);
        let bytes = encoded(&batch, &schema);
        let found = decode_batch(&bytes, &schema).unwrap();
        assert_eq!(found.schema(), schema.to_arrow());
        assert_eq!(found.columns(), batch.columns());
        assert_eq!(batch_rows(&bytes).unwrap() as usize, rows.len());
        assert_eq!(encoded(&found, &schema), bytes, "B1: the same rows are the same bytes");

        let start = start.min(rows.len());
        let len = len.min(rows.len() - start);
        let slice = batch.slice(start, len);
        let bytes = encoded(&slice, &schema);
        assert_eq!(bytes, encoded(&batch_of(&schema, &rows[start..start + len]), &schema), "B1: of slices, too");
        let found = decode_batch(&bytes, &schema).unwrap();
        assert_same_rows("slice", &rows[start..start + len], &rows_of(&found));
    }

    #[test]
    fn b2_damaged_batches_never_panic(
        (schema, rows) in schemas(shape()).prop_flat_map(|schema| (Just(schema.clone()), rows_for(&schema, 9))),
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut in any::<usize>(),
    ) {
        let mut bytes = encoded(&batch_of(&schema, &rows), &schema);
        for (position, byte) in damage {
            let position = position % bytes.len();
            bytes[position] = byte;
        }
        if let Ok(batch) = decode_batch(&bytes, &schema) {
            rows_of_any(&batch);
        }
        assert!(decode_batch(&bytes[..cut % bytes.len()], &schema).is_err() || bytes.len() < 4);
    }
}

/// Touches every value.
fn rows_of_any(batch: &RecordBatch) {
    for array in batch.columns() {
        assert!(array.to_data().validate_full().is_ok());
    }
}

fn ten_columns() -> TableSchema {
    schema_of(&[
        DataType::Int8,
        DataType::Int4,
        DataType::Text,
        DataType::Text,
        DataType::Float8,
        DataType::Timestamp,
        DataType::Bool,
        DataType::Date,
        DataType::Int2,
        DataType::Text,
    ])
}

#[test]
fn one_row_of_ten_columns_takes_little() {
    let row = vec![
        Value::Int(1_234_567),
        Value::Int(42),
        Value::Text("JFK".to_owned()),
        Value::Text("N14228".to_owned()),
        Value::Float(2.5),
        Value::Timestamp(1_357_034_400_000_000),
        Value::Bool(true),
        Value::Date(15_706),
        Value::Int(517),
        Value::Null,
    ];
    let schema = ten_columns();
    let bytes = encoded(&batch_of(&schema, &[row]), &schema);
    assert!(bytes.len() <= 85, "{} bytes", bytes.len());
}

#[test]
fn views_come_back_over_one_buffer() {
    let schema = schema_of(&[DataType::Text, DataType::Bytea]);
    let long = "longer than the twelve bytes of a view";
    let texts = [long, "short", long, ""];
    let rows: Vec<_> = texts
        .iter()
        .map(|text| vec![Value::Text((*text).to_owned()), Value::Bytes(text.as_bytes().to_vec())])
        .collect();
    let found = decode_batch(&encoded(&batch_of(&schema, &rows), &schema), &schema).unwrap();
    assert_eq!(found.column(0).as_string_view().data_buffers().len(), 1);
    assert_eq!(found.column(1).as_binary_view().data_buffers().len(), 1);
    assert_same_rows("views", &rows, &rows_of(&found));
}

#[test]
fn columns_are_matched_by_id_and_older_rows_get_the_initial_default() {
    let mut schema = schema_of(&[DataType::Int8, DataType::Text, DataType::Numeric { precision: 9, scale: 2 }]);
    let rows = vec![vec![Value::Int(1), Value::Text("a".to_owned()), Value::Null]; 3];
    let bytes = encoded(&batch_of(&schema, &rows), &schema);
    schema.columns.remove(0);
    schema.columns.reverse();
    let mut added = schema.columns[0].clone();
    added.id = ColumnId::new(9);
    added.name = "added".to_owned();
    added.data_type = DataType::Array(Box::new(DataType::Text));
    added.nullable = false;
    let default = Value::Array(vec![Value::Text("x".repeat(20)), Value::Null]);
    added.initial_default = default.clone();
    schema.columns.push(added);
    let wanted = vec![vec![Value::Null, Value::Text("a".to_owned()), default]; 3];
    let found = BatchDecoder::new(&schema).decode(&bytes).unwrap();
    assert_same_rows("evolved", &wanted, &rows_of(&found));

    schema.columns[2].initial_default = Value::Null;
    let column = ColumnId::new(9);
    assert_eq!(decode_batch(&bytes, &schema).unwrap_err().what, DecodeProblem::InitialDefault { column });
}

#[test]
fn a_column_of_another_type_is_refused() {
    let stored = schema_of(&[DataType::Numeric { precision: 9, scale: 2 }, DataType::Array(Box::new(DataType::Int4))]);
    let rows = vec![vec![Value::Decimal(100, 2), Value::Array(vec![Value::Int(1)])]];
    let bytes = encoded(&batch_of(&stored, &rows), &stored);
    let with = |position: usize, data_type: DataType| {
        let mut schema = stored.clone();
        schema.columns[position].data_type = data_type;
        decode_batch(&bytes, &schema).unwrap_err().what
    };
    let first = DecodeProblem::ColumnType { column: ColumnId::new(1) };
    assert_eq!(with(0, DataType::Int8), first);
    assert_eq!(with(0, DataType::Numeric { precision: 9, scale: 3 }), first);
    let second = DecodeProblem::ColumnType { column: ColumnId::new(2) };
    assert_eq!(with(1, DataType::Array(Box::new(DataType::Int8))), second);
}

#[test]
fn a_column_that_was_widened_since_is_read_in_its_new_type() {
    let numeric = |precision, scale| DataType::Numeric { precision, scale };
    let cases = [
        (DataType::Int2, DataType::Int8, Value::Int(-7), Value::Int(-7)),
        (DataType::Int2, DataType::Int4, Value::Int(-7), Value::Int(-7)),
        (DataType::Int4, DataType::Int8, Value::Int(7), Value::Int(7)),
        (DataType::Int2, numeric(8, 2), Value::Int(7), Value::Decimal(700, 2)),
        (DataType::Int4, numeric(38, 10), Value::Int(7), Value::Decimal(70_000_000_000, 10)),
        (DataType::Int8, numeric(50, 0), Value::Int(7), Value::Decimal(7, 0)),
        (DataType::Float4, DataType::Float8, Value::Float(0.5), Value::Float(0.5)),
        (numeric(9, 2), numeric(12, 3), Value::Decimal(105, 2), Value::Decimal(1_050, 3)),
        (numeric(9, 2), numeric(60, 2), Value::Decimal(-105, 2), Value::Decimal(-105, 2)),
        (numeric(40, 2), numeric(60, 4), Value::Decimal(-105, 2), Value::Decimal(-10_500, 4)),
        (DataType::Varchar { length: 3 }, DataType::Text, Value::Text("a".into()), Value::Text("a".into())),
    ];
    for (stored, now, value, wanted) in cases {
        let old = schema_of(std::slice::from_ref(&stored));
        let bytes = encoded(&batch_of(&old, &[vec![value], vec![Value::Null]]), &old);
        let found = decode_batch(&bytes, &schema_of(std::slice::from_ref(&now))).unwrap();
        assert_same_rows(&format!("{stored} as {now}"), &[vec![wanted], vec![Value::Null]], &rows_of(&found));
        // Never the other way.
        let bytes = encoded(&found, &schema_of(std::slice::from_ref(&now)));
        assert!(stored == now || now.to_arrow() == stored.to_arrow() || decode_batch(&bytes, &old).is_err());
    }
}

#[test]
fn null_where_none_is_allowed_is_refused() {
    let mut schema = schema_of(&[DataType::Int8]);
    let bytes = encoded(&batch_of(&schema, &[vec![Value::Null]]), &schema);
    schema.columns[0].nullable = false;
    let column = ColumnId::new(1);
    assert_eq!(decode_batch(&bytes, &schema).unwrap_err().what, DecodeProblem::UnexpectedNull { column });
}

#[test]
fn a_row_count_that_the_bytes_cannot_hold_is_refused() {
    let schema = schema_of(&[DataType::Text]);
    let mut bytes = encoded(&batch_of(&schema, &vec![vec![Value::Null]; 8]), &schema);
    assert_eq!(bytes[1], 8);
    bytes.splice(1..2, [0xff, 0xff, 0xff, 0xff, 0x0f]);
    let what = decode_batch(&bytes, &schema).unwrap_err().what;
    assert!(matches!(what, DecodeProblem::Limit { what: "rows", .. }), "{what}");
}

#[test]
fn rows_without_columns_keep_their_number() {
    let schema = schema_of(&[]);
    let options = RecordBatchOptions::new().with_row_count(Some(1_000));
    let batch = RecordBatch::try_new_with_options(schema.to_arrow(), Vec::new(), &options).unwrap();
    let bytes = encoded(&batch, &schema);
    assert_eq!(decode_batch(&bytes, &schema).unwrap().num_rows(), 1_000);
    assert_eq!(batch_rows(&bytes), Ok(1_000));
}

#[test]
fn values_under_nulls_are_not_stored() {
    let encoded_alone = |data_type: DataType, array: ArrayRef| {
        let schema = schema_of(&[data_type]);
        encoded(&RecordBatch::try_new(schema.to_arrow(), vec![array]).unwrap(), &schema)
    };
    let nulls = || Some(vec![true, false, true].into());
    let with_garbage = Arc::new(Int64Array::new(vec![1, 999, 3].into(), nulls()));
    let clean = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    assert_eq!(encoded_alone(DataType::Int8, with_garbage), encoded_alone(DataType::Int8, clean));

    let with_garbage = Arc::new(BooleanArray::new(vec![true, true, false].into(), nulls()));
    let clean = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
    assert_eq!(encoded_alone(DataType::Bool, with_garbage), encoded_alone(DataType::Bool, clean));
}

#[test]
fn lists_with_items_under_nulls_come_back() {
    let schema = schema_of(&[DataType::Array(Box::new(DataType::Int4))]);
    let list = |items: &[i64]| Value::Array(items.iter().map(|item| Value::Int(*item)).collect());
    let rows = [list(&[1, 2]), list(&[3]), list(&[]), list(&[4, 5])].map(|value| vec![value]);
    let batch = batch_of(&schema, &rows);
    let lists = batch.column(0).as_list::<i32>().clone();
    let (field, offsets, items, _) = lists.into_parts();
    let nulls = Some(vec![true, false, true, true].into());
    let lists = arrow_array::ListArray::new(field, offsets, items, nulls);
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(lists)]).unwrap();
    let found = decode_batch(&encoded(&batch, &schema), &schema).unwrap();
    let wanted = [list(&[1, 2]), Value::Null, list(&[]), list(&[4, 5])].map(|value| vec![value]);
    assert_same_rows("lists", &wanted, &rows_of(&found));
    assert_eq!(found.column(0).as_list::<i32>().values().len(), 4);
}

#[test]
fn arrow_types_of_no_sql_type_are_refused_and_leave_nothing_behind() {
    let array: ArrayRef = Arc::new(UInt8Array::from(vec![1]));
    let field = arrow_schema::Field::new("c", ArrowType::UInt8, true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
    let mut bytes = vec![1, 2, 3];
    let outcome = encode_batch(&batch, &[ColumnId::new(1)], &mut bytes);
    assert_eq!((outcome, bytes.len()), (Err(EncodeError::ArrowType(ArrowType::UInt8)), 3));
    let outcome = encode_batch(&batch, &[], &mut bytes);
    assert_eq!(outcome, Err(EncodeError::ColumnCount { ids: 0, columns: 1 }));
}

proptest! {
    #[test]
    fn constants_are_what_rows_of_the_value_would_be(
        (data_type, value) in outcrop_testkit::generate::data_types().prop_flat_map(|data_type| {
            (Just(data_type.clone()), outcrop_testkit::generate::values_of(&data_type))
        }),
        rows in 0_usize..5,
    ) {
        for value in [&value, &Value::Null] {
            let found = constant_array(value, &data_type, rows).unwrap();
            let wanted = outcrop_testkit::array_of(&data_type, &vec![value; rows]);
            assert_eq!(found.data_type(), wanted.data_type());
            let at = |array: &ArrayRef| (0..rows).map(|row| vec![outcrop_testkit::value_at(array, row)]).collect::<Vec<_>>();
            assert_same_rows("constant", &at(&wanted), &at(&found));
        }
    }
}

#[test]
fn a_constant_of_another_type_is_refused() {
    let mismatch = |value, data_type: DataType| {
        assert_eq!(constant_array(&value, &data_type, 1).err(), Some(EncodeError::ValueType(data_type)));
    };
    mismatch(Value::Int(1 << 40), DataType::Int4);
    mismatch(Value::Text(String::new()), DataType::Int4);
    mismatch(Value::Decimal(1, 3), DataType::Numeric { precision: 9, scale: 2 });
    mismatch(Value::Timestamp(0), DataType::TimestampTz);
}

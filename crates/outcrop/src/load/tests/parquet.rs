//! Rows and types of Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow_array::builder::{Int32Builder, MapBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int8Array, Int64Array, ListArray,
    RecordBatch, StringArray, StructArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType as ArrowType, Field, TimeUnit};
use clap::Parser as _;
use outcrop_types::DataType;

use crate::cli::{Cli, Command};
use crate::load::input::InputFile;
use crate::load::parquet::{ParquetReader, columns, sql_type};
use crate::load::row::{Found, RowReader as _, TextRow};

fn write(directory: &Path, arrays: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let path = directory.join("data.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn input(path: &Path) -> InputFile {
    let Command::Load(arguments) = Cli::parse_from(["outcrop", "load", path.to_str().unwrap(), "--table", "t"]).command
    else {
        unreachable!("the command is load");
    };
    InputFile::look(&arguments).unwrap()
}

#[test]
fn each_type_of_a_file_becomes_the_sql_type_and_its_text() {
    let nested = StructArray::from(vec![(
        Arc::new(Field::new("a", ArrowType::Int64, true)),
        Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
    )]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k\"");
    map.values().append_value(7);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let arrays: Vec<(&str, ArrayRef)> = vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("small", Arc::new(Int8Array::from(vec![-5, 5]))),
        ("huge", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("real", Arc::new(Float32Array::from(vec![1.5, f32::NAN]))),
        ("money", Arc::new(Decimal128Array::from(vec![12_345, -1]).with_precision_and_scale(9, 2).unwrap())),
        ("name", Arc::new(StringArray::from(vec![Some("a\tb"), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![b"\x00\xff".as_slice(), b"".as_slice()]))),
        ("day", Arc::new(Date32Array::from(vec![0, 19_723]))),
        ("local", Arc::new(TimestampMillisecondArray::from(vec![1_500, -1]))),
        ("at", Arc::new(TimestampNanosecondArray::from(vec![1_234_567, 0]).with_timezone("Europe/Berlin"))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]))),
        ("group", Arc::new(nested)),
        ("map", Arc::new(map.finish())),
    ];
    let expected = [
        (DataType::Bool, Some("t"), None),
        (DataType::Int2, Some("-5"), Some("5")),
        (DataType::Numeric { precision: 20, scale: 0 }, Some("18446744073709551615"), Some("0")),
        (DataType::Float4, Some("1.5"), Some("NaN")),
        (DataType::Numeric { precision: 9, scale: 2 }, Some("123.45"), Some("-0.01")),
        (DataType::Text, Some("a\tb"), None),
        (DataType::Bytea, Some("\\x00ff"), Some("\\x")),
        (DataType::Date, Some("1970-01-01"), Some("2024-01-01")),
        (DataType::Timestamp, Some("1970-01-01 00:00:01.5"), Some("1969-12-31 23:59:59.999")),
        (DataType::TimestampTz, Some("1970-01-01 00:00:00.001234+00"), Some("1970-01-01 00:00:00+00")),
        (DataType::Array(Box::new(DataType::Int4)), Some("{1,NULL}"), None),
        (DataType::Jsonb, Some("{\"a\":1}"), Some("{\"a\":null}")),
        (DataType::Jsonb, Some("{\"k\\\"\":7}"), None),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), arrays);
    let input = input(&path);
    let types: Vec<_> = columns(&input).unwrap().into_iter().map(|column| column.data_type).collect();
    assert_eq!(types, expected.clone().map(|(data_type, ..)| data_type));

    let mut reader = ParquetReader::open(&input, Arc::default()).unwrap();
    let mut row = TextRow::default();
    assert_eq!(reader.read(&mut row).unwrap(), Found::Row);
    assert_eq!(row.cells().collect::<Vec<_>>(), expected.clone().map(|(_, first, _)| first));
    assert_eq!(reader.read(&mut row).unwrap(), Found::Row);
    assert_eq!(row.line, 2);
    assert_eq!(row.cells().collect::<Vec<_>>(), expected.map(|(.., second)| second));
    assert_eq!(reader.read(&mut row).unwrap(), Found::End);
}

#[test]
fn rows_beyond_one_batch_all_come() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), vec![("n", Arc::new(Int64Array::from_iter_values(0..5_000)))]);
    let mut reader = ParquetReader::open(&input(&path), Arc::default()).unwrap();
    let mut row = TextRow::default();
    let mut sum = 0;
    while reader.read(&mut row).unwrap() == Found::Row {
        sum += row.cells().next().unwrap().unwrap().parse::<i64>().unwrap();
    }
    assert_eq!((row.line, sum), (5_000, 4_999 * 2_500));
}

#[test]
fn scales_outside_the_precision_are_widened_and_foreign_types_are_refused() {
    let numeric = |precision, scale| sql_type(&ArrowType::Decimal128(precision, scale)).unwrap();
    assert_eq!(numeric(5, -2), DataType::Numeric { precision: 7, scale: 0 });
    assert_eq!(numeric(2, 4), DataType::Numeric { precision: 4, scale: 4 });
    let refused = sql_type(&ArrowType::Duration(TimeUnit::Second)).unwrap_err();
    assert!(refused.to_string().contains("Duration"), "{refused}");
}

#[test]
fn what_is_no_parquet_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.parquet");
    std::fs::write(&path, b"PAR1 but then nothing PAR1").unwrap();
    columns(&input(&path)).err().unwrap();
}

//! Tables of every type, filled from numbers: the extremes of each type, and ordinary values.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringViewArray, UInt64Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, i256};
use arrow_schema::DataType as ArrowType;
use outcrop_env::Env;
use outcrop_types::data_type::UTC;
use outcrop_types::{
    Column, ColumnId, Comments, DataType, LogId, SchemaVersion, TableId, TableName, TableOptions, TableSchema, UnitId,
    Value,
};

use crate::{ScanColumn, SegmentOptions, SegmentWriter};
use outcrop_format::SegmentMeta;

pub(super) const LOG: LogId = LogId::from_bytes([0xab; 16]);
pub(super) const UNIT: UnitId = UnitId::new(17);
pub(super) const DIR: &str = "segments";

pub(super) fn all_types() -> Vec<DataType> {
    let array = |item: DataType| DataType::Array(Box::new(item));
    vec![
        DataType::Bool,
        DataType::Int2,
        DataType::Int4,
        DataType::Int8,
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
        array(DataType::Uuid),
        array(DataType::Bool),
        array(DataType::TimestampTz),
        array(DataType::NUMERIC_DEFAULT),
    ]
}

pub(super) fn schema(types: &[(DataType, bool)]) -> Arc<TableSchema> {
    let columns = types.iter().zip(0_u32..).map(|((data_type, nullable), n)| Column {
        id: ColumnId::new(n + 1),
        name: format!("c{n}"),
        data_type: data_type.clone(),
        collation: 0,
        nullable: *nullable,
        initial_default: Value::Null,
        write_default: None,
    });
    Arc::new(TableSchema {
        id: TableId::new(3),
        version: SchemaVersion::new(1),
        name: TableName::new("commons", "t"),
        columns: columns.collect(),
        keys: Vec::new(),
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    })
}

pub(super) fn all_columns(schema: &TableSchema) -> Vec<ScanColumn> {
    schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect()
}

/// How the numbers of a column are spread.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spread {
    Constant,
    Few,
    Ascending,
    /// Values that come many times in a row.
    Runs,
    /// One value, and now and then any other.
    Outliers,
    Wild,
}

/// A number per row; `None` is NULL, in about `nulls` of 100 rows.
pub(super) fn cells(seed: u64, rows: usize, spread: Spread, nulls: u64) -> Vec<Option<u64>> {
    (0..rows as u64)
        .map(|row| {
            let random = mix(seed ^ row.wrapping_mul(0x9e37_79b9));
            let number = match spread {
                Spread::Constant => seed,
                Spread::Few => mix(seed ^ (random % 5)),
                Spread::Ascending => row + 1000,
                Spread::Runs => mix(seed ^ (row / 61)),
                Spread::Outliers if !random.is_multiple_of(40) => seed,
                Spread::Outliers => mix(random),
                Spread::Wild => random,
            };
            (mix(random) % 100 >= nulls).then_some(number)
        })
        .collect()
}

pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let value = (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

pub(super) fn array(data_type: &DataType, cells: &[Option<u64>]) -> ArrayRef {
    match data_type {
        DataType::Bool => Arc::new(cells.iter().map(|c| c.map(|n| n % 2 == 0)).collect::<BooleanArray>()),
        DataType::Int2 => primitive::<Int16Type>(cells, &[i16::MIN, i16::MAX, 0, -1], |n| n as i16),
        DataType::Int4 => primitive::<Int32Type>(cells, &[i32::MIN, i32::MAX, 0, -1], |n| n as i32),
        DataType::Int8 => primitive::<Int64Type>(cells, &[i64::MIN, i64::MAX, 0, -1], |n| n as i64),
        DataType::Float4 => {
            let extremes = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN, f32::MAX, 0.0, f32::MIN_POSITIVE];
            primitive::<Float32Type>(cells, &extremes, |n| (n % 100_000) as f32 / 8.0)
        }
        DataType::Float8 => {
            let extremes = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN, f64::MAX, 0.0, f64::MIN_POSITIVE];
            primitive::<Float64Type>(cells, &extremes, |n| (n % 1_000_000) as f64 / 100.0)
        }
        DataType::Numeric { precision, scale } if *precision <= 38 => {
            let most = 10_i128.pow(u32::from(*precision)) - 1;
            let array = primitive_array::<Decimal128Type>(cells, &[most, -most, 0], |n| i128::from(n % 10_000_000));
            Arc::new(array.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Numeric { precision, scale } => {
            let most = i256::from_i128(10).wrapping_pow(u32::from(*precision)).wrapping_sub(i256::ONE);
            let array = primitive_array::<Decimal256Type>(cells, &[most, most.wrapping_neg()], |n| {
                i256::from_i128(i128::from(n))
            });
            Arc::new(array.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Text | DataType::Varchar { .. } | DataType::Jsonb => {
            Arc::new(cells.iter().map(|c| c.map(text)).collect::<StringViewArray>())
        }
        DataType::Bytea => Arc::new(
            cells.iter().map(|c| c.map(|n| n.to_le_bytes().repeat((n % 7) as usize))).collect::<BinaryViewArray>(),
        ),
        DataType::Date => {
            primitive::<Date32Type>(cells, &[i32::MIN, i32::MAX, -719_162, 2_932_896], |n| (n % 30_000) as i32)
        }
        DataType::Time => {
            primitive::<Time64MicrosecondType>(cells, &[0, 86_400_000_000, 1], |n| (n % 86_400_000_000) as i64)
        }
        DataType::Timestamp => timestamps(cells, None),
        DataType::TimestampTz => timestamps(cells, Some(UTC)),
        DataType::Uuid => {
            let values = cells.iter().map(|c| c.map(|n| (u128::from(n) << 61 | u128::from(n)).to_be_bytes()));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16).unwrap())
        }
        DataType::Array(item) => {
            let lengths = cells.iter().map(|c| c.map_or(0, |n| n % 4) as usize);
            let items: Vec<Option<u64>> = cells
                .iter()
                .flatten()
                .flat_map(|n| (0..n % 4).map(move |i| (!mix(n + i).is_multiple_of(5)).then_some(mix(n ^ i))))
                .collect();
            let ArrowType::List(field) = data_type.to_arrow() else { panic!("a list") };
            let nulls: NullBuffer = cells.iter().map(Option::is_some).collect();
            let nulls = (nulls.null_count() > 0).then_some(nulls);
            Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), array(item, &items), nulls))
        }
    }
}

fn text(n: u64) -> String {
    match n % 9 {
        0 => String::new(),
        1 => "x".repeat((n % 3000) as usize),
        2 => format!("\u{10ffff}ünï{n}"),
        _ => format!("value {}", n % 10_000),
    }
}

fn timestamps(cells: &[Option<u64>], zone: Option<&str>) -> ArrayRef {
    let extremes = [i64::MIN, i64::MAX, -62_135_596_800_000_000, 253_402_300_799_999_999, -1];
    let array = primitive_array::<TimestampMicrosecondType>(cells, &extremes, |n| (n % 4_000_000_000_000_000) as i64);
    Arc::new(array.with_timezone_opt(zone))
}

fn primitive<T: ArrowPrimitiveType>(
    cells: &[Option<u64>],
    extremes: &[T::Native],
    usual: impl Fn(u64) -> T::Native,
) -> ArrayRef {
    Arc::new(primitive_array::<T>(cells, extremes, usual))
}

fn primitive_array<T: ArrowPrimitiveType>(
    cells: &[Option<u64>],
    extremes: &[T::Native],
    usual: impl Fn(u64) -> T::Native,
) -> PrimitiveArray<T> {
    let value = |n: u64| match extremes.get((n % 16) as usize) {
        Some(extreme) => *extreme,
        None => usual(n >> 4),
    };
    PrimitiveArray::from_iter(cells.iter().map(|cell| cell.map(value)))
}

/// A batch of `rows` rows; columns that are not nullable get no NULLs.
pub(super) fn batch(schema: &TableSchema, seed: u64, rows: usize, spread: Spread, nulls: u64) -> RecordBatch {
    let arrays = schema.columns.iter().map(|column| {
        let nulls = if column.nullable { nulls } else { 0 };
        array(&column.data_type, &cells(seed ^ u64::from(column.id.get()), rows, spread, nulls))
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.to_arrow(), arrays.collect(), &options).unwrap()
}

/// An environment with a directory for segments.
pub(super) fn environment(seed: u64) -> Env {
    let (env, _sim) = Env::simulated(seed);
    env.disk.create_dir(DIR).unwrap();
    env
}

/// Writes `batch` in pieces of `piece` rows, with the `CommitSeq` of row i being 100 + i / 7.
pub(super) fn write(
    env: &Env,
    schema: &Arc<TableSchema>,
    batch: &RecordBatch,
    piece: usize,
    options: &SegmentOptions,
) -> SegmentMeta {
    let mut writer = SegmentWriter::create(env, DIR, LOG, UNIT, Arc::clone(schema), options).unwrap();
    let mut start = 0;
    while start < batch.num_rows() {
        let count = piece.min(batch.num_rows() - start);
        let seqs = UInt64Array::from_iter_values((start..start + count).map(|row| 100 + row as u64 / 7));
        writer.write(&batch.slice(start, count), &seqs).unwrap();
        start += count;
    }
    assert_eq!(writer.rows() as usize, batch.num_rows());
    writer.finish().unwrap()
}

pub(super) fn options(block_rows: u32, chunk_bytes: u64) -> SegmentOptions {
    SegmentOptions { block_rows, chunk_bytes, ..SegmentOptions::default() }
}

/// Arrays are equal value by value; NaN equals itself.
pub(super) fn assert_same(found: &dyn Array, expected: &dyn Array, what: &str) {
    assert_eq!(found.data_type(), expected.data_type(), "{what}");
    assert_eq!(found.len(), expected.len(), "{what}");
    let bits = |array: &dyn Array| format!("{:?}", array.to_data());
    if found != expected {
        for row in 0..found.len() {
            let (a, b) = (found.slice(row, 1), expected.slice(row, 1));
            // NaN differs from itself by `==`; its print does not.
            assert!(
                *a == *b || format!("{a:?}") == format!("{b:?}"),
                "{what}, row {row}: {} / {}",
                bits(&*a),
                bits(&*b)
            );
        }
    }
}

/// The values of an array; arrays of arrays and wide decimals have none.
pub(super) fn values(array: &ArrayRef, data_type: &DataType) -> Vec<Value> {
    fn each<T: ArrowPrimitiveType>(array: &ArrayRef, value: impl Fn(T::Native) -> Value) -> Vec<Value> {
        array.as_primitive::<T>().iter().map(|v| v.map_or(Value::Null, &value)).collect()
    }
    match data_type {
        DataType::Bool => array.as_boolean().iter().map(|v| v.map_or(Value::Null, Value::Bool)).collect(),
        DataType::Int2 => each::<Int16Type>(array, |v| Value::Int(v.into())),
        DataType::Int4 => each::<Int32Type>(array, |v| Value::Int(v.into())),
        DataType::Int8 => each::<Int64Type>(array, Value::Int),
        DataType::Float4 => each::<Float32Type>(array, |v| Value::Float(v.into())),
        DataType::Float8 => each::<Float64Type>(array, Value::Float),
        DataType::Numeric { precision, scale } if *precision <= 38 => {
            each::<Decimal128Type>(array, |v| Value::Decimal(v, *scale))
        }
        DataType::Numeric { scale, .. } => {
            each::<Decimal256Type>(array, |v| v.to_i128().map_or(Value::Null, |v| Value::Decimal(v, *scale)))
        }
        DataType::Text | DataType::Varchar { .. } | DataType::Jsonb => {
            array.as_string_view().iter().map(|v| v.map_or(Value::Null, |v| Value::Text(v.to_owned()))).collect()
        }
        DataType::Bytea => {
            array.as_binary_view().iter().map(|v| v.map_or(Value::Null, |v| Value::Bytes(v.to_vec()))).collect()
        }
        DataType::Date => each::<Date32Type>(array, Value::Date),
        DataType::Time => each::<Time64MicrosecondType>(array, Value::Time),
        DataType::Timestamp => each::<TimestampMicrosecondType>(array, Value::Timestamp),
        DataType::TimestampTz => each::<TimestampMicrosecondType>(array, Value::TimestampTz),
        DataType::Uuid => {
            let array = array.as_fixed_size_binary();
            array.iter().map(|v| v.map_or(Value::Null, |v| Value::Uuid(v.try_into().unwrap()))).collect()
        }
        DataType::Array(_) => vec![Value::Null; array.len()],
    }
}

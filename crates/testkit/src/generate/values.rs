//! Values and rows.

use outcrop_types::{DataType, TableSchema, Value};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use crate::Row;

/// Share of NULLs among values that may be NULL.
const NULL_SHARE: f64 = 0.3;
/// Distinct values that a key column draws from.
const KEY_VALUES: i64 = 6;
/// Longest array.
const ARRAY_ITEMS_MAX: usize = 4;
/// Largest unscaled number of 38 digits.
const DIGITS_38: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// Values of a type, without NULL: ordinary ones, and the extremes of the type.
pub fn values_of(data_type: &DataType) -> BoxedStrategy<Value> {
    match data_type {
        DataType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        DataType::Int2 => integers(i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int4 => integers(i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Int8 => integers(i64::MIN, i64::MAX),
        DataType::Float4 => floats4().prop_map(|v| Value::Float(f64::from(v))).boxed(),
        DataType::Float8 => floats8().prop_map(Value::Float).boxed(),
        DataType::Numeric { precision, scale } => {
            let scale = *scale;
            let most = 10_i128.checked_pow(u32::from(*precision)).map_or(DIGITS_38, |power| power - 1);
            prop_oneof![Just(0), Just(most), Just(-most), -most..=most, -most.min(1_000)..=most.min(1_000)]
                .prop_map(move |digits| Value::Decimal(digits, scale))
                .boxed()
        }
        DataType::Text => texts(40).prop_map(Value::Text).boxed(),
        DataType::Varchar { length } => {
            let length = usize::try_from(*length).unwrap_or(usize::MAX).min(40);
            texts(length).prop_map(Value::Text).boxed()
        }
        DataType::Jsonb => prop_oneof![
            Just("null".to_owned()),
            Just("{}".to_owned()),
            any::<i32>().prop_map(|v| format!("{{\"a\": {v}}}")),
            vec(any::<bool>(), 0..20).prop_map(|v| format!("{v:?}")),
        ]
        .prop_map(Value::Text)
        .boxed(),
        DataType::Bytea => {
            prop_oneof![vec(any::<u8>(), 0..=12), vec(any::<u8>(), 13..40)].prop_map(Value::Bytes).boxed()
        }
        DataType::Date => prop_oneof![Just(i32::MIN), Just(i32::MAX), Just(-719_162), Just(0), any::<i32>()]
            .prop_map(Value::Date)
            .boxed(),
        DataType::Time => (0_i64..=86_400_000_000).prop_map(Value::Time).boxed(),
        DataType::Timestamp => timestamps().prop_map(Value::Timestamp).boxed(),
        DataType::TimestampTz => timestamps().prop_map(Value::TimestampTz).boxed(),
        DataType::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        DataType::Array(item) => {
            vec(nullable(values_of(item), true), 0..=ARRAY_ITEMS_MAX).prop_map(Value::Array).boxed()
        }
    }
}

/// Values of a type for keys: so few that sequences of operations meet the same key again and again.
pub fn key_of(data_type: &DataType) -> BoxedStrategy<Value> {
    let number = 0..KEY_VALUES;
    match data_type {
        DataType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        DataType::Int2 | DataType::Int4 | DataType::Int8 => number.prop_map(Value::Int).boxed(),
        DataType::Float4 | DataType::Float8 => {
            prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(0.0), Just(-0.0), Just(1.5)]
                .prop_map(Value::Float)
                .boxed()
        }
        DataType::Numeric { scale, .. } => {
            let scale = *scale;
            number.prop_map(move |v| Value::Decimal(i128::from(v), scale)).boxed()
        }
        DataType::Text | DataType::Jsonb => {
            prop_oneof![Just(String::new()), number.prop_map(|v| format!("a key longer than a view holds {v}"))]
                .prop_map(Value::Text)
                .boxed()
        }
        DataType::Varchar { length } => {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            number.prop_map(move |v| Value::Text(v.to_string().chars().take(length).collect())).boxed()
        }
        DataType::Bytea => number.prop_map(|v| Value::Bytes(v.to_be_bytes().to_vec())).boxed(),
        DataType::Date => (0..6_i32).prop_map(Value::Date).boxed(),
        DataType::Time => number.prop_map(Value::Time).boxed(),
        DataType::Timestamp => number.prop_map(Value::Timestamp).boxed(),
        DataType::TimestampTz => number.prop_map(Value::TimestampTz).boxed(),
        DataType::Uuid => (0..6_u8).prop_map(|v| Value::Uuid([v; 16])).boxed(),
        DataType::Array(_) => values_of(data_type),
    }
}

/// Keys of a table, in key order.
pub fn keys_for(schema: &TableSchema) -> BoxedStrategy<Row> {
    let columns = schema.primary_key().map(|key| key.columns.as_slice()).unwrap_or_default();
    columns
        .iter()
        .map(|id| key_of(&schema.column(*id).expect("a key names columns of its table").data_type))
        .collect::<Vec<_>>()
        .boxed()
}

/// Rows of a table: key columns from few values, others with many NULLs where the column allows them.
pub fn row_for(schema: &TableSchema) -> BoxedStrategy<Row> {
    let key = schema.primary_key().map(|key| key.columns.as_slice()).unwrap_or_default();
    schema
        .columns
        .iter()
        .map(|column| {
            if key.contains(&column.id) {
                key_of(&column.data_type)
            } else {
                nullable(values_of(&column.data_type), column.nullable)
            }
        })
        .collect::<Vec<_>>()
        .boxed()
}

/// Up to `most` rows of a table.
pub fn rows_for(schema: &TableSchema, most: usize) -> BoxedStrategy<Vec<Row>> {
    vec(row_for(schema), 0..=most).boxed()
}

fn nullable(values: BoxedStrategy<Value>, is_nullable: bool) -> BoxedStrategy<Value> {
    if is_nullable {
        weighted(1.0 - NULL_SHARE, values).prop_map(|value| value.unwrap_or(Value::Null)).boxed()
    } else {
        values
    }
}

fn integers(least: i64, most: i64) -> BoxedStrategy<Value> {
    prop_oneof![Just(least), Just(most), Just(0), -100_i64..100, least..=most].prop_map(Value::Int).boxed()
}

fn floats8() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(f64::MAX),
        Just(-0.0),
        -1000.0..1000.0,
        any::<f64>(),
    ]
}

fn floats4() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(f32::NEG_INFINITY),
        Just(f32::MIN_POSITIVE),
        Just(f32::MAX),
        Just(-0.0),
        -1000.0_f32..1000.0,
        any::<f32>(),
    ]
}

/// Empty, short and long texts, with characters of one to four bytes and never a NUL.
fn texts(length_max: usize) -> impl Strategy<Value = String> {
    let character = prop_oneof![Just('a'), Just('Z'), Just('\''), Just(' '), Just('é'), Just('€'), Just('𝄞')];
    prop_oneof![
        Just(String::new()),
        vec(character.clone(), 0..=length_max.min(6)).prop_map(String::from_iter),
        vec(character, 0..=length_max).prop_map(String::from_iter),
    ]
}

fn timestamps() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        Just(-62_135_596_800_000_000),
        Just(253_402_300_799_999_999),
        1_500_000_000_000_000..1_800_000_000_000_000_i64,
    ]
}

use outcrop_types::{DataType, Value};
use proptest::prelude::*;

use super::numeric::{write_decimal128, write_numeric};
use super::{decode, numeric_to_decimal128, numeric_to_text, oid};
use crate::text::number::parse_decimal128;
use crate::text::tests::any_cell;
use crate::{Cells, ColumnBuilder};

fn encoded(data_type: &DataType, value: &Value) -> Vec<u8> {
    let mut column = ColumnBuilder::new(data_type);
    column.append_value(value).unwrap();
    let array = column.finish().unwrap();
    let mut out = Vec::new();
    Cells::of_type(array.as_ref(), data_type).unwrap().write_binary(0, &mut out);
    out
}

#[test]
fn bytes_are_those_of_postgres() {
    let numeric = DataType::Numeric { precision: 20, scale: 4 };
    for (data_type, value, hex) in [
        (DataType::Int4, Value::Int(-2), "fffffffe"),
        // select numeric_send(12345.6789), (-0.0001), (10000), (0)
        (numeric.clone(), Value::Decimal(123_456_789, 4), "0003000100000004000109291a85"),
        (numeric.clone(), Value::Decimal(-1, 4), "0001ffff400000040001"),
        (numeric.clone(), Value::Decimal(100_000_000, 4), "00010001000000040001"),
        (numeric, Value::Decimal(0, 4), "0000000000000004"),
        (DataType::Date, Value::Date(10_957), "00000000"),
        (DataType::Date, Value::Date(i32::MAX), "7fffffff"),
        (DataType::Timestamp, Value::Timestamp(946_684_800_000_001), "0000000000000001"),
        (DataType::Timestamp, Value::Timestamp(i64::MIN), "8000000000000000"),
        (DataType::Jsonb, Value::Text("[]".into()), "015b5d"),
        (
            DataType::Array(Box::new(DataType::Int2)),
            Value::Array(vec![Value::Int(1), Value::Null]),
            "0000000100000001000000150000000200000001000000020001ffffffff",
        ),
        (DataType::Array(Box::new(DataType::Text)), Value::Array(vec![]), "000000000000000000000019"),
    ] {
        let bytes = encoded(&data_type, &value);
        let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, hex, "{data_type} {value}");
    }
}

#[test]
fn malformed_bytes_are_refused() {
    let refused = |data_type: &DataType, bytes: &[u8]| decode(data_type, bytes).unwrap_err().condition().sqlstate();
    assert_eq!(refused(&DataType::Int4, &[0; 3]), "22P03");
    assert_eq!(refused(&DataType::Int4, &[0; 5]), "22P03");
    assert_eq!(refused(&DataType::Text, &[0xff]), "22021");
    assert_eq!(refused(&DataType::Text, b"a\0"), "22021");
    assert_eq!(refused(&DataType::Time, &(-1_i64).to_be_bytes()), "22008");
    assert_eq!(refused(&DataType::Date, &(i32::MAX - 1).to_be_bytes()), "22008");
    // NaN, and a digit beyond 9999.
    assert_eq!(refused(&DataType::NUMERIC_DEFAULT, &[0, 0, 0, 0, 0xc0, 0, 0, 0]), "22003");
    assert_eq!(refused(&DataType::NUMERIC_DEFAULT, &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10]), "22P03");
    let ints = DataType::Array(Box::new(DataType::Int4));
    let header = |dimensions: u8, oid: u8, count: u8| {
        vec![0, 0, 0, dimensions, 0, 0, 0, 0, 0, 0, 0, oid, 0, 0x7f, 0xff, count, 0, 0, 0, 1]
    };
    assert_eq!(refused(&ints, &header(1, 23, 0xff)), "22P03");
    assert_eq!(refused(&ints, &header(1, 25, 0)), "42804");
    assert_eq!(refused(&ints, &header(2, 23, 0)), "0A000");
}

#[test]
fn huge_weights_overflow_instead_of_allocating() {
    let bytes = [0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 1];
    assert_eq!(numeric_to_text(&bytes).unwrap(), "0001e131068");
    assert_eq!(decode(&DataType::NUMERIC_DEFAULT, &bytes).unwrap_err().condition().sqlstate(), "22003");
}

#[test]
fn type_numbers_name_the_types_that_they_come_from() {
    for data_type in [DataType::Bool, DataType::Int8, DataType::Uuid, DataType::Jsonb, DataType::TimestampTz] {
        assert_eq!(oid::data_type(oid::oid(&data_type)), Some(data_type.clone()));
        let array = DataType::Array(Box::new(data_type));
        assert_eq!(oid::data_type(oid::oid(&array)), Some(array));
    }
    assert_eq!(oid::typmod(&DataType::Numeric { precision: 10, scale: 2 }), 655_366);
    assert_eq!(oid::typmod(&DataType::Varchar { length: 5 }), 9);
}

/// Numbers of all lengths, more often short ones.
fn any_digits() -> impl Strategy<Value = i128> {
    let limit = 10_i128.pow(38);
    prop_oneof![any::<i16>().prop_map(i128::from), any::<i64>().prop_map(i128::from), -limit + 1..limit]
}

proptest! {
    #[test]
    fn short_numerics_are_the_same_bytes(value in any_digits(), scale in 0_i8..=38) {
        let (mut short, mut general) = (Vec::new(), Vec::new());
        write_decimal128(&mut short, value, scale);
        write_numeric(&mut general, &value.to_string(), scale);
        prop_assert_eq!(short, general);
    }

    #[test]
    fn short_numerics_are_the_same_numbers(
        value in any_digits(),
        scale in 0_i8..=38,
        wanted in 0_i8..=38,
        precision in 1_u8..=38,
        damage in any::<Option<(usize, u8)>>(),
    ) {
        let mut bytes = Vec::new();
        write_decimal128(&mut bytes, value, scale);
        if let Some((at, byte)) = damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let wanted = wanted.min(i8::try_from(precision).unwrap());
        let short = numeric_to_decimal128(&bytes, precision, wanted);
        let general = numeric_to_text(&bytes).and_then(|text| parse_decimal128(&text, precision, wanted));
        prop_assert_eq!(short.map_err(|error| error.condition()), general.map_err(|error| error.condition()));
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same_cell((data_type, value) in any_cell()) {
        let mut column = ColumnBuilder::new(&data_type);
        column.append_value(&value).unwrap();
        let written = column.finish().unwrap();
        column.append_binary(&encoded(&data_type, &value)).unwrap();
        prop_assert_eq!(&written, &column.finish().unwrap());
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error((data_type, _) in any_cell(), bytes: Vec<u8>) {
        let mut column = ColumnBuilder::new(&data_type);
        drop(column.append_binary(&bytes));
        prop_assert_eq!(column.len(), 1);
    }
}

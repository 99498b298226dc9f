//! Kernels against plain arithmetic.

use datafusion::arrow::datatypes::i256;
use datafusion::common::ScalarValue;
use outcrop_types::{Condition, DataType};
use proptest::prelude::*;

use super::cast::{format_scalar, parse_constant};
use super::dates::{parse_date, parse_timestamp};
use super::zone::Zone;

fn round_trip(text: &str, data_type: &DataType) -> String {
    format_scalar(&parse_constant(text, data_type, "UTC").unwrap(), Some(data_type))
}

fn condition(text: &str, data_type: &DataType) -> Condition {
    parse_constant(text, data_type, "UTC").unwrap_err().condition()
}

#[test]
fn values_come_back_as_they_were_written() {
    for (text, data_type) in [
        ("t", DataType::Text),
        ("-32768", DataType::Int2),
        ("1.5", DataType::Float8),
        ("1e+20", DataType::Float8),
        ("1e-05", DataType::Float8),
        ("NaN", DataType::Float8),
        ("-Infinity", DataType::Float4),
        ("-0.05", DataType::Numeric { precision: 5, scale: 2 }),
        ("2013-02-28", DataType::Date),
        ("0044-03-15 BC", DataType::Date),
        ("infinity", DataType::Date),
        ("9999-12-31 23:59:59.999999", DataType::Timestamp),
        ("-infinity", DataType::Timestamp),
        ("24:00:00", DataType::Time),
        ("\\xdead", DataType::Bytea),
        ("f47ac10b-58cc-4372-a567-0e02b2c3d479", DataType::Uuid),
        ("{1,NULL,3}", DataType::Array(Box::new(DataType::Int4))),
        ("{\"a b\",\"\",\"null\",x}", DataType::Array(Box::new(DataType::Text))),
    ] {
        assert_eq!(round_trip(text, &data_type), text, "{data_type}");
    }
}

#[test]
fn malformed_and_out_of_range_text_are_told_apart() {
    assert_eq!(condition("abc", &DataType::Int4), Condition::InvalidTextRepresentation);
    assert_eq!(condition("99999999999", &DataType::Int4), Condition::NumericValueOutOfRange);
    assert_eq!(condition("1e400", &DataType::Float8), Condition::NumericValueOutOfRange);
    assert_eq!(condition("123.4", &DataType::Numeric { precision: 3, scale: 1 }), Condition::NumericValueOutOfRange);
    assert_eq!(condition("2013-02-30", &DataType::Date), Condition::DatetimeFieldOverflow);
    assert_eq!(condition("tomorrowish", &DataType::Date), Condition::InvalidDatetimeFormat);
    assert_eq!(condition("{1,2", &DataType::Array(Box::new(DataType::Int4))), Condition::InvalidTextRepresentation);
}

#[test]
fn a_local_time_in_a_gap_or_twice_is_still_one_moment() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let moment = |text: &str| parse_timestamp(text, Some("UTC")).unwrap();
    let local = |text: &str| parse_timestamp(text, None).unwrap();
    assert_eq!(berlin.to_utc(local("2013-07-01 12:00")), moment("2013-07-01 10:00Z"));
    assert_eq!(berlin.to_utc(local("2013-03-31 02:30")), moment("2013-03-31 01:30Z"));
    assert_eq!(berlin.to_utc(local("2013-10-27 02:30")), moment("2013-10-27 00:30Z"));
    assert_eq!(berlin.to_local(i64::MAX), i64::MAX);
    assert!(Zone::parse("Mars/Olympus").is_err());
}

proptest! {
    #[test]
    fn any_numeric_survives_its_text(digits in any::<i64>(), scale in 0_i8..15) {
        let data_type = DataType::Numeric { precision: 38, scale };
        let scalar = ScalarValue::Decimal128(Some(i128::from(digits)), 38, scale);
        let text = format_scalar(&scalar, Some(&data_type));
        prop_assert_eq!(parse_constant(&text, &data_type, "UTC").unwrap(), scalar);
    }

    #[test]
    fn any_double_survives_its_text(value in any::<f64>().prop_filter("a number", |value| value.is_finite() && *value != 0.0)) {
        let scalar = ScalarValue::Float64(Some(value));
        let text = format_scalar(&scalar, Some(&DataType::Float8));
        prop_assert_eq!(parse_constant(&text, &DataType::Float8, "UTC").unwrap(), scalar);
    }

    #[test]
    fn any_date_survives_its_text(days in -719_162_i32..2_932_897) {
        let text = format_scalar(&ScalarValue::Date32(Some(days)), Some(&DataType::Date));
        prop_assert_eq!(parse_date(&text).unwrap(), days);
    }

    #[test]
    fn rounding_keeps_within_half_a_unit(digits in any::<i64>(), from in 0_i32..12, to in 0_i32..12) {
        let value = i256::from_i128(i128::from(digits));
        let rounded = super::cast::rescale(value, from, to).unwrap();
        let common = from.max(to);
        let scaled = |value: i256, scale: i32| {
            value.wrapping_mul(i256::from_i128(10).wrapping_pow(u32::try_from(common - scale).unwrap()))
        };
        let error = scaled(value, from).wrapping_sub(scaled(rounded, to)).wrapping_abs();
        let unit = scaled(i256::ONE, to);
        prop_assert!(error.wrapping_add(error) <= unit);
    }
}

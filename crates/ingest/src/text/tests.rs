use outcrop_types::{DataType, Value};
use proptest::prelude::*;

use super::datetime::{any_date, any_timestamp, any_timestamptz, parse_date, parse_timestamp, parse_timestamptz};
use super::number::{any_decimal128, parse_decimal128};
use super::{DateOrder, TextSettings, TimeZone, parse};
use crate::{Cells, ColumnBuilder};

fn settings(zone: &str) -> TextSettings {
    TextSettings { time_zone: TimeZone::parse(zone).unwrap(), ..TextSettings::default() }
}

/// Reads `text` as a cell and writes it again.
fn through(data_type: &DataType, text: &str, settings: &TextSettings) -> String {
    let mut column = ColumnBuilder::new(data_type);
    column.append_text(text, settings).unwrap_or_else(|error| panic!("{data_type} {text:?}: {error}"));
    let array = column.finish().unwrap();
    let mut out = Vec::new();
    Cells::of_type(array.as_ref(), data_type).unwrap().write_text(0, settings, &mut out);
    String::from_utf8(out).unwrap()
}

fn refusal(data_type: &DataType, text: &str) -> (&'static str, String) {
    let error = parse(data_type, text, &TextSettings::default()).unwrap_err();
    (error.condition().sqlstate(), error.message().to_owned())
}

fn numeric(precision: u8, scale: i8) -> DataType {
    DataType::Numeric { precision, scale }
}

fn array(item: DataType) -> DataType {
    DataType::Array(Box::new(item))
}

#[test]
fn values_are_written_as_postgres_writes_them() {
    let utc = TextSettings::default();
    for (data_type, text, written) in [
        (DataType::Bool, " Yes ", "t"),
        (DataType::Bool, "off", "f"),
        (DataType::Int2, " -32768", "-32768"),
        (DataType::Int4, "+7", "7"),
        (DataType::Int8, "9223372036854775807", "9223372036854775807"),
        (DataType::Float8, "1e15", "1e+15"),
        (DataType::Float8, "123456789012345", "123456789012345"),
        (DataType::Float8, "0.0001", "0.0001"),
        (DataType::Float8, "0.00001", "1e-05"),
        (DataType::Float8, "1.5e-300", "1.5e-300"),
        (DataType::Float8, "-0", "-0"),
        (DataType::Float8, "inf", "Infinity"),
        (DataType::Float8, "-Infinity", "-Infinity"),
        (DataType::Float8, "nan", "NaN"),
        (DataType::Float4, "1234567", "1.234567e+06"),
        (DataType::Float4, "999999", "999999"),
        (DataType::Float4, "0.1", "0.1"),
        (numeric(10, 2), "1.005", "1.01"),
        (numeric(10, 2), "-1.005", "-1.01"),
        (numeric(10, 2), "-0.001", "0.00"),
        (numeric(10, 2), "1e3", "1000.00"),
        (numeric(10, 2), ".5", "0.50"),
        (numeric(10, 2), "99999.995", "100000.00"),
        (numeric(3, 0), "999.4", "999"),
        (
            numeric(60, 5),
            "123456789012345678901234567890123456789012345.678",
            "123456789012345678901234567890123456789012345.67800",
        ),
        (DataType::Varchar { length: 3 }, "äöü   ", "äöü"),
        (DataType::Bytea, "\\xDE adBEef", "\\xdeadbeef"),
        (DataType::Bytea, "a\\\\b\\001", "\\x615c6201"),
        (DataType::Date, "2024-02-29", "2024-02-29"),
        (DataType::Date, "0001-01-01", "0001-01-01"),
        (DataType::Date, "9999-12-31", "9999-12-31"),
        (DataType::Date, "0044-03-15 BC", "0044-03-15 BC"),
        (DataType::Date, "20240229", "2024-02-29"),
        (DataType::Date, "Feb 29, 2024", "2024-02-29"),
        (DataType::Date, "29 february 2024", "2024-02-29"),
        (DataType::Date, "12-Oct-2024", "2024-10-12"),
        (DataType::Date, "1/2/2024", "2024-01-02"),
        (DataType::Date, "1/2/99", "1999-01-02"),
        (DataType::Date, "12345-01-01", "12345-01-01"),
        (DataType::Date, "infinity", "infinity"),
        (DataType::Date, "-infinity", "-infinity"),
        (DataType::Time, "04:05", "04:05:00"),
        (DataType::Time, "04:05:06.789", "04:05:06.789"),
        (DataType::Time, "04:05:06.1234567", "04:05:06.123457"),
        (DataType::Time, "12:30 am", "00:30:00"),
        (DataType::Time, "4:05 PM", "16:05:00"),
        (DataType::Time, "24:00:00", "24:00:00"),
        (DataType::Timestamp, "2024-01-02T03:04:05.6", "2024-01-02 03:04:05.6"),
        (DataType::Timestamp, "2024-01-02 03:04:05+07", "2024-01-02 03:04:05"),
        (DataType::Timestamp, "2024-01-02", "2024-01-02 00:00:00"),
        (DataType::Timestamp, "0044-03-15 12:00:00 BC", "0044-03-15 12:00:00 BC"),
        (DataType::Timestamp, "epoch", "1970-01-01 00:00:00"),
        (DataType::Timestamp, "infinity", "infinity"),
        (DataType::Timestamp, "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
        (DataType::TimestampTz, "2024-01-02 03:04:05Z", "2024-01-02 03:04:05+00"),
        (DataType::TimestampTz, "2024-01-02 03:04:05-0330", "2024-01-02 06:34:05+00"),
        (DataType::TimestampTz, "2024-07-01 12:00 America/New_York", "2024-07-01 16:00:00+00"),
        (DataType::TimestampTz, "20240102T030405Z", "2024-01-02 03:04:05+00"),
        (DataType::Uuid, "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (DataType::Jsonb, "{\"b\":1, \"a\":[1,2]}", "{\"a\": [1, 2], \"b\": 1}"),
        (array(DataType::Int4), "{1, NULL,-3}", "{1,NULL,-3}"),
        (array(DataType::Int4), " { } ", "{}"),
        (
            array(DataType::Text),
            r#"{a b,"c,\"d\"","NULL",null,"",\ x}"#,
            r#"{"a b","c,\"d\"","NULL",NULL,"",""" x"}"#.replace("\"\"\" x\"", "\" x\"").leak(),
        ),
        (array(DataType::Timestamp), "{2024-01-02,NULL}", "{\"2024-01-02 00:00:00\",NULL}"),
    ] {
        assert_eq!(through(&data_type, text, &utc), written, "{data_type} {text:?}");
        assert_eq!(through(&data_type, written, &utc), written, "{data_type} {written:?} again");
    }
}

#[test]
fn zones_shift_timestamptz_on_both_ways() {
    let new_york = settings("america/new_york");
    assert_eq!(through(&DataType::TimestampTz, "2024-07-01 12:00", &new_york), "2024-07-01 12:00:00-04");
    assert_eq!(through(&DataType::TimestampTz, "2024-01-01 12:00", &new_york), "2024-01-01 12:00:00-05");
    assert_eq!(through(&DataType::TimestampTz, "1800-01-01 12:00", &new_york), "1800-01-01 12:00:00-04:56:02");
    // An hour that happens twice is standard time; one that does not happen at all counts with the offset before it.
    assert_eq!(through(&DataType::TimestampTz, "2024-11-03 01:30", &new_york), "2024-11-03 01:30:00-05");
    assert_eq!(through(&DataType::TimestampTz, "2024-03-10 02:30", &new_york), "2024-03-10 03:30:00-04");
    assert_eq!(through(&DataType::TimestampTz, "2024-01-01 00:00", &settings("+05:30")), "2024-01-01 00:00:00+05:30");
    assert_eq!(
        parse_timestamptz("2024-01-01 00:00 +16", &settings("UTC")).unwrap_err().condition().sqlstate(),
        "22023"
    );
}

#[test]
fn the_order_of_a_date_follows_the_setting() {
    let read =
        |order, text| through(&DataType::Date, text, &TextSettings { date_order: order, ..TextSettings::default() });
    assert_eq!(read(DateOrder::MonthDayYear, "02/03/2024"), "2024-02-03");
    assert_eq!(read(DateOrder::DayMonthYear, "02/03/2024"), "2024-03-02");
    assert_eq!(read(DateOrder::YearMonthDay, "24/03/02"), "2024-03-02");
}

#[test]
fn refusals_have_the_words_and_codes_of_postgres() {
    for (data_type, text, state, message) in [
        (DataType::Int4, "abc", "22P02", "invalid input syntax for type integer: \"abc\""),
        (DataType::Int4, "", "22P02", "invalid input syntax for type integer: \"\""),
        (DataType::Int4, "1.5", "22P02", "invalid input syntax for type integer: \"1.5\""),
        (DataType::Int2, "40000", "22003", "value \"40000\" is out of range for type smallint"),
        (
            DataType::Int8,
            "9223372036854775808",
            "22003",
            "value \"9223372036854775808\" is out of range for type bigint",
        ),
        (DataType::Float8, "1e400", "22003", "\"1e400\" is out of range for type double precision"),
        (DataType::Float8, "1e-400", "22003", "\"1e-400\" is out of range for type double precision"),
        (DataType::Float4, "x", "22P02", "invalid input syntax for type real: \"x\""),
        (numeric(5, 2), "1000", "22003", "numeric field overflow"),
        (numeric(5, 2), "999.995", "22003", "numeric field overflow"),
        (numeric(5, 2), "1e999999999999", "22003", "numeric field overflow"),
        (numeric(5, 2), "1,5", "22P02", "invalid input syntax for type numeric: \"1,5\""),
        (DataType::Bool, "maybe", "22P02", "invalid input syntax for type boolean: \"maybe\""),
        (DataType::Varchar { length: 2 }, "abc", "22001", "value too long for type character varying(2)"),
        (DataType::Text, "a\0b", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00"),
        (DataType::Date, "2024-02-30", "22008", "date/time field value out of range: \"2024-02-30\""),
        (DataType::Date, "yesterday?", "22007", "invalid input syntax for type date: \"yesterday?\""),
        (DataType::Date, "9999999-01-01", "22008", "date out of range: \"9999999-01-01\""),
        (DataType::Date, "5000-01-01 BC", "22008", "date out of range: \"5000-01-01 BC\""),
        (DataType::Time, "25:00", "22008", "date/time field value out of range: \"25:00\""),
        (DataType::Timestamp, "300000-01-01", "22008", "timestamp out of range: \"300000-01-01\""),
        (DataType::Timestamp, "12:00", "22007", "invalid input syntax for type timestamp: \"12:00\""),
        (DataType::TimestampTz, "2024-01-01 0:00 Mars/Olympus", "22023", "time zone \"mars/olympus\" not recognized"),
        (DataType::Uuid, "123", "22P02", "invalid input syntax for type uuid: \"123\""),
        (DataType::Bytea, "\\x1", "22023", "invalid hexadecimal data: odd number of digits"),
        (DataType::Bytea, "\\xzz", "22023", "invalid hexadecimal digit: \"z\""),
        (DataType::Bytea, "\\9", "22P02", "invalid input syntax for type bytea"),
        (array(DataType::Int4), "1,2", "22P02", "malformed array literal: \"1,2\""),
        (array(DataType::Int4), "{1,}", "22P02", "malformed array literal: \"{1,}\""),
        (array(DataType::Int4), "{1", "22P02", "malformed array literal: \"{1\""),
        (array(DataType::Int4), "{{1}}", "0A000", "arrays of more than one dimension are not supported"),
        (array(DataType::Int4), "{a}", "22P02", "invalid input syntax for type integer: \"a\""),
        (DataType::Jsonb, "{", "22P02", "invalid input syntax for type json"),
    ] {
        let (found_state, found_message) = refusal(&data_type, text);
        assert_eq!(found_message.to_lowercase(), message.to_lowercase(), "{data_type} {text:?}");
        assert_eq!(found_state, state, "{data_type} {text:?}");
    }
}

#[test]
fn a_refused_cell_leaves_a_null_and_the_column_goes_on() {
    let mut column = ColumnBuilder::new(&array(DataType::Int4));
    let utc = TextSettings::default();
    column.append_text("{1,2}", &utc).unwrap();
    column.append_text("{3,x}", &utc).unwrap_err();
    column.append_text("{4}", &utc).unwrap();
    let array = column.finish().unwrap();
    let cells = Cells::try_new(array.as_ref()).unwrap();
    assert_eq!(cells.value(0), Value::Array(vec![Value::Int(1), Value::Int(2)]));
    assert_eq!(cells.value(1), Value::Null);
    assert_eq!(cells.value(2), Value::Array(vec![Value::Int(4)]));
}

#[test]
fn intervals_are_written_as_postgres_writes_them() {
    for (months, days, us, written) in [
        (0, 0, 0, "00:00:00"),
        (14, 3, 14_706_789_000, "1 year 2 mons 3 days 04:05:06.789"),
        (-12, 1, 0, "-1 years +1 day"),
        (0, -1, 3_600_000_000, "-1 days +01:00:00"),
        (1, 0, -1, "1 mon -00:00:00.000001"),
        (0, 0, i64::MIN, "-2562047788:00:54.775808"),
    ] {
        let mut out = Vec::new();
        super::interval::write_interval(&mut out, months, days, us);
        assert_eq!(String::from_utf8(out).unwrap(), written);
    }
}

/// A value of each type, and the type.
pub(crate) fn any_cell() -> impl Strategy<Value = (DataType, Value)> {
    let scalar = || {
        prop_oneof![
            any::<bool>().prop_map(|v| (DataType::Bool, Value::Bool(v))),
            any::<i16>().prop_map(|v| (DataType::Int2, Value::Int(v.into()))),
            any::<i32>().prop_map(|v| (DataType::Int4, Value::Int(v.into()))),
            any::<i64>().prop_map(|v| (DataType::Int8, Value::Int(v))),
            any::<f32>().prop_map(|v| (DataType::Float4, Value::Float(if v.is_nan() { 0.0 } else { v.into() }))),
            any::<f64>().prop_map(|v| (DataType::Float8, Value::Float(if v.is_nan() { 0.0 } else { v }))),
            (0_i8..=38, -10_i128.pow(38) + 1..10_i128.pow(38))
                .prop_map(|(scale, v)| (numeric(38, scale), Value::Decimal(v, scale))),
            (0_i8..=70, any::<i128>()).prop_map(|(scale, v)| (numeric(76, scale), Value::Decimal(v, scale))),
            "[^\0]*".prop_map(|v| (DataType::Text, Value::Text(v))),
            "[^\0]{0,5}".prop_map(|v| (DataType::Varchar { length: 5 }, Value::Text(v))),
            any::<Vec<u8>>().prop_map(|v| (DataType::Bytea, Value::Bytes(v))),
            (-2_440_588..=2_145_042_905).prop_map(|v| (DataType::Date, Value::Date(v))),
            (0..=86_400_000_000_i64).prop_map(|v| (DataType::Time, Value::Time(v))),
            (-210_866_803_200_000_000..i64::MAX).prop_map(|v| (DataType::Timestamp, Value::Timestamp(v))),
            (-210_866_700_000_000_000..i64::MAX).prop_map(|v| (DataType::TimestampTz, Value::TimestampTz(v))),
            any::<[u8; 16]>().prop_map(|v| (DataType::Uuid, Value::Uuid(v))),
            "[^\0]*".prop_map(|v| {
                let mut text = String::new();
                outcrop_types::jsonb::write_string(&mut text, &v);
                (DataType::Jsonb, Value::Text(text))
            }),
        ]
    };
    prop_oneof![
        4 => scalar(),
        1 => (scalar(), 0_usize..4, any::<bool>()).prop_map(|((data_type, value), count, has_null)| {
            let mut items = vec![value; count];
            if has_null {
                items.push(Value::Null);
            }
            (array(data_type), Value::Array(items))
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_the_same_value(
        (data_type, value) in any_cell(),
        zone in prop_oneof![Just("UTC"), Just("-08"), Just("Asia/Kolkata")],
    ) {
        let settings = settings(zone);
        let mut column = ColumnBuilder::new(&data_type);
        column.append_value(&value).unwrap();
        let written = column.finish().unwrap();
        let mut text = Vec::new();
        Cells::of_type(written.as_ref(), &data_type).unwrap().write_text(0, &settings, &mut text);
        let text = String::from_utf8(text).unwrap();
        column.append_text(&text, &settings).unwrap();
        let read = column.finish().unwrap();
        prop_assert_eq!(&written, &read, "{}", text);
    }

    #[test]
    fn any_text_is_a_value_or_an_error((data_type, _) in any_cell(), text in "\\PC*") {
        let mut column = ColumnBuilder::new(&data_type);
        drop(column.append_text(&text, &TextSettings::default()));
        prop_assert_eq!(column.len(), 1);
        column.finish().unwrap();
    }

    #[test]
    fn any_date_like_text_is_a_value_or_an_error(text in "[0-9:./TtZz+ -]{0,24}( BC| am| PM)?") {
        for data_type in [DataType::Date, DataType::Time, DataType::Timestamp, DataType::TimestampTz] {
            drop(parse(&data_type, &text, &TextSettings::default()));
        }
    }
}

/// The short way and the general one agree: values, and which texts are refused.
fn same<T: PartialEq + std::fmt::Debug>(
    text: &str,
    short: outcrop_types::Result<T>,
    general: outcrop_types::Result<T>,
) -> Result<(), TestCaseError> {
    let said = |error: outcrop_types::Error| (error.condition(), error.message().to_owned());
    prop_assert_eq!(short.map_err(said), general.map_err(said), "{:?}", text);
    Ok(())
}

proptest! {
    #[test]
    fn short_numbers_mean_what_the_general_reader_says(
        text in "[-+]?[0-9]{0,22}(\\.[0-9]{0,20})?(e[0-9])?",
        precision in 1_u8..=38,
        scale in 0_i8..=38,
    ) {
        let scale = scale.min(i8::try_from(precision).unwrap());
        same(&text, parse_decimal128(&text, precision, scale), any_decimal128(&text, precision, scale))?;
    }

    #[test]
    fn short_moments_mean_what_the_general_reader_says(
        date in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]",
        rest in "([ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?([+-][01][0-9](:[0-6][0-9])?|Z)?)?",
        zone in prop::sample::select(vec!["UTC", "America/New_York", "+03:30"]),
    ) {
        let (text, settings) = (format!("{date}{rest}"), settings(zone));
        same(&date, parse_date(&date, &settings), any_date(&date, &settings))?;
        same(&text, parse_date(&text, &settings), any_date(&text, &settings))?;
        same(&text, parse_timestamp(&text, &settings), any_timestamp(&text, &settings))?;
        same(&text, parse_timestamptz(&text, &settings), any_timestamptz(&text, &settings))?;
    }
}

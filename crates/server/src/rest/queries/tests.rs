use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use outcrop_ingest::TextSettings;
use outcrop_query::ResultColumn;
use outcrop_types::{DataType, Value};

use super::cells::RowWriter;
use super::named::{Numbered, number_parameters, place_of};
use super::parameters::{assumed_type, declared_type, value};
use super::request::QueryParameter;

fn numbered(sql: &str, names: &[&str]) -> Numbered {
    let names: Vec<Option<&str>> = names.iter().map(|name| Some(*name)).collect();
    number_parameters(sql, &names).unwrap()
}

fn parameter(json: &str) -> QueryParameter {
    serde_json::from_str(json).unwrap()
}

#[test]
fn named_parameters_are_numbered_by_first_use() {
    let out = numbered("SELECT :b, :a + :b FROM t WHERE x = :a", &["a", "b"]);
    assert_eq!(out.text, "SELECT $1, $2 + $1 FROM t WHERE x = $2");
    assert_eq!(out.order, [1, 0]);
}

#[test]
fn what_looks_like_a_parameter_and_is_none_stays() {
    for sql in [
        "SELECT ':a', '''x :a', e'\\':a', \":a\" FROM t",
        "SELECT 1::text, x ::int -- :a\n, 2 /* :a /* :a */ :a */",
        "SELECT $$ :a $$, $t$ :a $$ :a $t$",
        "SELECT a[1:2], 'é:a'",
        "SELECT '{\"a\":1}'::jsonb ? 'a'",
    ] {
        let out = numbered(sql, &["a"]);
        assert_eq!(out.text, sql);
        assert!(out.order.is_empty(), "{sql}");
    }
}

#[test]
fn question_marks_take_parameters_without_a_name() {
    let out = number_parameters("SELECT ?, '?', ?", &[None, None]).unwrap();
    assert_eq!((out.text.as_str(), out.order.as_slice()), ("SELECT $1, '?', $2", [0, 1].as_slice()));
    let failure = number_parameters("SELECT ?, ?", &[None]).unwrap_err();
    assert!(failure.message().contains("2. ?"), "{}", failure.message());
    let out = number_parameters("SELECT $2, $1", &[None, None]).unwrap();
    assert_eq!(out.order, [0, 1]);
}

#[test]
fn a_parameter_that_is_not_given_is_an_error_with_its_place() {
    let failure = number_parameters("SELECT 1,\n  :who", &[Some("a")]).unwrap_err();
    let body = failure.to_json(None);
    assert_eq!((&body["line"], &body["column"]), (&2.into(), &3.into()));
    assert!(failure.message().contains(":who"));
}

#[test]
fn places_in_the_numbered_text_lead_back_to_the_original() {
    let sql = "SELECT :first_name, é, :b FROM nowhere";
    let out = numbered(sql, &["first_name", "b"]);
    for word in ["SELECT", "FROM", "nowhere", "é"] {
        let there = out.text[..out.text.find(word).unwrap()].chars().count();
        let here = sql[..sql.find(word).unwrap()].chars().count();
        assert_eq!(out.original(u32::try_from(there + 1).unwrap()), here, "{word}");
    }
    assert_eq!(place_of("ab\ncd", 4).line, 2);
    assert_eq!(place_of("ab\ncd", 4).column, 2);
}

#[test]
fn only_a_limit_outside_parentheses_counts() {
    assert!(numbered("SELECT 1 LIMIT 5", &[]).has_limit);
    assert!(numbered("SELECT 1 fetch first row only", &[]).has_limit);
    assert!(!numbered("SELECT * FROM (SELECT 1 LIMIT 5) x", &[]).has_limit);
    assert!(!numbered("SELECT \"limit\", 'limit' -- limit", &[]).has_limit);
}

#[test]
fn values_come_as_text_or_as_json() {
    for (json, data_type, expected) in [
        (r#"{"name":"a","type":"int","value":"20"}"#, DataType::Int8, Value::Int(20)),
        (r#"{"name":"a","type":"int","value":20}"#, DataType::Int4, Value::Int(20)),
        (r#"{"name":"a","value":2e3}"#, DataType::Int4, Value::Int(2000)),
        (r#"{"name":"a","type":"bool","value":true}"#, DataType::Bool, Value::Bool(true)),
        (r#"{"name":"a","value":null}"#, DataType::Int8, Value::Null),
        (r#"{"name":"a"}"#, DataType::Int8, Value::Null),
        (
            r#"{"name":"a","type":"array","value":"[1, 2]"}"#,
            DataType::Array(Box::new(DataType::Int8)),
            Value::Array(vec![Value::Int(1), Value::Int(2)]),
        ),
        (
            r#"{"name":"a","value":["x", null]}"#,
            DataType::Array(Box::new(DataType::Text)),
            Value::Array(vec![Value::Text("x".into()), Value::Null]),
        ),
        (r#"{"name":"a","value":{"__rockset_type":"date","value":"1970-01-02"}}"#, DataType::Date, Value::Date(1)),
        (r#"{"name":"a","value":{"b":1}}"#, DataType::Jsonb, Value::Text("{\"b\":1}".into())),
        (r#"{"name":"a","value":1.25}"#, DataType::Numeric { precision: 10, scale: 2 }, Value::Decimal(125, 2)),
    ] {
        let found = value(&parameter(json), &data_type).unwrap();
        // jsonb text is normalised by its own rules; only the members matter here.
        match (&found, &expected) {
            (Value::Text(found), Value::Text(expected)) => assert_eq!(found.replace(' ', ""), *expected, "{json}"),
            _ => assert_eq!(found, expected, "{json}"),
        }
    }
    let failure = value(&parameter(r#"{"name":"a","value":"abc"}"#), &DataType::Int4).unwrap_err();
    assert!(failure.message().contains("parameter \"a\""), "{}", failure.message());
}

#[test]
fn types_of_parameters_are_rocksets() {
    let declared = |name: &str| declared_type(&parameter(&format!(r#"{{"name":"a","type":"{name}","value":"1"}}"#)));
    assert_eq!(declared("INT").unwrap(), Some(DataType::Int8));
    assert_eq!(declared("string").unwrap(), None);
    assert!(declared("quaternion").is_err());
    assert_eq!(assumed_type(&parameter(r#"{"value":1}"#)), DataType::Int8);
    assert_eq!(assumed_type(&parameter(r#"{"value":1.5}"#)), DataType::Float8);
    assert_eq!(assumed_type(&parameter(r#"{"value":"1"}"#)), DataType::Text);
}

#[test]
fn rows_are_written_as_rockset_writes_them() {
    let columns = [("i", DataType::Int8), ("f", DataType::Float8), ("d", DataType::Date), ("t \"q\"", DataType::Text)]
        .map(|(name, data_type)| ResultColumn::new(name, data_type.into()));
    let arrays: [(&str, ArrayRef); 4] = [
        ("i", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("f", Arc::new(Float64Array::from(vec![2.0, f64::NAN]))),
        ("d", Arc::new(Date32Array::from(vec![Some(0), None]))),
        ("t", Arc::new(StringViewArray::from(vec!["a\n", "é"]))),
    ];
    let batch = RecordBatch::try_from_iter(arrays).unwrap();
    let writer = RowWriter::new(&columns, TextSettings::default());
    let cells = writer.cells(&batch).unwrap();
    let mut out = Vec::new();
    writer.write(&cells, 0, &mut out);
    out.push(b'\n');
    writer.write(&cells, 1, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "{\"i\":1,\"f\":2.0,\"d\":{\"__rockset_type\":\"DATE\",\"value\":\"1970-01-01\"},\"t \\\"q\\\"\":\"a\\n\"}\n\
         {\"i\":null,\"f\":\"NaN\",\"d\":null,\"t \\\"q\\\"\":\"é\"}"
    );
}

#[test]
fn times_always_have_six_digits_after_the_second() {
    let columns = [("z", DataType::TimestampTz), ("l", DataType::Timestamp)]
        .map(|(name, data_type)| ResultColumn::new(name, data_type.into()));
    let times = vec![Some(250_000), Some(0), Some(i64::MAX), None];
    let local = TimestampMicrosecondArray::from(times);
    let zoned = local.clone().with_timezone("+00:00");
    let arrays: [(&str, ArrayRef); 2] = [("z", Arc::new(zoned)), ("l", Arc::new(local))];
    let batch = RecordBatch::try_from_iter(arrays).unwrap();
    let writer = RowWriter::new(&columns, TextSettings::default());
    let cells = writer.cells(&batch).unwrap();
    let mut rows = Vec::new();
    for row in 0..4 {
        let mut out = Vec::new();
        writer.write(&cells, row, &mut out);
        rows.push(String::from_utf8(out).unwrap());
    }
    let datetime = |value: &str| format!("{{\"__rockset_type\":\"DATETIME\",\"value\":{value}}}");
    assert_eq!(
        rows,
        [
            format!("{{\"z\":\"1970-01-01T00:00:00.250000Z\",\"l\":{}}}", datetime("\"1970-01-01T00:00:00.250000\"")),
            format!("{{\"z\":\"1970-01-01T00:00:00.000000Z\",\"l\":{}}}", datetime("\"1970-01-01T00:00:00.000000\"")),
            format!("{{\"z\":\"infinity\",\"l\":{}}}", datetime("\"infinity\"")),
            "{\"z\":null,\"l\":null}".to_owned(),
        ]
    );
}

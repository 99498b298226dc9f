use std::sync::Arc;

use outcrop_types::{
    Column, ColumnId, Comments, DataType, SchemaVersion, TableId, TableName, TableOptions, TableSchema, Value,
};

use proptest::prelude::*;

use super::{DocumentDecoder, RowEncoder};
use crate::{Cells, TextSettings};

fn schema() -> Arc<TableSchema> {
    let column = |id: u32, name: &str, data_type: DataType, nullable: bool, default: Option<&str>| Column {
        id: ColumnId::new(id),
        name: name.into(),
        data_type,
        collation: 0,
        nullable,
        initial_default: Value::Null,
        write_default: default.map(str::to_owned),
    };
    Arc::new(TableSchema {
        id: TableId::new(1),
        version: SchemaVersion::new(1),
        name: TableName::new("commons", "t"),
        columns: vec![
            column(1, "id", DataType::Int4, false, None),
            column(2, "at", DataType::TimestampTz, false, Some("now()")),
            column(3, "amount", DataType::Numeric { precision: 30, scale: 20 }, true, None),
            column(4, "tags", DataType::Array(Box::new(DataType::Text)), true, None),
            column(5, "doc", DataType::Jsonb, true, None),
            column(6, "x", DataType::Float8, true, None),
        ],
        keys: Vec::new(),
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    })
}

fn encoded(columns: &[arrow_array::ArrayRef], row: usize) -> String {
    let schema = schema();
    let cells: Vec<_> = columns
        .iter()
        .zip(&schema.columns)
        .map(|(array, column)| Cells::of_type(array.as_ref(), &column.data_type).unwrap())
        .collect();
    let mut out = Vec::new();
    let names = schema.columns.iter().map(|column| column.name.as_str());
    RowEncoder::new(names, TextSettings::default()).write_row(&cells, row, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn documents_become_rows_and_rows_documents() {
    let mut decoder = DocumentDecoder::new(schema(), TextSettings::default());
    decoder
        .push(
            r#"{"id": 1.0, "at": "2024-01-02T03:04:05Z", "amount": 0.12345678901234567891, "tags": ["a b", null, "\"c\""],
                "doc": {"b": [1, 2.50], "a": null}, "x": 1e3}"#,
        )
        .unwrap();
    decoder.push(r#"{"id": 2, "x": "NaN"}"#).unwrap();
    let decoded = decoder.finish().unwrap();
    assert_eq!(decoded.rows, 2);
    assert_eq!(decoded.omitted[1], [1]);
    assert_eq!(
        encoded(&decoded.columns, 0),
        r#"{"id":1,"at":"2024-01-02T03:04:05Z","amount":0.12345678901234567891,"tags":["a b",null,"\"c\""],"doc":{"a": null, "b": [1, 2.50]},"x":1000}"#
    );
    assert_eq!(encoded(&decoded.columns, 1), r#"{"id":2,"at":null,"amount":null,"tags":null,"doc":null,"x":"NaN"}"#);
    let error = decoded.into_batch(&schema()).unwrap_err();
    assert_eq!(error.condition().sqlstate(), "23502");
}

#[test]
fn a_bad_document_is_refused_alone() {
    let mut decoder = DocumentDecoder::new(schema(), TextSettings::default());
    decoder.push(r#"{"id": 1}"#).unwrap();
    for (document, state) in [
        ("[1]", "22P02"),
        ("{\"id\": ", "22P02"),
        (r#"{"id": 1, "nope": 2}"#, "42703"),
        (r#"{"id": "x"}"#, "22P02"),
        (r#"{"id": 1.5}"#, "22P02"),
        (r#"{"id": 3000000000}"#, "22003"),
        (r#"{"id": true}"#, "42804"),
        (r#"{"id": 1, "at": 17}"#, "42804"),
        (r#"{"id": 1, "at": null}"#, "23502"),
        (r#"{"at": "2024-01-01"}"#, "23502"),
        (r#"{"id": 1, "tags": ["a", 1]}"#, "42804"),
        (r#"{"id": 1, "tags": {"a": 1}}"#, "42804"),
        (r#"{"id": 1, "doc": {"a": "\u0000"}}"#, "22021"),
    ] {
        let error = decoder.push(document).unwrap_err();
        assert_eq!(error.condition().sqlstate(), state, "{document}: {error}");
    }
    decoder.push(r#"{"id": 2}"#).unwrap();
    let decoded = decoder.finish().unwrap();
    assert_eq!(decoded.rows, 2);
    assert_eq!(Cells::try_new(decoded.columns[0].as_ref()).unwrap().value(1), Value::Int(2));
    assert_eq!(decoded.omitted[1], [0, 1]);
}

proptest! {
    /// Documents in the shape of the table and rubbish: one that is refused leaves nothing, and those around it are whole.
    #[test]
    fn any_text_is_a_row_or_an_error(documents in prop::collection::vec(any_document(), 1..10)) {
        let schema = schema();
        let mut decoder = DocumentDecoder::new(Arc::clone(&schema), TextSettings::default());
        let good = documents.iter().filter(|document| decoder.push(document).is_ok()).count();
        let decoded = decoder.finish().unwrap();
        prop_assert_eq!(decoded.rows, good);
        prop_assert!(decoded.columns.iter().all(|column| column.len() == good));
    }
}

fn any_document() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        "[0-9]{1,40}(\\.[0-9]{0,40})?(e-?[0-9]{1,3})?",
        prop::sample::select(vec![
            "null",
            "true",
            "[]",
            "[\"a\",null]",
            "{\"a\":[1]}",
            "\"2024-01-01T00:00:00Z\"",
            "\"\\u0000\"",
            "\"\\ud800\""
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let member = ("(id|at|amount|tags|doc|x|other)", value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let members = prop::collection::vec(member, 0..7).prop_map(|members| format!("{{{}}}", members.join(",")));
    prop_oneof![4 => members.prop_map(|members| members.replacen('{', "{\"id\":1,", 1)), 1 => any::<String>()]
}

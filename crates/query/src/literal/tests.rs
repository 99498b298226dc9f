use datafusion::common::ScalarValue;
use outcrop_types::{
    Column, ColumnId, Comments, DataType, SchemaVersion, TableId, TableName, TableOptions, TableSchema, Value,
};
use proptest::prelude::*;

use super::{LiteralColumns, scan};
use crate::dml::constant;
use crate::statement::parse_expression;

/// The table `t (c of_type)`.
fn table(data_type: &DataType) -> TableSchema {
    TableSchema {
        id: TableId::new(1),
        name: TableName::new("commons", "t"),
        version: SchemaVersion::new(1),
        columns: vec![Column {
            id: ColumnId::new(1),
            name: "c".to_owned(),
            data_type: data_type.clone(),
            nullable: true,
            collation: 0,
            write_default: None,
            initial_default: Value::Null,
        }],
        keys: Vec::new(),
        options: TableOptions::default(),
        next_column: ColumnId::new(2),
        comments: Comments::default(),
    }
}

/// The value of one cell; the outer `None` if the scanner does not take it, the inner one if its column does not.
fn literal(cell: &str, data_type: &DataType, zone: &str) -> Option<Option<ScalarValue>> {
    let sql = format!("INSERT INTO t VALUES ({cell})").into();
    let scanned = scan(&sql)?;
    let table = table(data_type);
    let columns = LiteralColumns::new(&scanned.rows, &table, &[0], zone, &[]).read(&(0..1), |_, _| None);
    Some(columns.map(|columns| ScalarValue::try_from_array(&columns[0], 0).unwrap()))
}

/// Both ways agree on a cell that they both take.
fn agree(cell: &str, data_type: &DataType, zone: &str) {
    let general = parse_expression(cell).and_then(|expr| constant(&expr, data_type, zone)).ok().flatten();
    let fast = literal(cell, data_type, zone);
    if let Some(fast) = fast {
        assert_eq!(fast, general, "{cell} as {data_type} in {zone}");
    }
}

fn types() -> Vec<DataType> {
    let mut types = vec![
        DataType::Bool,
        DataType::Int2,
        DataType::Int4,
        DataType::Int8,
        DataType::Float4,
        DataType::Float8,
        DataType::Numeric { precision: 6, scale: 2 },
        DataType::Numeric { precision: 38, scale: 0 },
        DataType::Numeric { precision: 3, scale: 3 },
        DataType::Numeric { precision: 50, scale: 10 },
        DataType::Text,
        DataType::Varchar { length: 4 },
        DataType::Bytea,
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::TimestampTz,
        DataType::Uuid,
        DataType::Jsonb,
    ];
    types.extend([DataType::Int4, DataType::Text].map(|item| DataType::Array(Box::new(item))));
    types
}

const CELLS: &[&str] = &[
    "null",
    "NULL",
    "true",
    "FALSE",
    "0",
    "-0",
    "7",
    "-7",
    "007",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999999999999999999999",
    "0.5",
    "-0.0",
    "1.005",
    "1.004",
    "9999.99",
    "9999.995",
    "0.999",
    "0.9995",
    "1.0",
    "12345678901234567890.5",
    "1e3",
    "1E-3",
    "1.5e+2",
    "1e400",
    "1e39",
    "1e-400",
    "''",
    "' '",
    "'abc'",
    "'abcd  '",
    "'abcde'",
    "'äöüß'",
    "'äöüßx'",
    "'it''s'",
    "''''",
    "'a\\b'",
    "' 12 '",
    "'12'",
    "'1.5'",
    "'nan'",
    "'-Infinity'",
    "'1e5'",
    "'t'",
    "'of'",
    "'yes'",
    "'2024-02-29'",
    "'2023-02-29'",
    "'0000-01-01'",
    "'0001-01-01'",
    "'9999-12-31'",
    "'10000-01-01'",
    "'2024-2-9'",
    "'20240229'",
    "'2024-02-29 12:34:56'",
    "'2024-02-29T12:34:56'",
    "'2024-02-29T12:34:56Z'",
    "'2024-02-29 12:34:56+00'",
    "'2024-02-29 12:34:56.5+05:30'",
    "'2024-02-29 12:34:56.123456-08'",
    "'2024-02-29 12:34:56.1234567'",
    "'2024-02-29 12:34:56 +02'",
    "'2024-02-29 12:34:56+02:'",
    "'2024-02-29 12:34:56+2'",
    "'2024-02-29 12:34:56+0200'",
    "'2024-02-29 12:34:56+15'",
    "'2024-02-29 12:34:56+02:60'",
    "'2024-02-29 12:34:56.'",
    "'2024-02-29 24:00:00'",
    "'2024-02-29 23:59:60'",
    "'2024-02-29 12:34'",
    "'2024-02-29 12:34:56 PM'",
    "'2024-02-29 12:34:56 Europe/Berlin'",
    "'0044-03-15 BC'",
    "'infinity'",
    "'epoch'",
    "'12:34:56'",
    "'12:34:56.789'",
    "'\\x00ff'",
    "'\\\\'",
    "'{}'",
    "'{1,NULL,3}'",
    "'{\"a b\",c}'",
    "'{1'",
    "'{\"b\": 1, \"a\": [1.50, null]}'",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "'A0EEBC999C0B4EF8BB6D6BB9BD380A11'",
    "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
    "E'a\\nb'",
    "E'C:\\\\x\\'y''z'",
];

#[test]
fn every_literal_means_the_same_in_every_column() {
    for data_type in types() {
        for cell in CELLS {
            for zone in ["UTC", "America/New_York", "+03:30"] {
                agree(cell, &data_type, zone);
            }
        }
    }
}

#[test]
fn what_programs_write_is_taken() {
    for cell in CELLS {
        assert!(literal(cell, &DataType::Text, "UTC").is_some(), "{cell} is not scanned");
    }
    let numeric = DataType::Numeric { precision: 6, scale: 2 };
    for (cell, data_type, expected) in [
        ("-12", DataType::Int8, ScalarValue::Int64(Some(-12))),
        ("12.5", numeric.clone(), ScalarValue::Decimal128(Some(1250), 6, 2)),
        ("-1.005", numeric, ScalarValue::Decimal128(Some(-101), 6, 2)),
        ("E'a\\'\\\\b'", DataType::Text, ScalarValue::Utf8View(Some("a'\\b".to_owned()))),
        ("DATE '2024-02-29'", DataType::Date, ScalarValue::Date32(Some(19_782))),
        ("'2024-02-29'::date", DataType::Date, ScalarValue::Date32(Some(19_782))),
        ("'5' :: int8", DataType::Int8, ScalarValue::Int64(Some(5))),
        ("'2.5'::double precision", DataType::Float8, ScalarValue::Float64(Some(2.5))),
        (
            "timestamp '1970-01-02 00:00:00'",
            DataType::Timestamp,
            ScalarValue::TimestampMicrosecond(Some(86_400_000_000), None),
        ),
        (
            "'1970-01-01 01:00:00+01'::timestamp with time zone",
            DataType::TimestampTz,
            ScalarValue::TimestampMicrosecond(Some(0), Some("+00:00".into())),
        ),
    ] {
        assert_eq!(literal(cell, &data_type, "UTC"), Some(Some(expected)), "{cell}");
    }
}

#[test]
fn a_type_that_is_named_is_the_one_that_the_parser_means() {
    use datafusion::sql::sqlparser::ast;
    for name in [
        "bool",
        "boolean",
        "int2",
        "smallint",
        "int",
        "int4",
        "integer",
        "int8",
        "bigint",
        "float4",
        "real",
        "float8",
        "double precision",
        "text",
        "bytea",
        "date",
        "time",
        "time without time zone",
        "timestamp",
        "timestamp without time zone",
        "timestamptz",
        "timestamp with time zone",
        "uuid",
        "jsonb",
        "int[]",
        "text[]",
    ] {
        let sql = format!("INSERT INTO t VALUES ('x'::{name})").into();
        let scanned = scan(&sql).unwrap_or_else(|| panic!("{name} is not scanned"));
        let ast::Expr::Cast { data_type, .. } = parse_expression(&format!("'x'::{name}")).unwrap() else {
            panic!("{name} is no cast");
        };
        assert_eq!(scanned.rows.data_type(0), Some(&crate::types::sql_data_type(&data_type).unwrap()), "{name}");
    }
}

#[test]
fn a_literal_insert_is_cut_in_head_rows_and_tail() {
    let sql =
        " insert into \"T\".x AS y (a, \"b,values (\") VALUES (1, 'x'), ($2,NULL) on conflict do nothing ;; ".into();
    let scanned = scan(&sql).unwrap();
    assert_eq!(scanned.head, "insert into \"T\".x AS y (a, \"b,values (\") VALUES");
    assert_eq!(scanned.tail, "on conflict do nothing");
    assert_eq!((scanned.rows.len(), scanned.rows.width(), scanned.rows.parameters()), (2, 2, 2));
    assert_eq!(scanned.rows.parameter_places().collect::<Vec<_>>(), [(1, 0)]);
}

#[test]
fn anything_else_is_left_alone() {
    for sql in [
        "",
        "select 1",
        "insert into t select 1",
        "insert into t default values",
        "insert into t values",
        "insert into t values ()",
        "insert into t values (1",
        "insert into t values (1) (2)",
        "insert into t values (1),",
        "insert into t values (1), (1, 2)",
        "insert into t values (1 + 1)",
        "insert into t values (+1)",
        "insert into t values (- 1)",
        "insert into t values (--1\n2)",
        "insert into t values (1.)",
        "insert into t values (.5)",
        "insert into t values (1e)",
        "insert into t values (1x)",
        "insert into t values (0x1f)",
        "insert into t values (1_000)",
        "insert into t values (1.2.3)",
        "insert into t values (1::int)",
        "insert into t values ((1))",
        "insert into t values (now())",
        "insert into t values (current_date)",
        "insert into t values (nullx)",
        "insert into t values (null::int)",
        "insert into t values ('a' 'b')",
        "insert into t values ('a'\n'b')",
        "insert into t values ('a)",
        "insert into t values ('a' || 'b')",
        "insert into t values ('a'::varchar(1))",
        "insert into t values ('a'::numeric)",
        "insert into t values ('a'::text::bytea)",
        "insert into t values ('a'::int[][])",
        "insert into t values (E'\\x41')",
        "insert into t values (E'\\101')",
        "insert into t values (E'\\u0041')",
        "insert into t values (N'a')",
        "insert into t values (X'1F')",
        "insert into t values (B'1')",
        "insert into t values (U&'a')",
        "insert into t values ($$a$$)",
        "insert into t values ($0)",
        "insert into t values ($70000)",
        "insert into t values ($1x)",
        "insert into t values (interval '1 day')",
        "insert into t values (array[1])",
        "insert into t values (/* 1 */ 1)",
        "/* */ insert into t values (1)",
        "insert into t values (1) -- done",
        "insert into t values (1); insert into t values (2)",
        "insert into t values (1) + 1",
        "explain insert into t values (1)",
    ] {
        let statement = crate::statement::parse_statements(sql).ok();
        let literal =
            statement.iter().flatten().any(|statement| matches!(statement.body(), crate::statement::Body::Literal(_)));
        assert!(!literal, "{sql}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn drawn_numbers_agree(cell in "-?[0-9]{1,25}(\\.[0-9]{1,12})?(e-?[0-9]{1,2})?", at in 0..21_usize) {
        agree(&cell, &types()[at], "UTC");
    }

    #[test]
    fn drawn_moments_agree(
        text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?([+-][01][0-9](:[0-6][0-9])?|Z)?)?",
        zone in prop::sample::select(vec!["UTC", "America/New_York"]),
    ) {
        for data_type in [DataType::Date, DataType::Timestamp, DataType::TimestampTz, DataType::Text] {
            agree(&format!("'{text}'"), &data_type, zone);
        }
    }

    #[test]
    fn drawn_strings_agree(text in "[a-c'\\\\ ä{}\",:n0-9]{0,12}", at in 0..21_usize) {
        let quoted = text.replace('\'', "''");
        agree(&format!("'{quoted}'"), &types()[at], "UTC");
        agree(&format!("E'{quoted}'"), &types()[at], "UTC");
    }
}

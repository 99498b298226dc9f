use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, DataType};

use super::syntax::{has_subquery, is_default, parameters_in, parse_query};
use super::values::{constant, constant_rows};
use crate::statement::parse_expression;

fn constant_of(sql: &str, data_type: &DataType) -> Result<Option<ScalarValue>, Condition> {
    constant(&parse_expression(sql).unwrap(), data_type, "UTC").map_err(|error| error.condition())
}

#[test]
fn literals_become_values_of_the_column_without_a_plan() {
    let numeric = DataType::Numeric { precision: 6, scale: 2 };
    for (sql, data_type, expected) in [
        ("7", DataType::Int2, Ok(Some(ScalarValue::Int16(Some(7))))),
        ("-32768", DataType::Int2, Ok(Some(ScalarValue::Int16(Some(i16::MIN))))),
        ("32768", DataType::Int2, Err(Condition::NumericValueOutOfRange)),
        ("99999999999999999999", DataType::Int8, Err(Condition::NumericValueOutOfRange)),
        ("1.5", DataType::Int4, Ok(None)),
        ("1.005", numeric.clone(), Ok(Some(ScalarValue::Decimal128(Some(101), 6, 2)))),
        ("-1.5", DataType::Float8, Ok(Some(ScalarValue::Float64(Some(-1.5))))),
        ("'12'", DataType::Int4, Ok(Some(ScalarValue::Int32(Some(12))))),
        ("'x'", DataType::Int4, Err(Condition::InvalidTextRepresentation)),
        ("true", DataType::Bool, Ok(Some(ScalarValue::Boolean(Some(true))))),
        ("true", DataType::Int4, Ok(None)),
        ("null", DataType::Text, Ok(Some(ScalarValue::Utf8View(None)))),
        ("'abc  '", DataType::Varchar { length: 3 }, Ok(Some(ScalarValue::Utf8View(Some("abc".to_owned()))))),
        ("'abcd'", DataType::Varchar { length: 3 }, Err(Condition::StringDataRightTruncation)),
        ("'äöü'", DataType::Varchar { length: 3 }, Ok(Some(ScalarValue::Utf8View(Some("äöü".to_owned()))))),
        ("now()", DataType::TimestampTz, Ok(None)),
        ("1", DataType::Text, Ok(None)),
    ] {
        assert_eq!(constant_of(sql, &data_type), expected, "{sql} as {data_type}");
    }
}

#[test]
fn only_plain_values_are_constant_rows() {
    for (sql, constant) in [
        ("values (1, 'a'), (default, now())", true),
        ("values (1), ((select 2))", true),
        ("values (1) order by 1", false),
        ("values (1) limit 1", false),
        ("select 1", false),
    ] {
        assert_eq!(constant_rows(&parse_query(sql).unwrap()).is_some(), constant, "{sql}");
    }
}

#[test]
fn pieces_of_expressions_are_found() {
    let expr = |sql| parse_expression(sql).unwrap();
    for (sql, subquery) in [
        ("a = 1", false),
        ("a in (1, 2)", false),
        ("a in (select 1)", true),
        ("exists (select 1)", true),
        ("1 + (select 2)", true),
        ("a = any (select 1)", true),
        ("a = any (array[1])", false),
    ] {
        assert_eq!(has_subquery(&expr(sql)), subquery, "{sql}");
    }
    assert_eq!(parameters_in(&expr("$2 + f($1) in ($3)")).iter().max(), Some(&2));
    assert!(is_default(&ast::Expr::Identifier(ast::Ident::new("DEFAULT"))));
    assert!(!is_default(&expr("\"default\"")));
}

//! Rewriting, from text to text.

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use outcrop_types::Condition;

use super::{character_position, parameter_count, rewrite_query, shown_name};

fn query(sql: &str) -> datafusion::sql::sqlparser::ast::Query {
    match Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop() {
        Some(Statement::Query(query)) => *query,
        other => panic!("not a query: {other:?}"),
    }
}

fn rewritten(sql: &str) -> String {
    rewrite_query(query(sql), &|name| name == "max" || name == "count").unwrap().to_string()
}

#[test]
fn output_columns_get_the_names_that_postgresql_gives() {
    assert_eq!(
        rewritten("SELECT upper(a), a + b, a::text, b::int FROM t"),
        "SELECT upper(a) AS \"upper\", a + b AS \"?column?\", a::TEXT AS \"a\", b::INT AS \"b\" FROM t"
    );
}

#[test]
fn equal_names_are_told_apart_and_shown_alike() {
    let text = rewritten("SELECT a, a, t.b, u.b FROM t, u");
    assert_eq!(text.replace('\u{1}', "#"), "SELECT a, a AS \"a#1\", t.b, u.b FROM t, u");
    assert_eq!(shown_name("a\u{1}1"), "a");
    assert_eq!(shown_name("plain"), "plain");
}

#[test]
fn integers_are_typed_and_positions_stay_bare() {
    assert_eq!(
        rewritten("SELECT a FROM t WHERE a = 5 OR a = -1 OR a = 3000000000 GROUP BY 1 ORDER BY 1 LIMIT 5"),
        "SELECT a FROM t WHERE a = CAST(5 AS INT4) OR a = CAST(-1 AS INT4) OR a = 3000000000 GROUP BY 1 ORDER BY 1 LIMIT 5"
    );
    assert_eq!(rewritten("SELECT a FROM t WHERE a = -1.99"), "SELECT a FROM t WHERE a = -1.99");
    assert_eq!(
        rewritten("SELECT a FROM t WHERE a = 99999999999999999999"),
        "SELECT a FROM t WHERE a = CAST(99999999999999999999 AS NUMERIC(20,0))"
    );
}

#[test]
fn exponents_are_written_out_or_doubles() {
    assert_eq!(rewritten("SELECT a FROM t WHERE a = 1e3"), "SELECT a FROM t WHERE a = 1000.");
    assert_eq!(rewritten("SELECT a FROM t WHERE a = 1.5e-3"), "SELECT a FROM t WHERE a = 0.0015");
    assert_eq!(
        rewritten("SELECT a FROM t WHERE a = 1e300"),
        "SELECT a FROM t WHERE a = CAST('1e300' AS DOUBLE PRECISION)"
    );
}

#[test]
fn operators_and_collations_of_psql_become_plain() {
    assert_eq!(
        rewritten("SELECT a FROM t WHERE a OPERATOR(pg_catalog.~) '^x$' COLLATE pg_catalog.default"),
        "SELECT a FROM t WHERE a ~ '^x$'"
    );
    let unknown = rewrite_query(query("SELECT a COLLATE \"de_DE\" FROM t"), &|_| false).unwrap_err();
    assert_eq!(unknown.condition(), Condition::UndefinedObject);
}

#[test]
fn scalar_subqueries_expect_one_row_and_let_outer_conditions_out() {
    assert_eq!(
        rewritten("SELECT (SELECT x.v FROM x WHERE x.id = t.id AND t.flag) AS v FROM t"),
        "SELECT CASE WHEN t.flag THEN (SELECT single_row_value(x.v) AS \"single_row_value\" FROM x WHERE x.id = t.id) END AS \"v\" FROM t"
    );
    assert_eq!(
        rewritten("SELECT (SELECT max(x.v) FROM x) AS v FROM t"),
        "SELECT (SELECT max(x.v) AS \"max\" FROM x) AS \"v\" FROM t"
    );
}

#[test]
fn rows_compare_column_by_column() {
    assert_eq!(
        rewritten("SELECT a FROM t WHERE (a, b) IN (('x', 'y'), ('z', 'w'))"),
        "SELECT a FROM t WHERE ((a = 'x' AND b = 'y') OR (a = 'z' AND b = 'w'))"
    );
}

#[test]
fn places_count_characters_over_lines() {
    assert_eq!(character_position("SELECT\n  ä, nope", 2, 6), Some(13));
    assert_eq!(character_position("SELECT 1", 1, 8), Some(8));
    assert_eq!(character_position("SELECT 1", 3, 1), None);
    assert_eq!(character_position("SELECT 1", 0, 0), None);
}

#[test]
fn the_highest_parameter_counts() {
    assert_eq!(parameter_count(&query("SELECT $2, (SELECT $7) FROM t WHERE a = $1 LIMIT $3")), 7);
    assert_eq!(parameter_count(&query("SELECT 1")), 0);
}

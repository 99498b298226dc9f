use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use outcrop_types::Condition;

use super::options::CopyDirection;
use super::statement::{CopyStatement, CopyTarget, parse_copy};
use super::{CopyFormat, CopyHeader, CopyOptions};

fn parse(rest: &str) -> CopyStatement {
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(rest).unwrap();
    parse_copy(&mut parser).unwrap()
}

fn options(rest: &str) -> Result<CopyOptions, Condition> {
    let copy = parse(rest);
    let direction = if copy.is_input() { CopyDirection::From } else { CopyDirection::To };
    CopyOptions::check(&copy.options, direction, &["a".to_owned(), "b".to_owned()]).map_err(|error| error.condition())
}

#[test]
fn both_syntaxes_mean_the_same() {
    for pair in [
        [
            "t from stdin with (format csv, header, delimiter ';', null 'NULL')",
            "t from stdin csv header delimiter as ';' null as 'NULL'",
        ],
        ["t to stdout (format csv, quote '''', force_quote *)", "t to stdout with csv quote '''' force quote *"],
        ["t from stdin (format binary, header false)", "binary t from stdin"],
        ["t from stdin (delimiter '|')", "t from stdin using delimiters '|'"],
        ["t from stdin (format csv, force_not_null (a, b))", "t from stdin csv force not null a, b"],
    ] {
        assert_eq!(options(pair[0]).unwrap(), options(pair[1]).unwrap(), "{}", pair[0]);
    }
}

#[test]
fn defaults_follow_the_format() {
    let text = options("t from stdin").unwrap();
    assert_eq!((text.format, text.delimiter, text.null.as_str()), (CopyFormat::Text, b'\t', "\\N"));
    let csv = options("t from stdin (format csv, header match)").unwrap();
    assert_eq!(
        (csv.format, csv.delimiter, csv.null.as_str(), csv.header),
        (CopyFormat::Csv, b',', "", CopyHeader::Match)
    );
    assert_eq!(options("t from stdin (format csv, quote '^')").unwrap().escape, b'^');
}

#[test]
fn impossible_options_are_refused() {
    for (rest, condition) in [
        ("t from stdin (format binary, delimiter ';')", Condition::SyntaxError),
        ("t from stdin (format binary, null '')", Condition::SyntaxError),
        ("t from stdin (format binary, quote '^')", Condition::SyntaxError),
        ("t from stdin (format binary, header)", Condition::FeatureNotSupported),
        ("binary t from stdin (format binary)", Condition::SyntaxError),
        ("t from stdin (format json)", Condition::InvalidParameterValue),
        ("t from stdin (quote '\"')", Condition::SyntaxError),
        ("t from stdin (format csv, force_quote *)", Condition::SyntaxError),
        ("t to stdout (format csv, header match)", Condition::FeatureNotSupported),
        ("t from stdin (delimiter 'ab')", Condition::FeatureNotSupported),
        ("t from stdin (delimiter 'a')", Condition::InvalidParameterValue),
        ("t from stdin (format csv, delimiter '\"')", Condition::InvalidParameterValue),
        ("t from stdin (null 'a\tb')", Condition::InvalidParameterValue),
        ("t from stdin (nothing 1)", Condition::SyntaxError),
        ("t from stdin (header, header)", Condition::SyntaxError),
        ("t from stdin (format csv, force_null (c))", Condition::InvalidColumnReference),
        ("t from stdin (encoding 'latin1')", Condition::FeatureNotSupported),
    ] {
        assert_eq!(options(rest).unwrap_err(), condition, "{rest}");
    }
}

#[test]
fn targets_are_told_apart() {
    assert_eq!(parse("t from stdin").target, CopyTarget::Stdin);
    assert_eq!(parse("(select 1) to stdout").target, CopyTarget::Stdout);
    assert_eq!(parse("t from '/etc/passwd'").target, CopyTarget::ServerInput);
    assert_eq!(parse("t to program 'rm'").target, CopyTarget::ServerOutput);
}

use outcrop_types::Condition;

use super::{StatementKind, parse_statements};

fn kinds(sql: &str) -> Vec<StatementKind> {
    parse_statements(sql).unwrap().iter().map(super::Statement::kind).collect()
}

#[test]
fn a_message_is_split_and_each_statement_keeps_its_text() {
    let statements =
        parse_statements(" ;; select 1 -- one; two\n; insert into t values ('a;b');\n/* end; */ ;").unwrap();
    let texts: Vec<_> = statements.iter().map(super::Statement::text).collect();
    assert_eq!(texts, ["select 1 -- one; two", "insert into t values ('a;b')"]);
    assert!(parse_statements(" \n -- nothing\n").unwrap().is_empty());
}

#[test]
fn kinds_and_writes() {
    use StatementKind as K;
    for (sql, kind, writes) in [
        ("select 1", K::Query, false),
        ("values (1)", K::Query, false),
        ("table t", K::Query, false),
        ("with a as (select 1) select * from a", K::Query, false),
        ("explain select 1", K::Query, false),
        ("show all", K::Query, false),
        ("insert into t values (1)", K::Change, true),
        ("update t set a = 1", K::Change, true),
        ("delete from t", K::Change, true),
        ("copy t from stdin", K::CopyIn, true),
        ("copy t to stdout", K::CopyOut, false),
        ("copy (select 1) to stdout with (format csv)", K::CopyOut, false),
        ("create table t (a int)", K::Definition, true),
        ("create schema s", K::Definition, true),
        ("drop table t", K::Definition, true),
        ("truncate t", K::Definition, true),
        ("begin", K::Transaction, false),
        ("start transaction read only", K::Transaction, false),
        ("commit", K::Transaction, false),
        ("end", K::Transaction, false),
        ("abort", K::Transaction, false),
        ("rollback", K::Transaction, false),
        ("savepoint a", K::Transaction, false),
        ("set timezone to 'UTC'", K::Session, false),
        ("set transaction isolation level serializable", K::Session, false),
        ("set session characteristics as transaction read only", K::Session, false),
        ("reset all", K::Session, false),
        ("discard all", K::Session, false),
        ("deallocate all", K::Session, false),
        ("prepare p as select 1", K::Session, false),
        ("execute p (1)", K::Execute, false),
    ] {
        let statements = parse_statements(sql).unwrap();
        assert_eq!(statements.len(), 1, "{sql}");
        assert_eq!((statements[0].kind(), statements[0].writes()), (kind, writes), "{sql}");
    }
    assert_eq!(kinds("set a.b = 1; select 1"), [StatementKind::Session, StatementKind::Query]);
}

#[test]
fn syntax_errors_name_the_place_in_characters() {
    for (sql, message, position) in [
        ("select 'ä', from t", "syntax error at or near \"from\"", 13),
        ("selec 1", "syntax error at or near \"selec\"", 1),
        ("select 'ä', from", "syntax error at or near \"from\"", 13),
        ("select 1;\nselect (1", "syntax error at end of input", 20),
        ("select 1 1", "syntax error at or near \"1\"", 10),
        ("set timezone", "syntax error at end of input", 13),
    ] {
        let error = parse_statements(sql).unwrap_err();
        assert_eq!(error.condition(), Condition::SyntaxError, "{sql}");
        assert_eq!((error.message(), error.position()), (message, Some(position)), "{sql}: {error:?}");
    }
    let error = parse_statements("select 'open").unwrap_err();
    assert_eq!((error.condition(), error.position()), (Condition::SyntaxError, Some(8)));
}

#[test]
fn deep_nesting_and_bad_parameters_are_refused() {
    let deep = format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(parse_statements(&deep).unwrap_err().condition(), Condition::StatementTooComplex);
    assert_eq!(parse_statements("select $0").unwrap_err().condition(), Condition::UndefinedParameter);
    assert_eq!(parse_statements("select $65536").unwrap_err().condition(), Condition::UndefinedParameter);
    assert_eq!(parse_statements("select $2 + $1").unwrap()[0].parameter_count(), 2);
    assert_eq!(parse_statements("select '\0'").unwrap_err().condition(), Condition::CharacterNotInRepertoire);
}

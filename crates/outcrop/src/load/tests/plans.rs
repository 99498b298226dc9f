//! Names, and which column goes where.

use std::time::Duration;

use outcrop_types::DataType;

use crate::cli::FileFormat;
use crate::load::copy::{column_of, row_of, skipped_rows};
use crate::load::plan::Plan;
use crate::load::progress::line;
use crate::load::sample::{FileColumn, Sample};
use crate::load::table::{Table, TableColumn, TableName};

fn sample(columns: &[(&str, DataType)]) -> Sample {
    let column = |(name, data_type): &(&str, DataType)| FileColumn {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        note: None,
    };
    Sample { columns: columns.iter().map(column).collect(), rows: Some(1), is_whole: true }
}

#[allow(clippy::fn_params_excessive_bools, reason = "a table of cases is read by column")]
fn column(name: &str, is_nullable: bool, has_default: bool) -> TableColumn {
    TableColumn { name: name.to_owned(), data_type: Some(DataType::Int8), is_nullable, has_default }
}

fn table() -> Table {
    let columns = vec![
        column("id", false, false),
        column("n", true, false),
        column("d", false, true),
        column("late", true, true),
    ];
    Table { columns, key: vec!["id".to_owned()] }
}

#[test]
fn table_names_are_read_as_sql_reads_them() {
    for (text, expected) in [
        ("flights", "flights"),
        ("Flights", "flights"),
        ("a.b", "a.b"),
        ("\"My table\"", "\"My table\""),
        ("s.\"a.b\"", "s.\"a.b\""),
        ("select", "\"select\""),
    ] {
        assert_eq!(TableName::parse(text).unwrap().sql(), expected);
    }
    for text in ["", "a.", ".b", "a.b.c", "\"a"] {
        TableName::parse(text).unwrap_err();
    }
}

#[test]
fn a_new_table_has_the_key_that_was_asked_for() {
    let sample = sample(&[("id", DataType::Int8), ("doc", DataType::Jsonb)]);
    let plan = Plan::create(&sample, FileFormat::Csv, &["id".to_owned()]).unwrap();
    let nullable: Vec<_> = plan.table.columns.iter().map(|column| column.is_nullable).collect();
    assert_eq!(nullable, [false, true]);
    let refused = |key: &str| Plan::create(&sample, FileFormat::Csv, &[key.to_owned()]).unwrap_err().to_string();
    assert!(refused("x").contains("\"x\", which the file does not have"));
    assert!(refused("doc").contains("cannot be part of the key"));
}

#[test]
fn columns_of_a_file_go_to_columns_of_a_table_by_name() {
    let plan = Plan::append(
        &sample(&[("N", DataType::Text), ("id", DataType::Text)]),
        FileFormat::Csv,
        table(),
        &["id".to_owned()],
    )
    .unwrap();
    let (name, sql) =
        (TableName::parse("t").unwrap(), "COPY t (n, id) FROM STDIN WITH (FORMAT text, ON_CONFLICT skip)");
    assert_eq!(plan.copy_sql(&name, false), sql);
    let missing = plan.check_upsert().unwrap_err().to_string();
    assert!(missing.contains("no column \"d\""), "{missing}");
    let refused = |names: &[&str], key: &[String]| {
        let columns: Vec<_> = names.iter().map(|name| (*name, DataType::Int8)).collect();
        Plan::append(&sample(&columns), FileFormat::Csv, table(), key).unwrap_err().to_string()
    };
    assert!(refused(&["id", "other"], &[]).contains("no column \"other\"; it has id, n, d, late"));
    assert!(refused(&["n"], &[]).contains("no column \"id\""));
    assert!(refused(&["id", "n", "N"], &[]).contains("two columns"));
    assert!(refused(&["id"], &["n".to_owned()]).contains("has id as its key, not n"));
}

#[test]
fn later_lines_may_have_members_that_the_sample_has_not() {
    let plan = Plan::append(&sample(&[("id", DataType::Int8)]), FileFormat::Ndjson, table(), &[]).unwrap();
    // Columns with a default are left to it.
    let sql = "COPY t (id, n) FROM STDIN WITH (FORMAT text, ON_CONFLICT replace)";
    assert_eq!(plan.copy_sql(&TableName::parse("t").unwrap(), true), sql);
}

#[test]
fn the_row_that_an_error_names_is_found() {
    let context = "COPY flights, line 3, column year: \"x, line 9, column y: z\"";
    assert_eq!((row_of(context), column_of(context)), (Some(2), Some("year")));
    let whole = "COPY stdin, line 12: \"a, column b: c\"";
    assert_eq!((row_of(whole), column_of(whole)), (Some(11), None));
    assert_eq!((row_of("COPY flights"), column_of("")), (None, None));
}

#[test]
fn the_rows_that_a_notice_names_are_found() {
    assert_eq!(skipped_rows("skipped rows 3, 7-9: their keys are there already"), [2..3, 6..9]);
    assert!(skipped_rows("something else, 1-2").is_empty());
}

#[test]
fn progress_tells_how_far_and_how_fast() {
    let text = line(1_500_000, 51_000_000, 100_000_000, Duration::from_secs(10));
    assert_eq!(text, "[############             ]  51 %  1,500,000 rows  150,000 rows/s  5.1 MB/s");
    assert_eq!(line(10, 2_000_000, 0, Duration::from_secs(1)), "10 rows  10 rows/s  2.0 MB/s", "of a pipe");
}

//! COPY in and out, as batches.

use futures::StreamExt;
use outcrop_query::{CopyFormat, CopyHeader, CopyIn, ExecuteOptions, Execution};
use outcrop_types::{Condition, Error};

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringViewArray};
use arrow_schema::Schema;
use std::sync::Arc;

use crate::support::{TestDatabase, TestSession, drain};

async fn execution(session: &mut TestSession, sql: &str) -> Result<Execution, Error> {
    let statement = session.session.parse(sql).await?.remove(0);
    let prepared = session.session.prepare(statement, &[]).await?;
    session.session.execute(&prepared, &[], ExecuteOptions::default()).await
}

async fn copy_in(session: &mut TestSession, sql: &str) -> CopyIn {
    match execution(session, sql).await.unwrap() {
        Execution::CopyIn(copy) => copy,
        other => panic!("not a COPY FROM: {other:?}"),
    }
}

fn batch(copy: &CopyIn, ids: impl IntoIterator<Item = i32>) -> RecordBatch {
    let ids: Vec<i32> = ids.into_iter().collect();
    let names: StringViewArray = ids.iter().map(|id| Some(format!("n{id}"))).collect();
    let fields: Vec<_> = copy.columns().iter().map(|(name, data_type)| data_type.to_field(name, true)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(ids)), Arc::new(names)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_visible_together_after_the_end() {
    let database = TestDatabase::new();
    let (mut session, mut reader) = (database.session(), database.session());
    session.tag("create table t (extra int default 7, id int primary key, name text)").await;
    let mut copy = copy_in(&mut session, "copy t (id, name) from stdin (format csv, header)").await;
    assert_eq!((copy.options().format, copy.options().header), (CopyFormat::Csv, CopyHeader::Present));
    copy.push(batch(&copy, 0..1000)).await.unwrap();
    copy.push(batch(&copy, 1000..2500)).await.unwrap();
    assert_eq!(reader.rows("select count(*) from t").await, ["0"]);
    assert_eq!(copy.finish().await.unwrap().0.to_string(), "COPY 2500");
    assert_eq!(reader.rows("select count(*), sum(id), min(extra), max(name) from t").await, ["2500|3123750|7|n999"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_or_a_drop_leaves_nothing() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, name text)").await;
    let mut copy = copy_in(&mut session, "copy t from stdin").await;
    copy.push(batch(&copy, 0..10)).await.unwrap();
    copy.push(batch(&copy, 9..12)).await.unwrap();
    let error = copy.finish().await.unwrap_err();
    assert_eq!(error.condition(), Condition::UniqueViolation);
    assert_eq!(error.detail(), Some("Key (id)=(9) already exists."));
    let mut copy = copy_in(&mut session, "copy t from stdin").await;
    copy.push(batch(&copy, 0..10)).await.unwrap();
    drop(copy);
    assert_eq!(session.rows("select count(*) from t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_out_with_their_options() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id int primary key, name text)").await;
    session.tag("insert into t values (2, 'b'), (1, null)").await;
    for (sql, columns) in [
        ("copy t to stdout with (format csv, header, force_quote (name))", vec!["id", "name"]),
        ("copy t (name) to stdout csv", vec!["name"]),
        ("copy (select id + 1 as next from t order by 1) to stdout csv", vec!["next"]),
    ] {
        let Execution::CopyOut(copy) = execution(&mut session, sql).await.unwrap() else { panic!("{sql}") };
        assert_eq!(copy.options.format, CopyFormat::Csv);
        let answer = drain(copy.rows, &outcrop_ingest::TextSettings::default()).await.unwrap();
        assert_eq!((answer.columns, answer.tag.as_str()), (columns.into_iter().map(str::to_owned).collect(), "COPY 2"));
    }
    for (sql, condition) in [
        ("copy t from '/etc/passwd'", Condition::FeatureNotSupported),
        ("copy t to program 'cat'", Condition::FeatureNotSupported),
        ("copy nothing from stdin", Condition::UndefinedTable),
        ("copy t (nothing) from stdin", Condition::UndefinedColumn),
        ("copy t (id, id) from stdin", Condition::DuplicateColumn),
        ("copy t from stdin (format binary, header)", Condition::FeatureNotSupported),
    ] {
        assert_eq!(execution(&mut session, sql).await.unwrap_err().condition(), condition, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_reader_stops_its_query() {
    let database = TestDatabase::new();
    let mut session = database.session();
    let execution = execution(&mut session, "copy (select * from generate_series(1, 1000000000)) to stdout").await;
    let Execution::CopyOut(mut copy) = execution.unwrap() else { panic!("not a COPY TO") };
    assert!(copy.rows.next().await.unwrap().unwrap().num_rows() > 0);
    drop(copy);
    assert_eq!(session.rows("select 1").await, ["1"]);
}

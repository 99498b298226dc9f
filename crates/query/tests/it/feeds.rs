//! Feed cursors through SQL.

use std::time::Duration;

use outcrop_engine::FeedEvent;
use outcrop_types::Condition;

use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_made_in_sql_shows_what_sql_writes() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (id bigint primary key, v text)").await;
    session.tag("create table other (id bigint primary key)").await;
    let created = session.rows("select outcrop.create_feed_cursor('f', 't')").await.remove(0);
    session.tag("insert into t values (1, 'a'), (2, 'b')").await;
    session.tag("insert into other values (1)").await;
    session.tag("update t set v = 'c' where id = 2").await;
    let engine = database.database.engine().clone();
    let mut feed = engine.feed("f", None).unwrap();
    let mut seen = Vec::new();
    while let Some(mut commit) = feed.next_commit(Duration::ZERO).unwrap() {
        while let Some(event) = commit.next_event().unwrap() {
            seen.push(match event {
                FeedEvent::Inserted { table, new } => format!("{} +{}", table.name.table, new.num_rows()),
                FeedEvent::Updated { table, new, .. } => format!("{} ~{}", table.name.table, new.num_rows()),
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(seen, ["t +2", "t ~1"]);
    // A position of the session passes what the session wrote.
    let position = session.session.commit_seq().to_string();
    assert_ne!(position, created);
    session.rows(&format!("select outcrop.advance_feed_cursor('f', '{position}')")).await;
    assert_eq!(engine.feed_cursors()[0].position, feed.position());
    let back = session.error(&format!("select outcrop.advance_feed_cursor('f', '{created}')")).await;
    assert_eq!(back.condition(), Condition::InvalidParameterValue);
    session.rows("select outcrop.drop_feed_cursor('f')").await;
    assert_eq!(engine.feed_cursors(), []);
}

/// `(table, op, old, new)` of the changes behind a cursor.
async fn changes(session: &mut crate::support::TestSession, call: &str) -> Vec<String> {
    session
        .rows(&format!(
            "select concat_ws(' ', table_name, op, old::text, '>', new::text) from outcrop.read_feed({call})"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_read_in_sql() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session
        .tag("create table t (id bigint primary key, v text, n numeric(5,2), f float8, at timestamptz, a int[])")
        .await;
    session.tag("create table other (id bigint primary key)").await;
    session.rows("select outcrop.create_feed_cursor('f', 't')").await;
    assert_eq!(changes(&mut session, "'f'").await, [""; 0]);
    session
        .tag("insert into t values (1, 'a \"q\"', 1.50, 'NaN', '2026-02-03 04:05:06.5+01', '{1,null}'), (2, null, null, 1e20, null, null)")
        .await;
    session.tag("insert into other values (1)").await;
    session.tag("update t set v = 'c' where id = 2").await;
    session.tag("delete from t where id = 1").await;
    session.tag("truncate t").await;
    session.tag("alter table t drop column a").await;
    let first =
        r#"{"a": [1, null], "f": "NaN", "n": 1.50, "v": "a \"q\"", "at": "2026-02-03T03:05:06.5+00:00", "id": 1}"#;
    let second = r#"{"a": null, "f": 100000000000000000000, "n": null, "v": null, "at": null, "id": 2}"#;
    let changed = second.replace(r#""v": null"#, r#""v": "c""#);
    let expected = [
        format!("t insert > {first}"),
        format!("t insert > {second}"),
        format!("t update {second} > {changed}"),
        format!("t delete {first} >"),
        "t truncate >".to_owned(),
        "t define table >".to_owned(),
    ];
    assert_eq!(changes(&mut session, "'f'").await, expected);
    // Whole commits, until there are as many rows as are wanted.
    assert_eq!(changes(&mut session, "'f', 1").await, expected[..2]);
    assert_eq!(changes(&mut session, "'f', 3").await, expected[..3]);
    assert_eq!(changes(&mut session, "'f', null").await, expected);
    assert_eq!(changes(&mut session, "'f', 0").await, [""; 0]);
    // Reading moves nothing; the position of the last row that is stored does.
    let position = session.rows("select position from outcrop.read_feed('f', 2)").await.pop().unwrap();
    session.rows(&format!("select outcrop.advance_feed_cursor('f', '{position}')")).await;
    assert_eq!(changes(&mut session, "'f'").await, expected[2..]);
    let counted =
        "select op, count(*) from outcrop.read_feed('f') as c where table_name = 't' group by op order by op limit 2";
    assert_eq!(session.rows(counted).await, ["define table|1", "delete|1"]);
    assert_eq!(session.error("select * from outcrop.read_feed('g')").await.condition(), Condition::UndefinedObject);
    assert_eq!(session.error("select * from outcrop.feed_changes").await.condition(), Condition::FeatureNotSupported);
    assert_eq!(session.error("select * from outcrop.read_feed()").await.condition(), Condition::UndefinedFunction);
}

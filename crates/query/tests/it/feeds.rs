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

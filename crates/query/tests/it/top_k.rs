//! The first rows of an order: read from where they most likely are, and the same as those of the whole order.

use outcrop_engine::EngineOptions;

use crate::support::{TestDatabase, TestSession};

const ROWS: usize = 60_000;

/// Segments of several blocks in which `at` ascends, some with NULLs, others with nothing else, and rows in memory.
async fn table() -> (TestDatabase, TestSession) {
    let mut options = EngineOptions::default();
    options.commit_inline_bytes_max = 1 << 10;
    let database = TestDatabase::with_options(options);
    let mut session = database.session();
    session.tag("create table t (id int primary key, at int, kind text, note text)").await;
    let last = ROWS - 10_000;
    session
        .tag(&format!(
            "insert into t select i, case when i % 50 > 0 or i < 20000 then i / 3 end, 'k' || i % 7, 'note ' || i
             from generate_series(1, {last}) g(i)"
        ))
        .await;
    session
        .tag(&format!(
            "insert into t select i, null, 'none', 'of the last' from generate_series({last} + 1, {ROWS} - 1) g(i)"
        ))
        .await;
    session.tag(&format!("insert into t values ({ROWS}, 7, 'memory', 'not in a segment')")).await;
    (database, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_are_those_of_the_whole_order() {
    let (_database, mut session) = table().await;
    session.tag("delete from t where id between 49900 and 49999 or id < 40").await;
    for order in ["at", "at desc", "at nulls first", "at desc nulls last", "kind desc, at", "kind, at desc nulls last"]
    {
        let all = session.rows(&format!("select id, at from (select * from t order by {order}, id offset 0) t")).await;
        for limit in [1, 30, 9_000] {
            let first = session.rows(&format!("select id, at from t order by {order}, id limit {limit}")).await;
            assert_eq!(first, all[..limit], "{order} limit {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_cannot_hold_the_first_rows_are_not_read() {
    let (_database, mut session) = table().await;
    for (order, shown) in [("at desc nulls last", "first=at DESC"), ("at, id", "first=at ASC")] {
        let query = format!("select id, at, note from t order by {order} limit 5");
        let plan = session.rows(&format!("explain {query}")).await.join("\n");
        assert!(plan.contains(shown), "{plan}");
        let analyzed = session.rows(&format!("explain analyze {query}")).await.join("\n");
        // The first block that each partition takes, the rows in memory, and what was under way before the filter was known.
        let (read, pruned) = (metric(&analyzed, "morsels_read="), metric(&analyzed, "morsels_pruned="));
        assert!(read + pruned >= ROWS / 8_192 && pruned >= 3, "{analyzed}");
    }
}

/// Without a limit nothing excludes rows, and morsels stay large.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_order_is_read_as_it_comes() {
    let (_database, mut session) = table().await;
    let plan = session.rows("explain select id from t order by at").await.join("\n");
    assert!(!plan.contains("first="), "{plan}");
}

fn metric(plan: &str, name: &str) -> usize {
    let found = plan.split(name).nth(1).unwrap_or_else(|| panic!("no {name} in {plan}"));
    found.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

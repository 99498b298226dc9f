//! Statements that nest or chain further than any stack would bear.

use outcrop_query::QUERY_STACK_BYTES;
use outcrop_types::Condition;
use tokio::runtime::Builder;

use crate::support::TestDatabase;

fn chain(first: &str, more: &str, times: usize) -> String {
    format!("{first}{}", more.repeat(times))
}

/// Chains by their number of terms, with what the last one answers.
fn kinds(terms: usize) -> Vec<(&'static str, String)> {
    let more = terms - 1;
    vec![
        ("plus", chain("select 1", " + 1", more)),
        ("concat", chain("select 'a'", " || 'a'", more)),
        ("cast", chain("select 1", "::int", more)),
        (
            "cross join",
            format!(
                "select count(*) from o o0{}",
                (0..more).map(|n| format!(" cross join o o{}", n + 1)).collect::<String>()
            ),
        ),
        (
            "comma join",
            format!("select count(*) from o o0{}", (0..more).map(|n| format!(", o o{}", n + 1)).collect::<String>()),
        ),
        ("except", chain("select 1", " except select 2", more)),
        ("is not null", chain("select 1", " is not null", more)),
        ("minus", chain("select 1", " - 1", more)),
        ("array type", chain("select null::int", "[]", more)),
        ("in copy", format!("copy ({}) to stdout", chain("select 1", " + 1", more))),
        ("in prepare", format!("prepare p as {}", chain("select 1", " + 1", more))),
        ("in insert", format!("insert into o values ({})", chain("1", " + 1", more))),
        ("in execute", format!("execute e({})", chain("1", " + 1", more))),
        ("in default", format!("create table d (a int default {})", chain("1", " + 1", more))),
        ("in where", chain("delete from o where 1 = 1", " + 1", more)),
    ]
}

#[test]
fn what_is_too_deep_is_refused_and_what_is_not_is_answered() {
    let queries = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(QUERY_STACK_BYTES)
        .enable_all()
        .build()
        .unwrap();
    let connections = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let database = connections.block_on(async { TestDatabase::on(queries.handle().clone()) });
    let work = connections.spawn(async move {
        let mut session = database.session();
        session.tag("create table o (a int)").await;
        session.tag("insert into o values (1)").await;
        session.tag("prepare e(int) as select $1").await;
        for terms in [250, 1_000, 10_000, 120_000] {
            for (kind, sql) in kinds(terms) {
                let error = session.error(&sql).await;
                assert_eq!(error.condition(), Condition::StatementTooComplex, "{terms} of {kind}: {error:?}");
            }
        }
        for (kind, sql) in kinds(20) {
            if !matches!(kind, "in copy" | "in prepare" | "array type") {
                session.run(&sql).await.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
            }
        }
        assert_eq!(session.rows(&chain("select 1", " + 1", 99)).await, ["100"]);
    });
    connections.block_on(work).unwrap();
    queries.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_chains_that_may_be_regrouped_are_answered() {
    let database = TestDatabase::new();
    let mut session = database.session();
    session.tag("create table t (a int, b text)").await;
    session.tag("insert into t select g, 'v' || g from generate_series(1, 20000) g(g)").await;
    let ors = |term: &dyn Fn(usize) -> String, terms: usize| (0..terms).map(term).collect::<Vec<_>>().join(" or ");
    let count = |condition: String| format!("select count(*) from t where {condition}");
    assert_eq!(session.rows(&count(ors(&|n| format!("a = {}", 2 * n), 10_000))).await, ["9999"]);
    assert_eq!(session.rows(&count(ors(&|n| format!("b = 'v{}' or a = {}", n, n + 1), 2_000))).await, ["2000"]);
    assert_eq!(session.rows(&count(ors(&|n| format!("(a = {n} and b = 'v{n}')"), 300))).await, ["299"]);
    assert_eq!(session.rows(&count(format!("a <> 0{}", " and a <> 0".repeat(300)))).await, ["20000"]);
    let list: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    assert_eq!(session.rows(&count(format!("a in ({})", list.join(", ")))).await, ["9999"]);
    let union: Vec<String> = (0..500).map(|n| format!("select {n}, {n}")).collect();
    let counted = session.rows(&format!("select count(*) from ({}) u(a, b)", union.join(" union all "))).await;
    assert_eq!(counted, ["500"]);
    let rows = session.rows(&format!("select 1 as a{} order by a", " union all select 2".repeat(20))).await;
    assert_eq!((rows.len(), rows[0].as_str(), rows[20].as_str()), (21, "1", "2"));
    // The order of the terms and mixed operators stay.
    let mixed = format!("select (a < 0{} or a = 1) and a > 0 from t where a = 1", " or a < 0".repeat(20));
    assert_eq!(session.rows(&mixed).await, ["t"]);
}

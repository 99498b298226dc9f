//! SQL text that was mutated: parsed, planned, and never a panic or an error that says that we are wrong. (Text cannot be a target of
//! `fuzz/`, because the parser comes with DataFusion.)

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outcrop_query::QUERY_STACK_BYTES;
use outcrop_testkit::mutation::Mutator;
use outcrop_types::{Condition, Error};
use tokio::runtime::Builder;

use crate::support::{TestDatabase, TestSession};

/// Statements that the fast lane makes.
const STATEMENTS: usize = 400;

/// The statements of the SQL files.
fn corpus() -> Vec<String> {
    let mut files = Vec::new();
    find(&outcrop_testkit::repository().join("tests/sql"), &mut files);
    files.sort();
    let mut statements = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for block in text.split("\n\n") {
            let mut lines = block.lines().skip_while(|line| line.starts_with('#'));
            if lines.next().is_some_and(|first| first.starts_with("statement") || first.starts_with("query")) {
                let sql: Vec<&str> = lines.take_while(|line| !line.starts_with("----")).collect();
                statements.push(sql.join("\n"));
            }
        }
    }
    statements
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}

/// A statement made of others: by bytes, or by words.
fn mutated(mutator: &mut Mutator, corpus: &[String]) -> String {
    let one = &corpus[mutator.below(corpus.len())];
    let other = &corpus[mutator.below(corpus.len())];
    if mutator.below(3) == 0 {
        let bytes = mutator.mutate(one.as_bytes(), other.as_bytes());
        return String::from_utf8_lossy(&bytes).replace('\0', " ");
    }
    let mut words = words(one);
    let lent = self::words(other);
    for _ in 0..=mutator.below(3) {
        let at = mutator.below(words.len() + 1);
        match mutator.below(4) {
            0 if at < words.len() => {
                words.remove(at);
            }
            1 if at < words.len() => words[at] = lent[mutator.below(lent.len())],
            2 => {
                let from = mutator.below(lent.len());
                let to = (from + 1 + mutator.below(6)).min(lent.len());
                words.splice(at..at, lent[from..to].iter().copied());
            }
            _ if at < words.len() => {
                let with = mutator.below(words.len());
                words.swap(at, with);
            }
            _ => {}
        }
    }
    words.concat()
}

/// Words, spaces and signs.
fn words(text: &str) -> Vec<&str> {
    let kind = |c: char| if c.is_alphanumeric() || c == '_' { 1 } else { u32::from(c) };
    let mut words = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in text.char_indices() {
        if last.is_some_and(|last| last != kind(c)) {
            words.push(&text[start..at]);
            start = at;
        }
        last = Some(kind(c));
    }
    words.push(&text[start..]);
    words
}

/// Makes statements until `until` says so; those that found a bug, with it.
fn run(seed: u64, until: impl Fn(usize) -> bool + Send + 'static) -> (usize, Vec<String>) {
    let queries = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(QUERY_STACK_BYTES)
        .enable_all()
        .build()
        .unwrap();
    let connections = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let database = connections.block_on(async { TestDatabase::on(queries.handle().clone()) });
    let work = connections.spawn(async move {
        let corpus = corpus();
        let mut session = database.session();
        tables(&mut session).await;
        let mut mutator = Mutator::new(seed);
        let (mut made, mut bugs) = (0, Vec::new());
        while !until(made) {
            let sql = mutated(&mut mutator, &corpus);
            made += 1;
            if let Err(error) = plan(&mut session, &sql).await
                && is_bug(&error)
            {
                bugs.push(format!("{error}\n{sql}"));
            }
        }
        (made, bugs)
    });
    connections.block_on(work).unwrap()
}

/// Tables with the names that the SQL files like best.
async fn tables(session: &mut TestSession) {
    for name in ["t", "orders", "people", "events", "a", "b"] {
        let columns =
            "id bigint primary key, name text, a int, b int, v int, n numeric(10,2), d date, ts timestamptz, f float8";
        session.run(&format!("create table {name} ({columns})")).await.unwrap();
    }
}

async fn plan(session: &mut TestSession, sql: &str) -> Result<(), Error> {
    let statements = session.session.parse(sql).await?;
    session.session.check_batch(&statements)?;
    for statement in statements {
        session.session.prepare(statement, &[]).await?;
    }
    Ok(())
}

fn is_bug(error: &Error) -> bool {
    error.condition() == Condition::InternalError
}

#[test]
fn mutated_statements_are_planned_or_refused() {
    let (made, bugs) = run(1, |made| made >= STATEMENTS);
    assert_eq!(made, STATEMENTS);
    assert!(bugs.is_empty(), "{} of {made}:\n{}", bugs.len(), bugs.join("\n\n"));
}

/// For as long as `FUZZ_SECONDS` says, from `FUZZ_SEED` on: a lane of `cargo xtask soak`.
#[test]
#[ignore = "takes as long as asked: a lane of `cargo xtask soak`"]
fn mutated_statements_for_a_long_time() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(60));
    let (made, bugs) = run(number("FUZZ_SEED").unwrap_or(1), move |_| Instant::now() > until);
    bugs.iter().for_each(|bug| println!("{bug}\n"));
    println!("soak sql_text: {made} statements explored, {} failed", bugs.len());
    assert!(bugs.is_empty());
}

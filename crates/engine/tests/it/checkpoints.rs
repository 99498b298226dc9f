//! What checkpoints write, and what a start makes of it.

use outcrop_engine::{Engine, EngineOptions, WriteMode};
use outcrop_env::{Env, FileName, Sim};
use outcrop_types::{Condition, RowAddress, TableId};

use crate::support::*;

fn options(inline: u64) -> EngineOptions {
    let mut options = roomy();
    options.compaction_in_background = false;
    options.checkpoint_inline_bytes_max = inline;
    options
}

fn delete(engine: &Engine, table: TableId, rows: &[RowAddress]) {
    let snapshot = engine.snapshot();
    let mut write = engine.write(&snapshot, table, WriteMode::Change(None)).unwrap();
    write.delete(rows).unwrap();
    assert_eq!(write.commit().wait().unwrap().deleted, rows.len() as u64);
}

/// Files of dead rows with their lengths, oldest first.
fn deletes_files(env: &Env) -> Vec<(FileName, u64)> {
    let mut files: Vec<(FileName, u64)> =
        env.disk.list("manifest").unwrap().into_iter().map(|entry| (entry.name, entry.len)).collect();
    files.retain(|(name, _)| name.base().ends_with(".deletes"));
    files.sort();
    files
}

fn newest_manifest(env: &Env) -> (FileName, u64) {
    let entries = env.disk.list("manifest").unwrap().into_iter().map(|entry| (entry.name, entry.len));
    entries.filter(|(name, _)| name.base().ends_with(".manifest")).max().unwrap()
}

/// One segment of 100,000 rows, of which every third is dead: two containers of a roaring bitmap, 16 KiB.
fn large(seed: u64, inline: u64) -> (Env, Sim, Engine, TableId, Vec<RowAddress>) {
    let (env, sim) = Env::simulated(seed);
    let engine = Engine::open(&env, options(inline)).unwrap();
    let table = create(&engine, keyed("t"));
    write_rows(&engine, table, &rows(0..100_000, ""), WriteMode::Upsert).unwrap();
    engine.flush(None).unwrap();
    let mut all: Vec<RowAddress> =
        scan_addresses(&engine.snapshot(), table).into_iter().map(|(address, _)| address).collect();
    all.sort_unstable();
    let dead: Vec<RowAddress> = all.iter().copied().step_by(3).collect();
    delete(&engine, table, &dead);
    engine.checkpoint().unwrap();
    let left = all.into_iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, address)| address).collect();
    (env, sim, engine, table, left)
}

#[test]
fn a_checkpoint_writes_what_died_since_and_not_every_delete_vector() {
    const ROUNDS: usize = 80;
    let (env, _sim, engine, table, left) = large(1, 0);
    let whole = deletes_files(&env)[0].1;
    assert!((10_000..20_000).contains(&whole), "{whole} bytes");
    let (mut files, mut written, mut most, mut at_once) = (deletes_files(&env), 0, 0, 0);
    for round in 0..ROUNDS {
        let dead: Vec<RowAddress> = left.iter().copied().skip(round).step_by(ROUNDS * 30).collect();
        delete(&engine, table, &dead);
        engine.checkpoint().unwrap();
        let now = deletes_files(&env);
        let new: Vec<u64> = now.iter().filter(|file| !files.contains(file)).map(|(_, bytes)| *bytes).collect();
        assert_eq!(new.len(), 1, "{now:?}");
        written += new[0];
        most = most.max(new[0]);
        at_once = at_once.max(now.len());
        files = now;
    }
    // 28 rows each time: not 80 times the whole, but about once more, and the rows themselves.
    assert!(written < 3 * whole, "{written} bytes in {ROUNDS} checkpoints, whole ones of {whole}");
    assert!(most >= whole, "after 64 files, or as many bytes, comes a whole one: {most}");
    assert!(at_once <= 66, "{at_once} files");
    let before = pairs(&engine.snapshot(), table);
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open(&env, options(0)).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), before);
    // What a start found is written as a whole, and what was before goes with the older manifest.
    for round in 0..3 {
        delete(&engine, table, &left[100 + round..101 + round]);
        engine.checkpoint().unwrap();
    }
    assert_eq!(deletes_files(&env).len(), 3);
    engine.close().unwrap();
    assert_eq!(outcrop_engine::check::check(&env).unwrap().problems, []);
}

#[test]
fn a_few_dead_rows_are_said_by_the_manifest_itself() {
    let (env, _sim, engine, table, left) = large(2, 1_000);
    let files = deletes_files(&env);
    assert_eq!(files.len(), 1);
    let (_, bytes) = newest_manifest(&env);
    delete(&engine, table, &left[..100]);
    engine.checkpoint().unwrap();
    assert_eq!(deletes_files(&env), files);
    let grown = newest_manifest(&env).1 - bytes;
    assert!((200..1_000).contains(&grown), "{grown} bytes more");
    // More than that is a file, and the manifest is small again.
    delete(&engine, table, &left[100..2_000]);
    engine.checkpoint().unwrap();
    assert_eq!(deletes_files(&env).len(), 2);
    assert!(newest_manifest(&env).1 < bytes + 200);
    let before = pairs(&engine.snapshot(), table);
    drop(engine);
    let engine = Engine::open(&env, options(1_000)).unwrap();
    assert_eq!(pairs(&engine.snapshot(), table), before);
    // Files that only speak of units which are gone go.
    engine.ddl(outcrop_engine::Ddl::Truncate(vec![outcrop_types::TableName::new("commons", "t")])).wait().unwrap();
    for id in 0..3 {
        insert(&engine, table, &[row(id, "x")]).unwrap();
        engine.checkpoint().unwrap();
    }
    assert_eq!(deletes_files(&env), []);
}

#[test]
fn p7_a_damaged_file_of_dead_rows_is_named_and_the_newest_one_is_not_needed() {
    let (env, sim, engine, table, left) = large(3, 0);
    for part in left.chunks(500).take(3) {
        delete(&engine, table, part);
        engine.checkpoint().unwrap();
    }
    let before = pairs(&engine.snapshot(), table);
    engine.close().unwrap();
    drop(engine);
    let files = deletes_files(&env);
    assert_eq!(files.len(), 4);
    let image = sim.image();
    type Damage = fn(&mut Vec<u8>);
    let damages: [Damage; 4] =
        [|bytes| bytes[3] ^= 1, |bytes| *bytes.last_mut().unwrap() ^= 1, Vec::clear, |bytes| bytes.truncate(100)];
    for (number, (name, _)) in files.iter().enumerate() {
        for damage in damages {
            let (env, sim) = Sim::from_image(&image, 1);
            sim.corrupt(name, damage).unwrap();
            let problems = outcrop_engine::check::check(&env).unwrap().problems;
            assert!(problems.iter().any(|problem| problem.what.contains(name.as_str())), "{problems:?}");
            match Engine::open(&env, options(0)) {
                // The manifest before it does not name it, and the log has what came since.
                Ok(engine) if number == 3 => assert_eq!(pairs(&engine.snapshot(), table), before),
                Err(error) if number < 3 => {
                    assert_eq!(error.condition(), Condition::DataCorrupted, "{error}");
                    assert!(error.message().contains(name.as_str()), "{error}");
                }
                other => panic!("file {number}: {:?}", other.map(|_| ())),
            }
        }
        let (env, _sim) = Sim::from_image(&image, 1);
        env.disk.remove(name).unwrap();
        assert_eq!(Engine::open(&env, options(0)).is_ok(), number == 3, "file {number} is missing");
    }
    // One that is sound, and not the one that was written.
    let (env, sim) = Sim::from_image(&image, 1);
    let other = image.files[&files[1].0].to_vec();
    sim.corrupt(&files[2].0, |bytes| *bytes = other.clone()).unwrap();
    let error = Engine::open(&env, options(0)).unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted, "{error}");
    assert!(error.message().contains(files[2].0.as_str()), "{error}");
}

#[test]
fn a_file_of_dead_rows_that_no_manifest_names_goes_at_the_next_start() {
    let (env, sim, engine, table, left) = large(4, 0);
    let files = deletes_files(&env);
    delete(&engine, table, &left[..5]);
    engine.checkpoint().unwrap();
    let second = deletes_files(&env)[1].0.clone();
    let before = pairs(&engine.snapshot(), table);
    drop(engine);
    // As if the process had died between the file and its manifest.
    let env2 = sim.kill();
    env2.disk.remove(&newest_manifest(&env2).0).unwrap();
    let report = outcrop_engine::check::check(&env2).unwrap();
    assert_eq!((report.problems, report.leftovers), (vec![], vec![second.as_str().to_owned()]));
    let engine = Engine::open(&env2, options(0)).unwrap();
    assert_eq!(deletes_files(&env2), files);
    assert_eq!(pairs(&engine.snapshot(), table), before);
}

//! Backups: taken while everything goes on, on machines that fail, and made into databases again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outcrop_engine::backup::{range_of, restore};
use outcrop_engine::check::check;
use outcrop_engine::{BackupReport, Ddl, Engine, EngineOptions, FeedTables, Restored, Until, WriteMode};
use outcrop_env::{Env, FileName, Sim};
use outcrop_testkit::Row;
use outcrop_testkit::seed::for_each_seed;
use outcrop_types::{ColumnId, CommitSeq, Condition, DataType, Error, Result, Retention, TableId, TableName, Value};
use parking_lot::Mutex;

use crate::support::nested::{hooked, nested};
use crate::support::*;

/// All tables at one commit, by name.
type State = BTreeMap<String, Vec<String>>;

/// A database that is written to, and what it showed at each commit that somebody looked at.
struct Busy {
    sim: Arc<Sim>,
    env: Env,
    engine: Engine,
    options: EngineOptions,
    table: TableId,
    model: BTreeMap<i64, String>,
    seen: BTreeMap<CommitSeq, State>,
    random: u64,
    steps: u64,
}

impl Busy {
    fn new(seed: u64) -> Self {
        let (machine, sim) = Env::simulated(seed);
        let env = nested(&machine, "data");
        let mut options = tiny();
        if seed % 2 == 1 {
            options.commit_inline_bytes_max = 100;
        }
        let engine = Engine::open(&env, options.clone()).unwrap();
        let table = create(&engine, keyed("t"));
        let mut kept = keyed("kept");
        kept.columns.push(column("at", DataType::TimestampTz, true));
        kept.options.retention = Some(Retention { column: ColumnId::new(3), period_us: 3_600_000_000 });
        create(&engine, kept);
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (model, seen) = (BTreeMap::new(), BTreeMap::new());
        let mut busy = Self { sim: Arc::new(sim), env, engine, options, table, model, seen, random, steps: 0 };
        busy.look();
        busy
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn look(&mut self) {
        let snapshot = self.engine.snapshot();
        let model: Vec<(i64, String)> = self.model.iter().map(|(id, value)| (*id, value.clone())).collect();
        assert_eq!(pairs(&snapshot, self.table), model);
        self.seen.insert(snapshot.commit_seq(), state_of(&self.engine));
    }

    /// One statement, or one piece of maintenance.
    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        let (value, first) = (format!("v{}", self.steps), i64::try_from(self.below(60)).unwrap());
        let engine = self.engine.clone();
        match self.below(14) {
            0..=4 => {
                let rows = rows(first..first + 1 + i64::try_from(self.below(12)).unwrap(), &value);
                upsert(&engine, self.table, &rows)?;
                self.model.extend(rows.iter().map(|row| (number(&row[0]), value.clone())));
            }
            5 | 6 => {
                let ids: Vec<i64> = self.model.keys().copied().filter(|id| *id >= first).take(7).collect();
                let keys: Vec<Row> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
                delete_keys(&engine, self.table, &keys)?;
                ids.iter().for_each(|id| {
                    self.model.remove(id);
                });
            }
            7 => engine.flush(None)?,
            8 => engine.compact()?,
            9 => engine.checkpoint()?,
            10 => {
                let name = TableName::new("commons", "comes_and_goes");
                let there = engine.snapshot().catalog().table(&name).map(|schema| schema.id);
                match there {
                    None => {
                        engine.ddl(Ddl::CreateTable(keyed("comes_and_goes"))).wait()?;
                    }
                    Some(table) if self.below(2) == 0 => {
                        upsert(&engine, table, &rows(0..first, &value))?;
                    }
                    Some(_) => {
                        engine.ddl(Ddl::DropTable(name)).wait()?;
                    }
                }
            }
            11 if self.below(3) == 0 => {
                engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait()?;
                self.model.clear();
            }
            11 | 12 => {
                let name = TableName::new("commons", "kept");
                let table = engine.snapshot().catalog().table(&name).unwrap().id;
                let old = self.env.clock.wall_us() - i64::try_from(self.below(7_200_000_000)).unwrap();
                let row = vec![Value::Int(first), Value::Text(value), Value::TimestampTz(old)];
                write_rows(&engine, table, &[row], WriteMode::Upsert)?;
                let seconds = self.below(70);
                self.sim.advance(std::time::Duration::from_secs(seconds));
            }
            _ => {
                let steps = self.below(20);
                (0..steps).for_each(|_| {
                    self.sim.step();
                });
            }
        }
        Ok(())
    }

    fn steps(&mut self, count: u64) {
        for _ in 0..count {
            self.step().unwrap();
            self.look();
        }
    }
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        other => panic!("{other:?}"),
    }
}

fn state_of(engine: &Engine) -> State {
    let snapshot = engine.snapshot();
    let catalog = snapshot.catalog();
    let tables = catalog.tables().map(|schema| (schema.name.to_string(), schema.id));
    tables
        .map(|(name, id)| {
            let mut rows: Vec<String> = scan(&snapshot, id).iter().map(|row| format!("{row:?}")).collect();
            rows.sort();
            check_keys(&snapshot, id);
            (name, rows)
        })
        .collect()
}

/// Takes a backup into `dir` of the machine, while the database is written to at every change of that directory.
fn backup_under_load(busy: Busy, dir: &str, since: Option<&str>) -> (Busy, BackupReport) {
    let machine = busy.sim.env();
    let engine = busy.engine.clone();
    let busy = Arc::new(Mutex::new(busy));
    let writer = Arc::clone(&busy);
    let target = hooked(
        &machine,
        dir,
        Arc::new(move |number| {
            let mut busy = writer.lock();
            if number % 3 == 0 {
                busy.steps(1);
            }
            Ok(())
        }),
    );
    let since = since.map(|dir| nested(&machine, dir));
    let report = engine.backup(&target, since.as_ref(), &|| false).unwrap();
    drop(target);
    let busy = Arc::try_unwrap(busy).map_err(|_shared| "shared").unwrap().into_inner();
    (busy, report)
}

fn assert_clean(env: &Env) {
    let report = check(env).unwrap();
    assert_eq!((report.problems, report.leftovers), (Vec::new(), Vec::new()));
}

/// Restores into `dir`, and looks whether it is what the original was at that commit.
fn restore_and_compare(busy: &Busy, backup: &str, dir: &str, until: Until) -> Restored {
    let machine = busy.sim.env();
    let target = nested(&machine, dir);
    let restored = restore(&nested(&machine, backup), &target, until).unwrap();
    assert_clean(&target);
    let engine = Engine::open(&target, busy.options.clone()).unwrap();
    assert_eq!(engine.log_id(), restored.log_id);
    if let Some(expected) = busy.seen.get(&restored.commit_seq) {
        assert_eq!(&state_of(&engine), expected, "at commit {}", restored.commit_seq);
    }
    engine.close().unwrap();
    assert_clean(&target);
    restored
}

#[test]
fn a_backup_under_load_is_the_database_at_one_commit() {
    for_each_seed("a_backup_under_load_is_the_database_at_one_commit", 6, |seed| {
        let mut busy = Busy::new(seed);
        busy.steps(seed % 40);
        let (mut busy, first) = backup_under_load(busy, "b1", None);
        busy.steps(seed % 13);
        let (mut busy, second) = backup_under_load(busy, "b2", Some("b1"));
        assert_eq!(busy.engine.backups_running(), 0);
        let machine = busy.sim.env();
        for (dir, report) in [("b1", first), ("b2", second)] {
            assert_clean(&nested(&machine, dir));
            let range = range_of(&nested(&machine, dir)).unwrap();
            assert_eq!(range, report.range);
            // What was acknowledged when it began is in it.
            assert!(busy.seen.contains_key(&range.last) || range.last > *busy.seen.keys().next().unwrap());
            restore_and_compare(&busy, dir, &format!("{dir}-whole"), Until::End);
            let moments: Vec<CommitSeq> = busy.seen.range(range.first..=range.last).map(|(seq, _)| *seq).collect();
            if let Some(seq) = moments.get(usize::try_from(busy.below(100)).unwrap() % moments.len().max(1)) {
                let restored = restore_and_compare(&busy, dir, &format!("{dir}-part"), Until::Commit(*seq));
                assert_eq!(restored.commit_seq, *seq);
            }
        }
        // Nothing is kept for a backup that is over.
        busy.steps(10);
        busy.engine.close().unwrap();
        assert_clean(&busy.env);
    });
}

/// Nobody wrote for a while, so that a start needs no commit of the log; then somebody writes a lot.
#[test]
fn a_backup_of_an_idle_database_has_its_log_whatever_comes_then() {
    let (machine, sim) = Env::simulated(5);
    let env = nested(&machine, "data");
    let mut options = tiny();
    options.log_file_bytes = 16 << 10;
    let engine = Engine::open(&env, options.clone()).unwrap();
    let table = create(&engine, keyed("t"));
    // The log files have three pages for groups: it ends at each place in one.
    for round in 0..12 {
        (0..=round % 3).for_each(|n| drop(upsert(&engine, table, &[row(n, &format!("{round}"))]).unwrap()));
        engine.flush(None).unwrap();
        engine.compact().unwrap();
        sim.run_until_idle(10_000);
        (0..3).for_each(|_| engine.checkpoint().unwrap());
        let writer = engine.clone();
        let write = move |number| {
            // When the directory is claimed.
            if number > 8 && number % 6 == 0 {
                (0..4).for_each(|n| drop(upsert(&writer, table, &[row(100 + n, "later")]).unwrap()));
                writer.flush(None).unwrap();
                // The log is cut whenever cursors move.
                writer.create_feed_cursor("f", FeedTables::All).wait().unwrap();
                writer.drop_feed_cursor("f").wait().unwrap();
                (0..2).for_each(|_| writer.checkpoint().unwrap());
            }
            Ok(())
        };
        let (backup, dir) = (format!("b{round}"), format!("r{round}"));
        let target = hooked(&machine, &backup, Arc::new(write));
        let report = engine.backup(&target, None, &|| false).unwrap();
        restore(&nested(&machine, &backup), &nested(&machine, &dir), Until::End).unwrap();
        let restored = Engine::open(&nested(&machine, &dir), options.clone()).unwrap();
        assert_eq!(restored.snapshot().commit_seq(), report.range.last);
        restored.close().unwrap();
        assert_clean(&nested(&machine, &dir));
    }
}

#[test]
fn a_restored_database_goes_on_as_one_of_its_own() {
    for_each_seed("a_restored_database_goes_on_as_one_of_its_own", 2, |seed| {
        let mut busy = Busy::new(seed);
        busy.steps(30);
        let (mut busy, _) = backup_under_load(busy, "b1", None);
        let original = busy.engine.log_id();
        let restored = restore_and_compare(&busy, "b1", "again", Until::End);
        assert!(restored.log_id != original && restored.from_log == original);
        busy.steps(10);
        busy.engine.close().unwrap();
        // The same load goes on there: old files are compacted and removed, tables dropped, and it is backed up in its turn.
        let machine = busy.sim.env();
        let env = nested(&machine, "again");
        let engine = Engine::open(&env, busy.options.clone()).unwrap();
        let table = engine.snapshot().catalog().table(&TableName::new("commons", "t")).unwrap().id;
        let model = pairs(&engine.snapshot(), table).into_iter().collect();
        let mut again = Busy { env, engine, table, model, seen: BTreeMap::new(), ..busy };
        again.steps(30);
        let (again, _) = backup_under_load(again, "b2", Some("b1"));
        assert_clean(&nested(&machine, "b2"));
        restore_and_compare(&again, "b2", "third", Until::End);
        again.engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
        again.engine.checkpoint().unwrap();
        again.engine.checkpoint().unwrap();
        again.engine.close().unwrap();
        assert_clean(&again.env);
        let old: Vec<String> = again.env.disk.list("segments").unwrap().iter().map(|e| e.name.to_string()).collect();
        let old: Vec<&String> = old.iter().filter(|name| name.contains(&original.to_string())).collect();
        let stored = state_of(&Engine::open(&again.env, again.options.clone()).unwrap());
        assert!(old.is_empty() || stored.values().any(|rows| !rows.is_empty()), "{old:?} stay");
    });
}

#[test]
fn a_backup_can_be_restored_to_any_time_that_it_holds() {
    let mut busy = Busy::new(4);
    let mut times = Vec::new();
    for _ in 0..30 {
        busy.sim.advance(std::time::Duration::from_millis(20));
        busy.steps(1);
        times.push((busy.env.clock.wall_us(), busy.engine.snapshot().commit_seq()));
    }
    // Long after the last commit.
    busy.sim.advance(std::time::Duration::from_millis(20));
    let idle = busy.env.clock.wall_us();
    let machine = busy.sim.env();
    let report = busy.engine.backup(&nested(&machine, "b"), None, &|| false).unwrap();
    assert!(report.range.first_us < report.range.last_us && report.range.last_us >= idle, "{report:?}");
    times.push((idle, report.range.last));
    let mut restored = 0;
    for (number, (at, seq)) in times.into_iter().enumerate().filter(|(_, (at, _))| *at >= report.range.first_us) {
        let found = restore_and_compare(&busy, "b", &format!("r{number}"), Until::Time(at));
        // Commits of flushes may come at the same time.
        assert!(found.commit_seq >= seq, "{} at {at}, not {seq}", found.commit_seq);
        let (earlier, state) = busy.seen.range(..=found.commit_seq).next_back().unwrap();
        assert!(*earlier >= seq && busy.seen[&seq] == *state);
        restored += 1;
    }
    assert!(restored > 1, "{report:?}");
    for us in [report.range.first_us - 1, report.range.last_us + 1] {
        let error = restore(&nested(&machine, "b"), &nested(&machine, "x"), Until::Time(us)).unwrap_err();
        assert_eq!(error.condition(), Condition::InvalidParameterValue);
    }
    for seq in [report.range.first.get().wrapping_sub(1), report.range.last.get() + 1] {
        let until = Until::Commit(CommitSeq::new(seq));
        let error = restore(&nested(&machine, "b"), &nested(&machine, "x"), until).unwrap_err();
        assert_eq!(error.condition(), Condition::InvalidParameterValue);
        assert!(error.detail().unwrap().contains(&format!("from {} to {}", report.range.first, report.range.last)));
    }
    assert!(machine.disk.list("x").unwrap().is_empty());
}

#[test]
fn feed_cursors_of_a_restored_database_are_ended_and_say_why() {
    let mut busy = Busy::new(2);
    busy.engine.create_feed_cursor("early", FeedTables::All).wait().unwrap();
    busy.steps(12);
    busy.engine.checkpoint().unwrap();
    busy.engine.checkpoint().unwrap();
    busy.engine.create_feed_cursor("late", FeedTables::All).wait().unwrap();
    busy.engine.create_feed_cursor("dropped", FeedTables::All).wait().unwrap();
    busy.engine.drop_feed_cursor("dropped").wait().unwrap();
    busy.steps(5);
    let machine = busy.sim.env();
    busy.engine.backup(&nested(&machine, "b"), None, &|| false).unwrap();
    let restored = restore(&nested(&machine, "b"), &nested(&machine, "r"), Until::End).unwrap();
    assert_eq!(restored.ended_cursors, ["early", "late"]);
    let engine = Engine::open(&nested(&machine, "r"), busy.options.clone()).unwrap();
    for cursor in engine.feed_cursors() {
        let reason = cursor.ended.unwrap();
        assert!(reason.contains("restored from a backup"), "{reason}");
        let error = engine.feed(&cursor.name, None).unwrap_err();
        assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState);
    }
    assert!(busy.engine.feed_cursors().iter().all(|cursor| cursor.ended.is_none()));
    engine.create_feed_cursor("anew", FeedTables::All).wait().unwrap();
    engine.snapshot_and_feed("anew").unwrap();
    engine.close().unwrap();
    assert_clean(&nested(&machine, "r"));
}

/// Every operation on the target fails once, each with another error.
#[test]
fn a_target_that_fails_leaves_no_backup_and_an_unharmed_database() {
    let mut busy = Busy::new(7);
    busy.steps(25);
    let machine = busy.sim.env();
    let kinds = [(io::ErrorKind::StorageFull, Condition::DiskFull), (io::ErrorKind::Other, Condition::IoError)];
    let mut failed = 0;
    for at in 0.. {
        let (kind, condition) = kinds[usize::try_from(at % 2).unwrap()];
        let fail = move |number| if number == at { Err(kind.into()) } else { Ok(()) };
        let dir = format!("b{at}");
        let target = hooked(&machine, &dir, Arc::new(fail));
        let outcome = busy.engine.backup(&target, None, &|| false);
        assert_eq!(busy.engine.backups_running(), 0);
        let error = match outcome {
            Ok(_) => break,
            Err(error) => error,
        };
        assert_eq!(error.condition(), condition, "change {at}: {error}");
        failed += 1;
        let found = range_of(&nested(&machine, &dir)).unwrap_err();
        assert_eq!(found.condition(), Condition::ObjectNotInPrerequisiteState, "change {at}: {found}");
        let error = restore(&nested(&machine, &dir), &nested(&machine, "x"), Until::End).unwrap_err();
        assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState);
        if at % 5 == 0 {
            busy.steps(1);
        }
    }
    assert!(failed > 20, "{failed} changes failed");
    let report = busy.engine.backup(&nested(&machine, "whole"), None, &|| false).unwrap();
    for at in 0.. {
        let (kind, condition) = kinds[usize::try_from(at % 2).unwrap()];
        let fail = move |number| if number == at { Err(kind.into()) } else { Ok(()) };
        let dir = format!("r{at}");
        let target = hooked(&machine, &dir, Arc::new(fail));
        let Err(error) = restore(&nested(&machine, "whole"), &target, Until::End) else { break };
        // Space for what the log gets is made before, so there it is no lack of space.
        let is_right = [condition, Condition::IoError].contains(&error.condition());
        assert!(is_right, "change {at}: {error}");
        assert_no_half_database(&nested(&machine, &dir), &busy, report.range.last);
        failed += 1;
    }
    assert!(failed > 60, "{failed} changes failed");
    busy.steps(5);
    busy.engine.close().unwrap();
    assert_clean(&busy.env);
}

/// A directory into which a restore was interrupted is no database, or the whole one.
fn assert_no_half_database(env: &Env, busy: &Busy, last: CommitSeq) -> bool {
    let files: Vec<String> = env.disk.list("").unwrap().iter().map(|entry| entry.name.to_string()).collect();
    if files.is_empty() {
        let dirs = ["log", "manifest", "segments", "staged"];
        assert!(dirs.iter().all(|dir| env.disk.list(dir).unwrap().is_empty()));
        return false;
    }
    match Engine::open(env, busy.options.clone()) {
        Ok(engine) => {
            assert_eq!(Some(&state_of(&engine)), busy.seen.get(&last), "{files:?}");
            engine.close().unwrap();
            assert_clean(env);
            true
        }
        Err(error) => {
            assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState, "{files:?}: {error}");
            assert!(error.message().contains("not restored completely"), "{error}");
            assert!(check(env).unwrap_err().message().contains("not restored completely"));
            false
        }
    }
}

/// The power fails, or the process is killed, at a change of the disk while a backup is taken or restored.
#[test]
fn a_crash_leaves_a_whole_backup_or_none() {
    let interrupted = AtomicU64::new(0);
    let whole = AtomicU64::new(0);
    for_each_seed("a_crash_leaves_a_whole_backup_or_none", 30, |seed| {
        let mut busy = Busy::new(seed / 6);
        busy.steps(14);
        let machine = busy.sim.env();
        // Spread over the whole of it, with its end more often.
        let before = busy.sim.changes();
        busy.engine.backup(&nested(&machine, "measured"), None, &|| false).unwrap();
        let changes = busy.sim.changes() - before;
        let at = if seed % 3 == 0 { changes - busy.below(5) } else { busy.below(changes) };
        let last = busy.engine.snapshot().commit_seq();
        busy.sim.power_off_after(busy.sim.changes() + at);
        let taken = busy.engine.backup(&nested(&machine, "b"), None, &|| false);
        let machine = if seed % 2 == 0 { busy.sim.crash() } else { busy.sim.kill() };
        assert!(taken.is_err() || at + 1 >= changes, "{at} of {changes}");
        let env = nested(&machine, "data");
        busy.engine = Engine::open(&env, busy.options.clone()).unwrap();
        busy.env = env;
        busy.look();
        let backup = nested(&machine, "b");
        match range_of(&backup) {
            Ok(range) => {
                whole.fetch_add(1, Ordering::Relaxed);
                assert_clean(&backup);
                assert!(range.last >= last);
            }
            Err(error) => {
                interrupted.fetch_add(1, Ordering::Relaxed);
                assert!(taken.is_err());
                assert_eq!(error.condition(), Condition::ObjectNotInPrerequisiteState, "{error}");
                assert!(check(&backup).is_err());
                let is_untouched = machine.disk.list("b").unwrap().is_empty();
                assert!(is_untouched || Engine::open(&backup, busy.options.clone()).is_err());
            }
        }
        let crashes = restore_with_crashes(&mut busy, &machine);
        interrupted.fetch_add(crashes, Ordering::Relaxed);
        busy.steps(3);
        busy.engine.close().unwrap();
    });
    assert!(interrupted.load(Ordering::Relaxed) > 0 && whole.load(Ordering::Relaxed) > 0);
}

/// Restores the whole backup until the power fails. How often it did.
fn restore_with_crashes(busy: &mut Busy, machine: &Env) -> u64 {
    let range = range_of(&nested(machine, "measured")).unwrap();
    let backup = nested(machine, "measured");
    let before = busy.sim.changes();
    restore(&backup, &nested(machine, "r"), Until::End).unwrap();
    let changes = busy.sim.changes() - before;
    let at = if busy.below(3) == 0 { changes - busy.below(5) } else { busy.below(changes) };
    busy.engine.close().unwrap();
    busy.sim.power_off_after(busy.sim.changes() + at);
    let outcome = restore(&backup, &nested(machine, "r2"), Until::End);
    let machine = busy.sim.crash();
    let is_whole = assert_no_half_database(&nested(&machine, "r2"), busy, range.last);
    assert!(is_whole || outcome.is_err());
    busy.env = nested(&machine, "data");
    busy.engine = Engine::open(&busy.env, busy.options.clone()).unwrap();
    u64::from(outcome.is_err())
}

#[test]
fn damage_is_neither_backed_up_nor_restored() {
    let mut busy = Busy::new(3);
    busy.steps(20);
    upsert(&busy.engine, busy.table, &rows(0..30, "flushed")).unwrap();
    busy.engine.flush(None).unwrap();
    let machine = busy.sim.env();
    busy.engine.backup(&nested(&machine, "b"), None, &|| false).unwrap();
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    };
    // Every file of the backup in its turn.
    let mut files = 0;
    for dir in ["", "log", "manifest", "segments", "staged"] {
        for entry in nested(&machine, "b").disk.list(dir).unwrap() {
            let name = FileName::new(format!("b/{}", entry.name)).unwrap();
            busy.sim.corrupt(&name, flip).unwrap();
            let backup = nested(&machine, "b");
            let problems = check(&backup).map(|report| report.problems.len());
            assert!(!matches!(problems, Ok(0)), "{name}: damage is not found");
            let target = format!("r{files}");
            match restore(&backup, &nested(&machine, &target), Until::End) {
                // The own checksums of log pages say that these few bits are none of a record.
                Ok(_) => assert_eq!(dir, "log", "{name}"),
                Err(error) => {
                    assert_eq!(error.condition(), Condition::DataCorrupted, "{name}: {error}");
                    assert!(error.message().contains(entry.name.base()) || dir == "log", "{name}: {error}");
                }
            }
            busy.sim.corrupt(&name, flip).unwrap();
            files += 1;
        }
    }
    assert!(files > 6, "{files} files");
    assert_clean(&nested(&machine, "b"));
    let data = nested(&machine, "data");
    let segments = data.disk.list("segments").unwrap();
    let segment = segments.iter().rev().find(|entry| entry.name.base().ends_with(".vortex")).unwrap();
    busy.sim.corrupt(&FileName::new(format!("data/{}", segment.name)).unwrap(), flip).unwrap();
    let error = busy.engine.backup(&nested(&machine, "b2"), None, &|| false).unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted);
    assert!(error.message().contains(segment.name.base()), "{error}");
    assert!(machine.disk.list("b2").unwrap().is_empty());
}

#[test]
fn wrong_directories_are_refused_by_name() {
    let mut busy = Busy::new(1);
    busy.steps(8);
    let machine = busy.sim.env();
    let refused = |outcome: Result<(), Error>, message: &str| {
        let error = outcome.unwrap_err();
        assert_eq!((error.condition(), error.message()), (Condition::ObjectNotInPrerequisiteState, message));
    };
    let (a, b) = (nested(&machine, "a"), nested(&machine, "b"));
    busy.engine.backup(&a, None, &|| false).unwrap();
    refused(busy.engine.backup(&a, None, &|| false).map(drop), "the directory is not empty");
    refused(busy.engine.backup(&b, Some(&b), &|| false).map(drop), "the directory is not a backup");
    refused(restore(&b, &nested(&machine, "c"), Until::End).map(drop), "the directory is not a backup");
    refused(restore(&a, &a, Until::End).map(drop), "the directory is not empty");
    refused(Engine::open(&a, tiny()).map(drop), "the directory is a backup, not a data directory");
    let other = Engine::open(&nested(&machine, "other"), tiny()).unwrap();
    refused(other.backup(&b, Some(&a), &|| false).map(drop), "the earlier backup is of another database");
    let error = busy.engine.backup(&b, None, &|| true).unwrap_err();
    assert_eq!(error.condition(), Condition::QueryCanceled);
    assert!(machine.disk.list("b").unwrap().is_empty());
}

#[test]
fn an_empty_database_can_be_backed_up() {
    let (machine, _sim) = Env::simulated(5);
    let engine = Engine::open(&nested(&machine, "data"), tiny()).unwrap();
    let report = engine.backup(&nested(&machine, "b"), None, &|| false).unwrap();
    assert_eq!((report.range.first, report.range.last), (CommitSeq::ZERO, CommitSeq::ZERO));
    assert_clean(&nested(&machine, "b"));
    restore(&nested(&machine, "b"), &nested(&machine, "r"), Until::End).unwrap();
    let engine = Engine::open(&nested(&machine, "r"), tiny()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..3, "x")).unwrap();
    engine.close().unwrap();
    assert_clean(&nested(&machine, "r"));
}

#[test]
fn files_are_shared_where_the_file_system_can() {
    let root = tempfile::tempdir().unwrap();
    let open = |dir: &str| Env::real(&root.path().join(dir)).unwrap();
    let engine = Engine::open(&open("data"), tiny()).unwrap();
    let table = create(&engine, keyed("t"));
    insert(&engine, table, &rows(0..40, "x")).unwrap();
    engine.flush(None).unwrap();
    let first = engine.backup(&open("b1"), None, &|| false).unwrap();
    // Log and manifest only.
    assert!(first.copied_files < first.files, "{first:?}");
    insert(&engine, table, &rows(100..140, "y")).unwrap();
    engine.flush(None).unwrap();
    engine.checkpoint().unwrap();
    engine.backup(&open("b2"), Some(&open("b1")), &|| false).unwrap();
    engine.ddl(Ddl::Truncate(vec![TableName::new("commons", "t")])).wait().unwrap();
    engine.checkpoint().unwrap();
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    drop(engine);
    for (dir, rows) in [("b1", 40), ("b2", 80)] {
        let report = check(&open(dir)).unwrap();
        assert_eq!((report.problems, report.rows), (Vec::new(), rows));
        restore(&open(dir), &open(&format!("{dir}-r")), Until::End).unwrap();
        let engine = Engine::open(&open(&format!("{dir}-r")), tiny()).unwrap();
        assert_eq!(u64::try_from(pairs(&engine.snapshot(), table).len()).unwrap(), rows);
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outcrop_env::{Env, FileName};
use outcrop_format::key_run::PAGE_BYTES;
use outcrop_format::{KeyHash, KeyWidth};
use outcrop_types::{Condition, IndexId, LogId, RowAddress, RowOrdinal, TableId, UnitId};
use proptest::prelude::*;

use super::*;
use crate::{PageCache, key_run_file_name};

const LOG: LogId = LogId::from_bytes([4; 16]);
const DIR: &str = "segments";

fn env() -> Env {
    let env = Env::simulated(1).0;
    env.disk.create_dir(DIR).unwrap();
    env
}

fn place(unit: u64, width: KeyWidth) -> KeyRunPlace {
    let (table, index) = (TableId::new(1), IndexId::new(1));
    KeyRunPlace { dir: DIR.to_owned(), log_id: LOG, unit: UnitId::new(unit), table, index, width }
}

fn key(number: u64, width: KeyWidth) -> KeyHash {
    let high = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    match width {
        KeyWidth::Half => KeyHash::of_high(high),
        // Many keys share their upper half.
        KeyWidth::Whole => KeyHash::new(high & !0 << 60, high),
    }
}

/// Writes the run of a segment whose row `i` has key `keys[i]`.
fn build(env: &Env, unit: u64, width: KeyWidth, keys: &[u64]) {
    let mut builder = KeyRunBuilder::new(UnitId::new(unit), width);
    for keys in keys.chunks(7) {
        builder.add(&keys.iter().map(|number| key(*number, width)).collect::<Vec<_>>());
    }
    assert_eq!(builder.rows(), keys.len());
    builder.finish(env, &place(unit, width)).unwrap();
}

fn open(env: &Env, unit: u64, cache: &Arc<PageCache>) -> Arc<KeyRun> {
    KeyRun::open(env, DIR, (LOG, UnitId::new(unit)), cache).unwrap().unwrap()
}

/// Every row that the run has for each of the keys.
fn find(run: &KeyRun, numbers: &[u64]) -> BTreeMap<u64, Vec<RowAddress>> {
    let mut keys: Vec<(KeyHash, u32)> = numbers.iter().map(|number| key(*number, run.width())).zip(0..).collect();
    keys.sort_unstable();
    let mut found: BTreeMap<u64, Vec<RowAddress>> = BTreeMap::new();
    run.lookup(&keys, |candidate| {
        let number = numbers[usize::try_from(candidate.position).unwrap()];
        found.entry(number).or_default().push(candidate.address);
    })
    .unwrap();
    found
}

fn address(unit: u64, row: usize) -> RowAddress {
    RowAddress::new(UnitId::new(unit), RowOrdinal::new(row.try_into().unwrap()))
}

/// What a segment's run must say.
fn expected(segments: &[(u64, &[u64])]) -> BTreeMap<u64, Vec<RowAddress>> {
    let mut expected: BTreeMap<u64, Vec<RowAddress>> = BTreeMap::new();
    for (unit, keys) in segments {
        for (row, key) in keys.iter().enumerate() {
            expected.entry(*key).or_default().insert(0, address(*unit, row));
        }
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_and_their_merges_know_what_a_map_knows(
        wide in any::<bool>(),
        segments in prop::collection::vec(prop::collection::vec(0_u64..2_000, 0..1_500), 1..6),
        dead in prop::collection::btree_set((1_u64..6, 0_usize..1_500), 0..200),
        gone in prop::collection::btree_set(1_u64..6, 0..2),
        cache_bytes in prop_oneof![Just(0_u64), Just(1 << 20)],
        step in 1_u64..3_000,
    ) {
        let width = if wide { KeyWidth::Whole } else { KeyWidth::Half };
        let env = env();
        let cache = PageCache::new(cache_bytes);
        let all: Vec<u64> = (0..2_100).collect();
        let mut runs = Vec::new();
        for (unit, keys) in (1..).zip(&segments) {
            build(&env, unit, width, keys);
            let run = open(&env, unit, &cache);
            prop_assert_eq!(run.resident_bytes(), 0, "nothing is read before it is needed");
            prop_assert_eq!(find(&run, &all), expected(&[(unit, keys)]));
            run.verify(|_| {}).unwrap();
            runs.push(run);
        }
        let wanted = |row: RowAddress| !dead.contains(&(row.unit.get(), usize::try_from(row.row.get()).unwrap()));
        let there = |unit: UnitId| !gone.contains(&unit.get());
        let mut merge = KeyRunMerge::new(&env, &place(100, width), &runs, there).unwrap();
        while merge.step(step, wanted).unwrap() {}
        let entries = merge.entries();
        merge.finish().unwrap();
        let merged = open(&env, 100, &cache);
        let of_all: Vec<(u64, &[u64])> = (1..).zip(segments.iter().map(Vec::as_slice)).collect();
        let mut expected = expected(&of_all);
        expected.values_mut().for_each(|rows| rows.retain(|row| wanted(*row) && there(row.unit)));
        expected.retain(|_, rows| !rows.is_empty());
        prop_assert_eq!(merged.entries(), entries);
        prop_assert_eq!(merged.entries(), expected.values().map(|rows| rows.len() as u64).sum::<u64>());
        prop_assert_eq!(find(&merged, &all), expected);
        merged.verify(|_| {}).unwrap();
        let covered: BTreeSet<u64> = merged.segments().iter().map(|segment| segment.unit.get()).collect();
        prop_assert_eq!(covered, of_all.iter().map(|(unit, _)| *unit).filter(|unit| !gone.contains(unit)).collect());
        prop_assert!(cache.stats().bytes <= cache.bytes_max());
    }
}

#[test]
fn a_run_that_is_not_there_is_no_error() {
    let cache = PageCache::new(0);
    assert!(KeyRun::open(&env(), DIR, (LOG, UnitId::new(1)), &cache).unwrap().is_none());
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let env = env();
    build(&env, 1, KeyWidth::Half, &[1, 2, 3]);
    let run = open(&env, 1, &PageCache::new(0));
    drop(KeyRunMerge::new(&env, &place(9, KeyWidth::Half), &[run], |_| true).unwrap());
    assert_eq!(env.disk.list(DIR).unwrap().len(), 1);
}

#[test]
fn g7_a_changed_byte_is_an_error_with_its_place_or_changes_nothing() {
    let env = env();
    let keys: Vec<u64> = (0..1_000).collect();
    build(&env, 1, KeyWidth::Half, &keys);
    let name = FileName::in_dir(DIR, &key_run_file_name(LOG, UnitId::new(1))).unwrap();
    let file = env.disk.open(&name).unwrap();
    let length = file.len().unwrap();
    assert_eq!(length, PAGE_BYTES as u64 * 6, "header, three pages of entries, filter, fences");
    let expected = expected(&[(1, &keys)]);
    for offset in (0..length).step_by(61) {
        let mut byte = [0];
        file.read_exact_at(offset, &mut byte).unwrap();
        file.write_all_at(offset, &[byte[0] ^ 0x20]).unwrap();
        let cache = PageCache::new(0);
        let outcome = KeyRun::open(&env, DIR, (LOG, UnitId::new(1)), &cache)
            .and_then(|run| {
                let run = run.unwrap();
                let mut found: BTreeMap<u64, Vec<RowAddress>> = BTreeMap::new();
                let mut wanted: Vec<(KeyHash, u32)> = keys.iter().map(|n| key(*n, KeyWidth::Half)).zip(0..).collect();
                wanted.sort_unstable();
                run.lookup(&wanted, |c| found.entry(u64::from(c.position)).or_default().push(c.address))?;
                assert!(run.verify(|_| {}).is_err());
                Ok(found)
            })
            .map_err(|error| (error.condition(), error.hint().is_some(), error.message().contains(".keys")));
        assert_eq!(outcome, Err((Condition::DataCorrupted, true, true)), "byte {offset}");
        assert_eq!(expected.len(), keys.len());
        file.write_all_at(offset, &byte).unwrap();
    }
    file.set_len(length - 1).unwrap();
    assert!(KeyRun::open(&env, DIR, (LOG, UnitId::new(1)), &PageCache::new(0)).is_err());
}

#[test]
fn a_filter_takes_no_more_memory_than_promised() {
    let env = env();
    let keys: Vec<u64> = (0..100_000).collect();
    build(&env, 1, KeyWidth::Half, &keys);
    let run = open(&env, 1, &PageCache::new(1 << 20));
    find(&run, &[1]);
    assert!(run.resident_bytes() * 10 <= keys.len() as u64 * 16, "{} bytes", run.resident_bytes());
}

//! How large and how fast the key index is, on the disk of this machine:
//!
//! ```sh
//! cargo test --release -p outcrop-engine --lib key_index::measure -- --ignored --nocapture --test-threads 1
//! ```
//!
//! Each table is written as flushes of a million rows do it, and its runs are merged until the plan is content. Then keys are
//! looked for in batches of 1,000, of which all or none are there, with a page cache that holds all pages and with one that
//! holds a tenth of them. Memory is that of filters and fences, which is all that a run holds.

#![expect(clippy::print_stderr, reason = "prints its table")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringViewArray};
use outcrop_env::Env;
use outcrop_format::{KeyCodec, KeyHash};
use outcrop_segment::{KeyRun, KeyRunBuilder, KeyRunMerge, KeyRunPlace, PageCache};
use outcrop_types::{DataType, IndexId, KeySecret, LogId, TableId, UnitId};

use super::plan::{RunSize, runs_to_merge};

const LOG: LogId = LogId::from_bytes([1; 16]);
const FLUSH_ROWS: u64 = 1_000_000;
const BATCHES: u64 = 500;
const BATCH_KEYS: u64 = 1_000;

/// A table of keys; number `i` is there for `i` below its size.
struct Measured {
    env: Env,
    codec: KeyCodec,
    column: fn(&[u64]) -> ArrayRef,
    keys: u64,
    units: Vec<UnitId>,
    next_unit: u64,
    written: u64,
}

impl Measured {
    fn hashes(&self, numbers: &[u64]) -> Vec<KeyHash> {
        self.codec.hashes(&[(self.column)(numbers)], 1_024).unwrap()
    }

    fn place(&self, unit: u64) -> KeyRunPlace {
        let (table, index) = (TableId::new(1), IndexId::new(1));
        let width = self.codec.width();
        KeyRunPlace { dir: "segments".to_owned(), log_id: LOG, unit: UnitId::new(unit), table, index, width }
    }

    fn open(&self, cache: &Arc<PageCache>) -> Vec<Arc<KeyRun>> {
        let open = |unit: &UnitId| KeyRun::open(&self.env, "segments", (LOG, *unit), cache).unwrap().unwrap();
        self.units.iter().map(open).collect()
    }

    fn write(&mut self) {
        for first in (0..self.keys).step_by(usize::try_from(FLUSH_ROWS).unwrap()) {
            let unit = self.next_unit;
            self.next_unit += 1;
            let mut builder = KeyRunBuilder::new(UnitId::new(unit), self.codec.width());
            let numbers: Vec<u64> = (first..self.keys.min(first + FLUSH_ROWS)).collect();
            numbers.chunks(32_768).for_each(|numbers| builder.add(&self.hashes(numbers)));
            builder.finish(&self.env, &self.place(unit)).unwrap();
            self.units.push(UnitId::new(unit));
            self.merge();
        }
    }

    fn merge(&mut self) {
        let cache = PageCache::new(0);
        loop {
            let runs = self.open(&cache);
            let size = |run: &Arc<KeyRun>| {
                let segments = run.segments().len();
                RunSize { unit: run.unit(), entries: run.entries(), live: run.entries(), segments }
            };
            let Some(inputs) = runs_to_merge(&runs.iter().map(size).collect::<Vec<_>>()) else { return };
            let merged: Vec<Arc<KeyRun>> = runs.into_iter().filter(|run| inputs.contains(&run.unit())).collect();
            let unit = self.next_unit;
            self.next_unit += 1;
            let mut merge = KeyRunMerge::new(&self.env, &self.place(unit), &merged, |_| true).unwrap();
            while merge.step(1 << 20, |_| true).unwrap() {}
            self.written += merge.entries();
            merge.finish().unwrap();
            self.units.retain(|unit| !inputs.contains(unit));
            self.units.push(UnitId::new(unit));
        }
    }

    /// Keys looked for in a second; keys that are there if `there`.
    fn rate(&self, runs: &[Arc<KeyRun>], there: bool) -> f64 {
        let base = if there { 0 } else { self.keys };
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let mut batches = Vec::new();
        for _ in 0..BATCHES {
            let numbers: Vec<u64> = (0..BATCH_KEYS)
                .map(|_| {
                    random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                    base + (random >> 20) % self.keys
                })
                .collect();
            batches.push(self.hashes(&numbers));
        }
        let start = self.env.clock.monotonic();
        let mut hits = 0;
        for batch in &batches {
            let mut keys: Vec<(KeyHash, u32)> = batch.iter().copied().zip(0..).collect();
            keys.sort_unstable();
            for run in runs {
                run.lookup(&keys, |_| hits += 1).unwrap();
            }
        }
        assert_eq!(hits, if there { BATCHES * BATCH_KEYS } else { 0 });
        num(BATCHES * BATCH_KEYS) / (self.env.clock.monotonic() - start).as_secs_f64()
    }
}

fn num(count: u64) -> f64 {
    f64::from(u32::try_from(count / 1_000).unwrap()) * 1_000.0
}

fn measure(name: &str, keys: u64, data_type: DataType, column: fn(&[u64]) -> ArrayRef) {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real(dir.path()).unwrap();
    env.disk.create_dir("segments").unwrap();
    let codec = KeyCodec::new(vec![data_type], &KeySecret::from_bytes([9; 16]));
    let mut measured = Measured { env, codec, column, keys, units: Vec::new(), next_unit: 1, written: 0 };
    let start = measured.env.clock.monotonic();
    measured.write();
    let built = (measured.env.clock.monotonic() - start).as_secs_f64();
    let bytes: u64 = measured.open(&PageCache::new(0)).iter().map(|run| run.bytes()).sum();
    let none = PageCache::new(0);
    let runs = measured.open(&none);
    let keys_looked_for = measured.hashes(&[0]).into_iter().zip(0..).collect::<Vec<_>>();
    runs.iter().for_each(|run| run.lookup(&keys_looked_for, |_| ()).unwrap());
    let exact: u64 = runs.iter().map(|run| run.resident_bytes()).sum();
    let absent = measured.rate(&runs, false);
    let all = PageCache::new(bytes * 2);
    let cached = measured.open(&all);
    measured.rate(&cached, true);
    let hot = measured.rate(&cached, true);
    let tenth = PageCache::new(bytes / 10);
    let cold = measured.rate(&measured.open(&tenth), true);
    eprintln!(
        "{name:8} {:>4} M keys  {} runs  {:5.2} B/row on disk  {:5.2} B/row of memory  \
         write {:4.2} M rows/s (each entry {:3.1} times)  look-ups/s: there, all cached {:6.0} k; a tenth {:6.0} k; absent {:6.0} k",
        keys / 1_000_000,
        runs.len(),
        num(bytes) / num(keys),
        num(exact) / num(keys),
        num(keys) / built / 1e6,
        1.0 + num(measured.written) / num(keys),
        hot / 1e3,
        cold / 1e3,
        absent / 1e3,
    );
    assert!(exact * 10 <= keys * 16, "{exact} bytes in memory for {keys} keys");
}

fn integers(numbers: &[u64]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(numbers.iter().map(|number| number.cast_signed())))
}

/// 36 characters, as a UUID is written.
fn texts(numbers: &[u64]) -> ArrayRef {
    let text = |number: &u64| {
        format!("{:08x}-1111-4222-8333-{number:012x}", number.wrapping_mul(0x9E37_79B9) >> 4 & 0xFFFF_FFFF)
    };
    Arc::new(StringViewArray::from_iter_values(numbers.iter().map(text)))
}

#[test]
#[ignore = "a measurement"]
fn a_million_keys() {
    measure("bigint", 1_000_000, DataType::Int8, integers);
    measure("text", 1_000_000, DataType::Text, texts);
}

#[test]
#[ignore = "a measurement"]
fn ten_million_keys() {
    measure("bigint", 10_000_000, DataType::Int8, integers);
    measure("text", 10_000_000, DataType::Text, texts);
}

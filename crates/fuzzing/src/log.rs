//! Log files that were edited.

use std::sync::OnceLock;

use bytes::Bytes;
use outcrop_env::{DiskImage, Env, FileName, Sim};
use outcrop_format::frame::PAGE_BYTES;
use outcrop_log::{Log, LogOptions, Reach, verify};
use outcrop_types::{CommitSeq, LogId, Result};

use crate::edits::edits;

const LOG: LogId = LogId::from_bytes([9; 16]);
const DIR: &str = "log";

/// Edits of a log of some files. What recovery shows is what a second recovery shows (L1), and `verify` reads it too.
pub(crate) fn log(input: &[u8]) {
    let sound = sound();
    let names: Vec<&FileName> = sound.files.keys().collect();
    let lengths: Vec<usize> = sound.files.values().map(Vec::len).collect();
    let mut image = sound.clone();
    for edit in edits(input, &lengths) {
        let Some(file) = image.files.get_mut(names[edit.file]) else { continue };
        edit.apply(file);
        if edit.is_sealed {
            let first = edit.offset / PAGE_BYTES;
            let last = (edit.offset + edit.bytes.len().max(1) - 1) / PAGE_BYTES;
            (first..=last).for_each(|page| seal(file, page));
        }
    }
    let (env, _sim) = Sim::from_image(&image, 1);
    let report = verify(&env, DIR, LOG);
    let Ok((records, started)) = recover(&env) else { return };
    report.expect("what recovers can be verified");
    if started.is_err() {
        return;
    }
    drop(started);
    let (again, _) = recover(&env).expect("a recovered log recovers");
    assert_eq!(records, again, "L1: another recovery finds another log");
}

type Records = Vec<(CommitSeq, Vec<u8>)>;

/// The records from the first one on, and the log that goes on behind them.
fn recover(env: &Env) -> Result<(Records, Result<Log>)> {
    let mut records = Vec::new();
    let reach = Reach { from: CommitSeq::new(1), to: CommitSeq::ZERO };
    let recovered = Log::recover(env, DIR, LOG, reach, &mut |seq, bytes| {
        records.push((seq, bytes.to_vec()));
        Ok(())
    })?;
    Ok((records, recovered.start(&options())))
}

/// Files of four pages.
fn options() -> LogOptions {
    LogOptions { file_bytes: 4 * PAGE_BYTES as u64, reserve_files: 1, reserve_bytes: 0 }
}

/// A log with groups of one and of several pages, marks, and two epochs.
fn sound() -> &'static DiskImage {
    static SOUND: OnceLock<DiskImage> = OnceLock::new();
    SOUND.get_or_init(|| {
        let (env, sim) = Env::simulated(2);
        let log = Log::create(&env, DIR, LOG, &options()).expect("a new log");
        let mut log = write(log, &[10, 6_000]);
        log.write_synced_mark().expect("a mark");
        drop(log);
        let (_, log) = recover(&env).expect("a sound log");
        drop(write(log.expect("a log that goes on"), &[20, 9_000, 30]));
        sim.image()
    })
}

fn write(mut log: Log, lengths: &[usize]) -> Log {
    for length in lengths {
        let seq = log.last_seq().next().expect("a number");
        log.write_group(&[(seq, Bytes::from(vec![7; *length]))]).expect("a group");
        log.sync().expect("a sync");
    }
    log
}

/// Sets the checksum of a page right: of the header or of any other.
fn seal(file: &mut [u8], page: usize) {
    let Some(bytes) = file.get_mut(page * PAGE_BYTES..(page + 1) * PAGE_BYTES) else { return };
    if page == 0 {
        let checksum = crc32c::crc32c(&bytes[..PAGE_BYTES - 4]);
        bytes[PAGE_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    } else {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(LOG.as_bytes()), &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    }
}

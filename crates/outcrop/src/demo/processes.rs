//! The processes of this machine, from `/proc`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use procfs::ProcError;
use procfs::process::{Process as ProcessFiles, Stat, all_processes};

/// A process number is used again after a while; with the start it is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ProcessKey {
    pub(super) pid: i32,
    pub(super) started_at: SystemTime,
}

/// What `/proc` says of one process. Counters run from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) parent_pid: i32,
    pub(super) threads: i32,
    pub(super) cpu_ms: i64,
    pub(super) resident_bytes: i64,
    /// `None` if it is not ours to see.
    pub(super) disk: Option<DiskBytes>,
}

/// Bytes that the threads of a process moved through the storage layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DiskBytes {
    pub(super) read: i64,
    pub(super) written: i64,
}

/// All processes at one moment.
pub(super) type Processes = BTreeMap<ProcessKey, Process>;

/// What a process used since it was looked at before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) key: ProcessKey,
    pub(super) cpu_ms: i64,
    pub(super) resident_bytes: i64,
    pub(super) disk: Option<DiskBytes>,
}

/// What happened between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) started: u64,
    pub(super) ended: u64,
    /// One for each process that runs.
    pub(super) samples: Vec<Sample>,
}

/// Reads `/proc`.
#[derive(Debug)]
pub(super) struct ProcessReader {
    boot: SystemTime,
    ticks_per_second: u64,
    page_bytes: u64,
}

impl ProcessReader {
    pub(super) fn new() -> Result<Self> {
        let boot_s = procfs::boot_time_secs().context("read the time of boot from /proc/stat")?;
        Ok(Self {
            boot: UNIX_EPOCH + Duration::from_secs(boot_s),
            ticks_per_second: procfs::ticks_per_second().max(1),
            page_bytes: procfs::page_size(),
        })
    }

    /// The processes now. One that ends while it is read is left out.
    pub(super) fn read(&self) -> Result<Processes> {
        let mut processes = Processes::new();
        for process in all_processes().context("list the processes in /proc")? {
            let Ok((process, stat)) = process.and_then(|process| process.stat().map(|stat| (process, stat))) else {
                continue;
            };
            let disk = disk_bytes(&process);
            let key = ProcessKey { pid: stat.pid, started_at: self.boot + self.time(stat.starttime) };
            processes.insert(key, self.process(stat, disk));
        }
        // At the very least we run ourselves.
        ensure!(!processes.is_empty(), "no process in /proc can be read");
        Ok(processes)
    }

    fn process(&self, stat: Stat, disk: Option<DiskBytes>) -> Process {
        let cpu = self.time(stat.utime.saturating_add(stat.stime));
        Process {
            name: stat.comm,
            state: state_name(stat.state).to_owned(),
            parent_pid: stat.ppid,
            threads: i32::try_from(stat.num_threads).unwrap_or(i32::MAX),
            cpu_ms: i64::try_from(cpu.as_millis()).unwrap_or(i64::MAX),
            resident_bytes: signed(stat.rss.saturating_mul(self.page_bytes)),
            disk,
        }
    }

    fn time(&self, ticks: u64) -> Duration {
        let ms = u128::from(ticks) * 1_000 / u128::from(self.ticks_per_second);
        Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }
}

/// Of the threads that run. What `/proc/PID/io` says would jump by all that a child did when the child is waited for, and
/// that was counted before as the child's.
fn disk_bytes(process: &ProcessFiles) -> Option<DiskBytes> {
    let mut sum = DiskBytes { read: 0, written: 0 };
    for thread in process.tasks().ok()? {
        // A thread that has ended meanwhile cannot be asked; nor can any thread of somebody else's process.
        match thread.and_then(|thread| thread.io()) {
            Ok(io) => {
                sum.read = sum.read.saturating_add(signed(io.read_bytes));
                sum.written = sum.written.saturating_add(signed(io.write_bytes));
            }
            Err(ProcError::NotFound(_)) => {}
            Err(_) => return None,
        }
    }
    Some(sum)
}

/// What changed from one look to the next. A process that is new used everything since its start.
pub(super) fn difference(before: &Processes, now: &Processes) -> Difference {
    let started = now.keys().filter(|key| !before.contains_key(key)).count();
    let ended = before.keys().filter(|key| !now.contains_key(key)).count();
    let sample = |(key, process): (&ProcessKey, &Process)| {
        let earlier = before.get(key);
        Sample {
            key: *key,
            cpu_ms: since(process.cpu_ms, earlier.map(|earlier| earlier.cpu_ms)),
            resident_bytes: process.resident_bytes,
            disk: process.disk.map(|disk| DiskBytes {
                read: since(disk.read, earlier.and_then(|earlier| earlier.disk).map(|disk| disk.read)),
                written: since(disk.written, earlier.and_then(|earlier| earlier.disk).map(|disk| disk.written)),
            }),
        }
    };
    Difference { started: to_u64(started), ended: to_u64(ended), samples: now.iter().map(sample).collect() }
}

/// The kernel's counters may go back a little when threads end; that counts as nothing.
fn since(now: i64, before: Option<i64>) -> i64 {
    now.saturating_sub(before.unwrap_or(0)).max(0)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The letters of `/proc/PID/stat` in words.
fn state_name(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "waiting for disk",
        'Z' => "zombie",
        'T' => "stopped",
        't' => "traced",
        'X' | 'x' => "dead",
        'I' => "idle",
        'P' => "parked",
        _ => "unknown",
    }
}

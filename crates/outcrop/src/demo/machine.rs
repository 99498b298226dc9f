//! The machine's processes, from /proc.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use procfs::process::{Process as Entry, all_processes};

/// A process as it is now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// When it began, in µs since 1970: a pid alone is used again.
    pub(super) started_us: i64,
    pub(super) parent: i32,
    pub(super) name: String,
    pub(super) state: char,
    pub(super) threads: i64,
    /// Processor time since the last look, in percent of one processor.
    pub(super) cpu_percent: f64,
    pub(super) memory_bytes: u64,
    /// From storage; 0 for processes of others, which do not show it.
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// Reads processes and remembers what it needs for differences.
#[derive(Debug)]
pub(super) struct Machine {
    boot_us: i64,
    ticks_per_second: u64,
    page_bytes: u64,
    /// Processor ticks at the last look, by pid and start.
    ticks: HashMap<(i32, u64), u64>,
    last: Option<Instant>,
}

impl Machine {
    pub(super) fn new() -> Result<Self> {
        let boot = procfs::boot_time_secs().context("read /proc/stat")?;
        Ok(Self {
            boot_us: i64::try_from(boot).unwrap_or(0).saturating_mul(1_000_000),
            ticks_per_second: procfs::ticks_per_second().max(1),
            page_bytes: procfs::page_size(),
            ticks: HashMap::new(),
            last: None,
        })
    }

    /// All processes. One that ends while it is looked at is left out.
    pub(super) fn look(&mut self) -> Result<Vec<Process>> {
        let entries = all_processes().context("read /proc")?;
        let now = Instant::now();
        let seconds = self.last.replace(now).map_or(0.0, |last| now.duration_since(last).as_secs_f64());
        let mut ticks = HashMap::with_capacity(self.ticks.len());
        let mut processes = Vec::new();
        for entry in entries.flatten() {
            if let Some(process) = self.process(&entry, seconds, &mut ticks) {
                processes.push(process);
            }
        }
        self.ticks = ticks;
        Ok(processes)
    }

    /// This process alone.
    pub(super) fn own(&mut self) -> Result<Process> {
        let entry = Entry::myself().context("read /proc/self")?;
        let now = Instant::now();
        let seconds = self.last.replace(now).map_or(0.0, |last| now.duration_since(last).as_secs_f64());
        let mut ticks = HashMap::new();
        let process = self.process(&entry, seconds, &mut ticks).context("read /proc/self/stat")?;
        self.ticks = ticks;
        Ok(process)
    }

    fn process(&self, entry: &Entry, seconds: f64, ticks: &mut HashMap<(i32, u64), u64>) -> Option<Process> {
        let stat = entry.stat().ok()?;
        let io = entry.io().ok();
        let key = (stat.pid, stat.starttime);
        let spent = stat.utime.saturating_add(stat.stime);
        ticks.insert(key, spent);
        let before = self.ticks.get(&key).copied().unwrap_or(spent);
        let started = u128::from(stat.starttime) * 1_000_000 / u128::from(self.ticks_per_second);
        Some(Process {
            pid: stat.pid,
            started_us: self.boot_us.saturating_add(i64::try_from(started).unwrap_or(i64::MAX)),
            parent: stat.ppid,
            name: stat.comm,
            state: stat.state,
            threads: stat.num_threads,
            cpu_percent: percent(spent.saturating_sub(before), self.ticks_per_second, seconds),
            memory_bytes: stat.rss.saturating_mul(self.page_bytes),
            read_bytes: io.as_ref().map_or(0, |io| io.read_bytes),
            written_bytes: io.as_ref().map_or(0, |io| io.write_bytes),
        })
    }
}

/// Ticks in a time as percent of one processor, with one digit after the point.
pub(super) fn percent(ticks: u64, ticks_per_second: u64, seconds: f64) -> f64 {
    if seconds <= 0.0 {
        return 0.0;
    }
    // Ticks of one look are far below 2^32.
    let ticks = f64::from(u32::try_from(ticks).unwrap_or(u32::MAX));
    let per_second = f64::from(u32::try_from(ticks_per_second).unwrap_or(u32::MAX));
    (ticks / per_second / seconds * 1_000.0).round() / 10.0
}

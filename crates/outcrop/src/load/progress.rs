//! How far a load is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::terminal::{grouped, note};

/// Progress through the bytes of a file.
#[derive(Debug)]
pub(super) struct Progress {
    total: u64,
    begin: Instant,
    last: Instant,
    is_terminal: bool,
    is_drawn: bool,
}

impl Progress {
    /// Through so many bytes; 0 if nobody knows.
    pub(super) fn begin(total: u64) -> Self {
        let now = Instant::now();
        let is_terminal = std::io::stderr().is_terminal();
        Self { total, begin: now, last: now, is_terminal, is_drawn: false }
    }

    /// So many rows are stored, from so many bytes of the file.
    pub(super) fn show(&mut self, rows: u64, taken: u64) {
        let pause = if self.is_terminal { REDRAW } else { REPORT };
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let line = line(rows, taken, self.total, self.begin.elapsed());
        if self.is_terminal {
            self.is_drawn = true;
            // A terminal that is gone is told nothing.
            write!(std::io::stderr(), "\r\x1b[K{line}").unwrap_or_default();
        } else {
            note(&line);
        }
    }

    /// Makes room for other lines.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            write!(std::io::stderr(), "\r\x1b[K").unwrap_or_default();
        }
    }

    /// Time since the begin.
    pub(super) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }
}

/// `[#####     ]  51 %  1,234,000 rows  98,000 rows/s  12 MB/s`
pub(super) fn line(rows: u64, taken: u64, total: u64, elapsed: Duration) -> String {
    let bytes = per_second(taken, elapsed);
    let megabytes = format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    let (rows, rate) = (grouped(rows), grouped(per_second(rows, elapsed)));
    if total == 0 {
        // Nobody knows how much a pipe still brings.
        return format!("{rows} rows  {rate} rows/s  {megabytes} MB/s");
    }
    let percent = taken.min(total).saturating_mul(100).checked_div(total).unwrap_or(100);
    let filled = usize::try_from(percent / PERCENT_PER_MARK).unwrap_or(0);
    let bar = format!("{}{}", "#".repeat(filled), " ".repeat(MARKS.saturating_sub(filled)));
    format!("[{bar}] {percent:3} %  {rows} rows  {rate} rows/s  {megabytes} MB/s")
}

/// A rate, rounded down.
pub(super) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(count) * 1_000 / ms).unwrap_or(u64::MAX)
}

const MARKS: usize = 25;
const PERCENT_PER_MARK: u64 = 4;
const REDRAW: Duration = Duration::from_millis(100);
const REPORT: Duration = Duration::from_secs(5);

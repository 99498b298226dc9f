//! Rows that were not stored: the file that keeps them, and what is said of them.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::batch::Rejected;
use crate::terminal::{fit, grouped, note};

/// Writes `FILE.rejects`: CSV with the line, the reason, and the row itself as CSV.
pub(super) struct Rejects {
    path: PathBuf,
    place: &'static str,
    most: u64,
    count: u64,
    writer: Option<csv::Writer<BufWriter<File>>>,
}

impl Rejects {
    /// For the rows of `file`; the file of rejects is made with the first one. `place` is what a line of it is called.
    pub(super) fn new(file: &Path, place: &'static str, most: u64) -> Self {
        let mut path = file.as_os_str().to_owned();
        path.push(".rejects");
        Self { path: path.into(), place, most, count: 0, writer: None }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a row.
    ///
    /// # Errors
    /// If it cannot be written, or if there are too many.
    pub(super) fn add(&mut self, rejected: &Rejected) -> Result<()> {
        self.count += 1;
        self.write(rejected).with_context(|| format!("write {}", self.path.display()))?;
        let reason = fit(&rejected.reason.replace(['\n', '\r'], " "), REASON_WIDTH_MAX);
        match self.count {
            0..=SHOWN_MAX => note(&format!("rejected {} {}: {reason}", self.place, rejected.line)),
            SHOWN_NEXT => note(&format!("rejected more; see {}", self.path.display())),
            _ => {}
        }
        if self.count > self.most {
            self.flush()?;
            bail!(
                "gave up: more than {} rows are rejected (--rejects-max); see {}",
                grouped(self.most),
                self.path.display()
            );
        }
        Ok(())
    }

    /// Leaves nothing in memory.
    pub(super) fn flush(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush().with_context(|| format!("write {}", self.path.display())),
            None => Ok(()),
        }
    }

    fn write(&mut self, rejected: &Rejected) -> Result<()> {
        if self.writer.is_none() {
            let mut writer = csv::Writer::from_writer(BufWriter::new(File::create(&self.path)?));
            writer.write_record([self.place, "reason", "row"])?;
            self.writer = Some(writer);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_record([&rejected.line.to_string(), &rejected.reason, &row(rejected)?])?;
        Ok(())
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        // Who ends early has an error to tell already.
        self.flush().unwrap_or_default();
    }
}

/// The row as a line of CSV.
fn row(rejected: &Rejected) -> Result<String> {
    // What was no row in the first place is kept as it was.
    if let [Some(only)] = rejected.cells.as_slice() {
        return Ok(only.clone());
    }
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    writer.write_record(rejected.cells.iter().map(|cell| cell.as_deref().unwrap_or_default()))?;
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned())
}

/// How many are shown one by one.
const SHOWN_MAX: u64 = 10;
const SHOWN_NEXT: u64 = SHOWN_MAX + 1;
const REASON_WIDTH_MAX: usize = 200;

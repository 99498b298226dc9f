//! Collects what the checks find and prints it with file, line and the fix.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{layers, sources, texts};
use crate::{cache, command};

/// Findings of all checks.
#[derive(Default)]
pub(crate) struct Report {
    findings: Vec<String>,
}

impl Report {
    /// Adds a finding at a line of a file; line 0 means the file as a whole.
    pub(super) fn add(&mut self, path: &Path, line: usize, what: impl AsRef<str>) {
        let place = if line == 0 { path.display().to_string() } else { format!("{}:{line}", path.display()) };
        self.findings.push(format!("{place}: {}", what.as_ref()));
    }
}

/// Runs every check and prints the findings.
pub(crate) fn run() -> Result<()> {
    let root = cache::repository();
    let files = tracked_files(&root)?;
    let mut report = Report::default();
    layers::check(&root, &mut report)?;
    sources::check(&root, &files, &mut report)?;
    texts::check(&root, &files, &mut report)?;
    for finding in &report.findings {
        println!("{finding}");
    }
    match report.findings.len() {
        0 => Ok(()),
        count => bail!("tidy found {count} problems"),
    }
}

/// Files that git knows, and new ones it does not ignore.
fn tracked_files(root: &Path) -> Result<Vec<PathBuf>> {
    let list = command::output(Command::new("git").current_dir(root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))
    .context("list the files of the repository")?;
    let mut files: Vec<PathBuf> = list.lines().map(PathBuf::from).filter(|file| root.join(file).is_file()).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

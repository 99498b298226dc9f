//! Documents and other files: change log, decision records, sizes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::report::Report;

/// Largest file outside `tests/formats`; larger test data is fetched at test time.
const BLOB_BYTES_MAX: u64 = 64 << 10;
/// Text files that grow by nature.
const LARGE_ALLOWED: [&str; 2] = ["Cargo.lock", "fuzz/Cargo.lock"];

pub(super) fn check(root: &Path, files: &[PathBuf], report: &mut Report) -> Result<()> {
    check_sizes(root, files, report)?;
    check_changelog(root, report)?;
    check_decisions(root, files, report)
}

fn check_sizes(root: &Path, files: &[PathBuf], report: &mut Report) -> Result<()> {
    for file in files {
        if file.starts_with("tests/formats") || LARGE_ALLOWED.iter().any(|name| file == Path::new(name)) {
            continue;
        }
        let bytes = std::fs::metadata(root.join(file)).with_context(|| format!("look at {}", file.display()))?.len();
        if bytes > BLOB_BYTES_MAX {
            report.add(file, 0, format!("{bytes} bytes; keep files below {BLOB_BYTES_MAX}, fetch test data instead"));
        }
    }
    Ok(())
}

fn check_changelog(root: &Path, report: &mut Report) -> Result<()> {
    let path = Path::new("CHANGELOG.md");
    let text = std::fs::read_to_string(root.join(path)).context("read CHANGELOG.md")?;
    if !text.contains("\n## Unreleased\n") {
        report.add(path, 0, "no section `## Unreleased`");
    }
    Ok(())
}

/// Every decision record is in the index, and the index names no other.
fn check_decisions(root: &Path, files: &[PathBuf], report: &mut Report) -> Result<()> {
    let folder = Path::new("docs/adr");
    let index_path = folder.join("README.md");
    let index = std::fs::read_to_string(root.join(&index_path)).context("read docs/adr/README.md")?;
    for file in files.iter().filter(|file| file.starts_with(folder) && !file.ends_with("README.md")) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !index.contains(&format!("({name})")) {
            report.add(&index_path, 0, format!("{name} is not in the index"));
        }
    }
    for (number, line) in index.lines().enumerate() {
        if let Some(name) = line.split_once("](").and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name)
            && !files.contains(&folder.join(name))
        {
            report.add(&index_path, number + 1, format!("{name} does not exist"));
        }
    }
    Ok(())
}

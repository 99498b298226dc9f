//! Rust sources: lengths, names, headings, banned calls, dead files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::report::Report;

/// A production file above this needs a line that says why.
const LINES_WANTED: usize = 800;
/// No production file is longer.
const LINES_MAX: usize = 1_200;
/// The line that allows a long file.
const LONG_BECAUSE: &str = "// tidy: long because";
/// Headings of every crate root, in this order (style rule 18).
const HEADINGS: [&str; 4] = ["# What it is not", "# Flow", "# Invariants", "# Start reading at"];
/// Module names that say nothing (style rule 12).
const NAMES: [&str; 8] = ["common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"];

/// Text that production code must not hold, where it may all the same, and what to use.
const BANNED: [(&str, &[&str], &str); 9] = [
    (
        "std::fs",
        &[
            "crates/env/",
            "crates/outcrop/",
            "crates/server/src/tls",
            "crates/server/src/config",
            "crates/server/src/auth",
        ],
        "use env.disk",
    ),
    ("std::thread", &["crates/env/", "crates/outcrop/", "crates/server/src/config"], "use env.tasks"),
    ("std::time::Instant", &["crates/env/", "crates/outcrop/"], "use env.clock"),
    ("SystemTime::now", &["crates/env/", "crates/outcrop/"], "use env.clock"),
    ("std::sync::Mutex", &[], "use parking_lot::Mutex"),
    ("unbounded_channel", &[], "every queue has a limit (style rule 47)"),
    ("TcpListener::bind", &["crates/server/", "crates/outcrop/"], "only `server` binds sockets"),
    ("fs::rename", &["crates/env/"], "use env.disk.publish (S5)"),
    ("todo!(", &[], "finish it"),
];

pub(super) fn check(root: &Path, files: &[PathBuf], report: &mut Report) -> Result<()> {
    let sources: Vec<&PathBuf> = files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter(|file| !file.starts_with("third_party"))
        .collect();
    let known: BTreeSet<&Path> = sources.iter().map(|file| file.as_path()).collect();
    for file in sources {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("read {}", file.display()))?;
        check_reasons(file, &text, report);
        if is_test(file) {
            continue;
        }
        check_length(file, &text, report);
        check_name(file, report);
        check_index_page(file, &text, report);
        check_banned(file, &text, report);
        if is_crate_root(file) {
            check_headings(file, &text, report);
        } else {
            check_alive(root, file, &known, report)?;
        }
    }
    Ok(())
}

/// Test code lives in `tests.rs`, in `tests/` folders, and in crates that never ship.
fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs")
        || file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
        || file.starts_with("crates/testkit")
        || file.starts_with("crates/fuzzing")
        || file.starts_with("fuzz")
        || file.starts_with("crates/sim")
}

fn is_crate_root(file: &Path) -> bool {
    (file.ends_with("src/lib.rs") || file.ends_with("src/main.rs")) && file.components().count() <= 4
}

fn check_length(file: &Path, text: &str, report: &mut Report) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        report.add(file, 0, format!("{lines} lines; {LINES_MAX} is the end: split it"));
    } else if lines > LINES_WANTED && !text.contains(LONG_BECAUSE) {
        report.add(file, 0, format!("{lines} lines; split it, or say why in a line `{LONG_BECAUSE} …`"));
    }
}

fn check_name(file: &Path, report: &mut Report) {
    let is_named = |name: &str| NAMES.contains(&name);
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    let folder = file.parent().and_then(Path::file_name).and_then(|folder| folder.to_str());
    if stem.is_some_and(is_named) || folder.is_some_and(is_named) {
        report.add(file, 0, "the name says nothing; name the thing that is inside");
    }
}

/// `mod.rs` is a folder's index page: docs, `mod` and `use` lines (style rule 4).
fn check_index_page(file: &Path, text: &str, report: &mut Report) {
    if !file.ends_with("mod.rs") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if ["fn ", "pub fn ", "pub(crate) fn ", "impl ", "impl<", "struct ", "pub struct "]
            .iter()
            .any(|start| code.starts_with(start))
        {
            report.add(file, number + 1, "logic in mod.rs; give it a named file");
            return;
        }
    }
}

fn check_banned(file: &Path, text: &str, report: &mut Report) {
    if file.starts_with("xtask") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (banned, allowed, instead) in BANNED {
            if line.contains(banned) && !allowed.iter().any(|place| file.to_string_lossy().starts_with(place)) {
                report.add(file, number + 1, format!("`{banned}` is not allowed here; {instead}"));
            }
        }
    }
}

fn check_headings(file: &Path, text: &str, report: &mut Report) {
    let mut from = 0;
    for heading in HEADINGS {
        let line = format!("//! {heading}\n");
        match text.get(from..).and_then(|rest| rest.find(&line)) {
            Some(at) => from += at,
            None => report.add(
                file,
                0,
                format!("the crate's docs lack the heading `{heading}` (in this order: {})", HEADINGS.join(", ")),
            ),
        }
    }
}

/// A file that no `mod` line names is dead.
fn check_alive(root: &Path, file: &Path, known: &BTreeSet<&Path>, report: &mut Report) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let (name, parent) =
        if file.ends_with("mod.rs") { (folder.file_name(), folder.parent()) } else { (file.file_stem(), Some(folder)) };
    let (Some(name), Some(parent)) = (name.and_then(|name| name.to_str()), parent) else { return Ok(()) };
    if name == "build" {
        return Ok(());
    }
    let candidates =
        [parent.join("mod.rs"), parent.join("lib.rs"), parent.join("main.rs"), parent.with_extension("rs")];
    let wanted = format!("mod {name};");
    for candidate in candidates.iter().filter(|candidate| known.contains(candidate.as_path())) {
        let text =
            std::fs::read_to_string(root.join(candidate)).with_context(|| format!("read {}", candidate.display()))?;
        if text.contains(&wanted) {
            return Ok(());
        }
    }
    report.add(file, 0, "no `mod` line names this file; delete it");
    Ok(())
}

/// Exceptions carry their reason, everywhere.
fn check_reasons(file: &Path, text: &str, report: &mut Report) {
    if file.starts_with("xtask/src/tidy") {
        return;
    }
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        if code.contains("#[ignore]") {
            report.add(file, index + 1, "`#[ignore]` without a reason");
        }
        if code.contains("FIXME") || code.contains("XXX:") {
            report.add(file, index + 1, "leftover mark; do it, or open an issue");
        }
        if code.starts_with("#[allow(") || code.starts_with("#[expect(") || code.starts_with("#![expect(") {
            let rest: String = lines.iter().skip(index).take(8).copied().collect();
            if !rest.split_once(")]").is_some_and(|(attribute, _)| attribute.contains("reason = ")) {
                report.add(file, index + 1, "a lint exception without `reason = \"…\"`");
            }
        }
    }
}

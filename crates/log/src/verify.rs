//! Offline verification, for `outcrop check`.

use std::fmt;

use outcrop_env::Env;
use outcrop_format::frame::{FrameError, PAGE_BYTES};
use outcrop_types::{CommitSeq, LogId, Result};

use crate::files::{FoundFiles, log_file_name};
use crate::walk::{Place, walk};

/// What a log holds and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogReport {
    /// Files that hold the log or are ready for it.
    pub files: u64,
    /// Groups, marks included.
    pub groups: u64,
    /// Records.
    pub records: u64,
    /// The last commit before the oldest group.
    pub before_first: CommitSeq,
    /// The newest record's.
    pub last_seq: CommitSeq,
    /// Everything that is wrong. Empty for a sound log, also after a crash.
    pub problems: Vec<LogProblem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProblem {
    /// Path of the file.
    pub file: String,
    /// Byte in it.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for LogProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: {}", self.file, self.offset, self.what)
    }
}

/// Reads a whole log as recovery does, but changes nothing, and goes on after a problem.
///
/// # Errors
/// Only what keeps it from reading at all: I/O errors, another log's files, an unknown format.
pub fn verify(env: &Env, dir: &str, id: LogId) -> Result<LogReport> {
    let found = FoundFiles::read(env, dir, id)?;
    let walked = walk(env, id, &found.run, &mut |_, _| Ok(()))?;
    let mut problems = Vec::new();
    let problem = |place: Place, what: String| {
        let file = found.run.get(place.file).map_or_else(|| dir.to_owned(), |file| env.disk.describe(&file.name));
        LogProblem { file, offset: place.page * PAGE_BYTES as u64, what }
    };
    if found.run.is_empty() {
        problems.push(problem(Place { file: 0, page: 0 }, "there is no log file".to_owned()));
    }
    if let Some(missing) = found.gap {
        let name = log_file_name(dir, missing)?;
        let what = format!("the file is missing, {} older files are cut off", found.stragglers.len());
        problems.push(LogProblem { file: env.disk.describe(&name), offset: 0, what });
    }
    for (index, file) in found.run.iter().enumerate() {
        if let Some(error) = file.header_error
            && file.first < walked.synced_to
        {
            problems.push(problem(Place { file: index, page: 0 }, error.to_string()));
        }
    }
    let (bad, position, reason) = walked.bad;
    if !found.run.is_empty() && walked.before_first.is_none() {
        problems.push(problem(bad, format!("no group can be read: {reason}")));
    } else if position < walked.synced_to && bad.page > 0 {
        problems.push(problem(bad, reason.to_string()));
    }
    for (place, position, error) in &walked.damaged {
        // Blank pages are damage too where the log says that it was written.
        if *position < walked.synced_to && *place != bad {
            problems.push(problem(*place, FrameError::to_string(error)));
        }
    }
    Ok(LogReport {
        files: found.run.len() as u64,
        groups: walked.groups,
        records: walked.records,
        before_first: walked.before_first.unwrap_or_default(),
        last_seq: walked.last_seq,
        problems,
    })
}

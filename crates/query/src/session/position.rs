//! Positions in the order of commits, as users see them (architecture F7).

use std::fmt;
use std::str::FromStr;

use outcrop_types::{CommitSeq, Condition, Error, LogId};

/// A place in the order of commits of one log. Its text form is opaque: compare positions by waiting for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    log: LogId,
    seq: CommitSeq,
}

impl Position {
    pub(crate) fn new(log: LogId, seq: CommitSeq) -> Self {
        Self { log, seq }
    }

    /// The commit, if this is a position of `log`.
    pub(crate) fn within(self, log: LogId) -> Result<CommitSeq, Error> {
        if self.log == log {
            return Ok(self.seq);
        }
        Err(Error::new(Condition::InvalidParameterValue, format!("position \"{self}\" belongs to another database"))
            .with_hint("Use a position that this server returned."))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.log, self.seq.get())
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::new(Condition::InvalidParameterValue, format!("invalid position: \"{text}\""))
                .with_hint("Use the text of outcrop.commit_seq as the server returned it.")
        };
        let (log, seq) = text.split_once('-').ok_or_else(invalid)?;
        let log = log.parse().map_err(|error| invalid().with_source(error))?;
        let seq = u64::from_str_radix(seq, 16).map_err(|error| invalid().with_source(error))?;
        Ok(Self { log, seq: CommitSeq::new(seq) })
    }
}

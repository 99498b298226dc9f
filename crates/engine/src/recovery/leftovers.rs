//! Files that belong to nothing: what a crash left of segments, key runs, victims, dead rows and manifests that never became part of the log.

use std::collections::BTreeSet;

use outcrop_env::{Env, FileName, reached};
use outcrop_segment::{LiveFiles, orphans};
use outcrop_types::{Result, UnitId};

use super::identity::Identity;
use crate::files::{FileError, TEMPORARY};
use crate::manifest::{deletes_file_name, is_deletes_file};
use crate::node::{MANIFEST_DIR, SEGMENT_DIR, STAGED_DIR};

/// What manifests and records name.
pub(crate) struct Claimed<'a> {
    pub(crate) identity: &'a Identity,
    /// Segments whose files stay.
    pub(crate) segments: &'a BTreeSet<UnitId>,
    /// Key runs whose files stay.
    pub(crate) key_runs: &'a BTreeSet<UnitId>,
    /// Files of dead rows that stay, by number.
    pub(crate) deletes_files: &'a [u64],
    /// Victims files that stay, by name from the root.
    pub(crate) victims_files: &'a [String],
}

/// The files of ours that nothing claims. To be asked while nothing is being written.
///
/// # Errors
/// `IoError` when a directory cannot be listed.
pub(crate) fn find_leftovers(env: &Env, claimed: &Claimed<'_>) -> Result<Vec<FileName>> {
    let of_log = |units: &BTreeSet<UnitId>| units.iter().map(|unit| (claimed.identity.log_of(*unit), *unit)).collect();
    let live = LiveFiles { segments: of_log(claimed.segments), key_runs: of_log(claimed.key_runs) };
    let mut leftovers = orphans(env, SEGMENT_DIR, &live)?;
    let is_temporary = |name: &FileName| name.base().rsplit_once('.').is_some_and(|(_, suffix)| suffix == TEMPORARY);
    for dir in ["", MANIFEST_DIR] {
        let entries = env.disk.list(dir).map_err(|error| FileError::new("list", dir, error))?;
        leftovers.extend(entries.into_iter().map(|entry| entry.name).filter(is_temporary));
    }
    let claimed_deletes: Vec<FileName> =
        claimed.deletes_files.iter().map(|number| deletes_file_name(*number)).collect::<Result<_>>()?;
    let entries = env.disk.list(MANIFEST_DIR).map_err(|error| FileError::new("list", MANIFEST_DIR, error))?;
    let deletes = entries.into_iter().map(|entry| entry.name).filter(is_deletes_file);
    leftovers.extend(deletes.filter(|name| !claimed_deletes.contains(name)));
    let entries = env.disk.list(STAGED_DIR).map_err(|error| FileError::new("list", STAGED_DIR, error))?;
    let victims = entries.into_iter().map(|entry| entry.name);
    leftovers.extend(victims.filter(|name| !claimed.victims_files.iter().any(|claimed| claimed == name.as_str())));
    if !leftovers.is_empty() {
        reached!("start.files_left_over");
    }
    Ok(leftovers)
}

//! The folder where queries of one database spill.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use outcrop_types::LogId;

/// Spilled rows are as private as the data.
const FOLDER_MODE: u32 = 0o700;

/// A folder of its own below the one that the configuration names, which may hold other things and is never cleared.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
}

impl SpillFolder {
    /// Makes the folder of the database `log_id` in `data`, empty: what a killed server left there goes.
    ///
    /// The name holds the identity of the data directory too, since a copy of it has the same [`LogId`]. The caller has
    /// the lock on `data`, so nobody else uses this folder.
    pub(crate) fn claim(parent: &Path, data: &Path, log_id: LogId) -> Result<Self> {
        let place = fs::metadata(data).with_context(|| format!("look at {}", data.display()))?;
        let path = parent.join(format!("outcrop-spill-{log_id}-{:x}-{:x}", place.dev(), place.ino()));
        let claimed = || {
            fs::create_dir_all(parent)?;
            remove(&path)?;
            DirBuilder::new().mode(FOLDER_MODE).create(&path)
        };
        claimed().with_context(|| format!("make the spill folder {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the folder away, once no query runs. If that fails, the next start does it.
    pub(crate) fn leave(self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the spill folder");
        }
    }
}

/// Removes a folder, or the link in its place, if there is one.
fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use outcrop_types::LogId;

    use super::SpillFolder;

    #[test]
    fn only_the_own_folder_is_cleared() {
        let parent = tempfile::tempdir().unwrap();
        let (data, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log_id = LogId::from_bytes([7; 16]);
        fs::write(parent.path().join("thesis.txt"), "mine").unwrap();
        fs::create_dir(parent.path().join("outcrop-spill-of-somebody")).unwrap();
        let folder = SpillFolder::claim(parent.path(), data.path(), log_id).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let left = folder.path().join("left");
        fs::write(&left, "by a killed server").unwrap();
        let other = SpillFolder::claim(parent.path(), copy.path(), log_id).unwrap();
        assert_ne!(other.path(), folder.path(), "a copy of the database has a folder of its own");
        assert!(left.exists());
        let again = SpillFolder::claim(parent.path(), data.path(), log_id).unwrap();
        assert!(!left.exists());
        again.leave();
        other.leave();
        let mut kept: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        kept.sort();
        assert_eq!(kept, ["outcrop-spill-of-somebody", "thesis.txt"]);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (data, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(target.path().join("thesis.txt"), "mine").unwrap();
        let log_id = LogId::from_bytes([7; 16]);
        let path = SpillFolder::claim(parent.path(), data.path(), log_id).unwrap().path().to_owned();
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(target.path(), &path).unwrap();
        let folder = SpillFolder::claim(parent.path(), data.path(), log_id).unwrap();
        assert!(target.path().join("thesis.txt").exists());
        assert!(!fs::symlink_metadata(folder.path()).unwrap().is_symlink());
    }
}

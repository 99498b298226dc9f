//! What is at a path of this machine, for those who are about to make a directory their own there.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Missing,
    /// A directory without a file in it, or in its directories.
    Empty,
    /// A directory with this in it.
    Occupied(PathBuf),
    /// No directory.
    NotADirectory,
}

/// Looks what is at `path`, following links.
///
/// # Errors
/// What the operating system says, `PermissionDenied` among it.
pub fn look(path: &Path) -> io::Result<Place> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::Missing),
        Err(error) => Err(error),
        Ok(found) if !found.is_dir() => Ok(Place::NotADirectory),
        Ok(_) => Ok(first_file(path)?.map_or(Place::Empty, Place::Occupied)),
    }
}

/// Whether `inner` is `outer` or lies in it, whatever links lead there. Neither has to be there yet.
///
/// # Errors
/// What the operating system says of the directories on the way.
pub fn is_within(inner: &Path, outer: &Path) -> io::Result<bool> {
    Ok(real_path(inner)?.starts_with(real_path(outer)?))
}

/// The first thing that is no directory.
fn first_file(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let found = if entry.file_type()?.is_dir() { first_file(&path)? } else { Some(path) };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The path without links, as far as it is there.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut there = path.as_path();
    let mut found = loop {
        match fs::canonicalize(there) {
            Ok(found) => break found,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                missing.extend(there.components().next_back());
                there = there.parent().ok_or(error)?;
            }
        }
    };
    for part in missing.into_iter().rev() {
        if part == Component::ParentDir {
            found.pop();
        } else {
            found.push(part);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Place, is_within, look};

    #[test]
    fn a_directory_without_files_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a");
        assert_eq!(look(&dir).unwrap(), Place::Missing);
        std::fs::create_dir_all(dir.join("b/c")).unwrap();
        assert_eq!(look(&dir).unwrap(), Place::Empty);
        let file = dir.join("b/c/file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(look(&dir).unwrap(), Place::Occupied(file.clone()));
        assert_eq!(look(&file).unwrap(), Place::NotADirectory);
    }

    #[test]
    fn a_path_is_seen_through_links() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        assert!(is_within(&data, &data).unwrap());
        assert!(is_within(&link.join("not/yet"), &data).unwrap());
        assert!(is_within(&root.path().join("other/../data/x"), &data).unwrap());
        assert!(!is_within(&root.path().join("data2"), &data).unwrap());
        assert!(!is_within(root.path(), &data).unwrap());
    }
}

//! Directories of this machine for backups and for databases made from them.

use std::io;
use std::path::Path;

use outcrop_env::Env;
use outcrop_env::place::{Place, is_within, look};
use outcrop_types::{Condition, Error, Result};

use super::copy::not_empty;
use super::record::BackupRecord;
use crate::Engine;

/// Makes `path` a directory for a backup of the database: one that is empty or not there yet, outside of its own.
///
/// # Errors
/// `InvalidParameterValue` for a path that is not absolute or leads into the data directory; `ObjectNotInPrerequisiteState` for a directory with
/// files in it; `InsufficientPrivilege`; `IoError`.
pub fn open_target(engine: &Engine, path: &Path) -> Result<Env> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(Error::new(Condition::InvalidParameterValue, format!("\"{shown}\" is not an absolute path"))
            .with_detail("The server writes the backup; it does not know the directory of its client."));
    }
    if let Some(data) = engine.node().env.disk.root()
        && is_within(path, data).map_err(|error| failed("look at", path, error))?
    {
        let message = format!("\"{shown}\" is in the data directory");
        return Err(Error::new(Condition::InvalidParameterValue, message)
            .with_detail(format!("The data directory is {}.", data.display()))
            .with_hint("Choose a directory outside of it, best on another disk."));
    }
    open_empty(path)
}

/// Opens the directory of a backup, which is there.
///
/// # Errors
/// `ObjectNotInPrerequisiteState` when there is none; `InsufficientPrivilege`; `IoError`.
pub fn open_backup(path: &Path) -> Result<Env> {
    match look(path).map_err(|error| failed("look at", path, error))? {
        Place::Empty | Place::Occupied(_) => Env::real(path).map_err(|error| failed("open", path, error)),
        Place::Missing | Place::NotADirectory => {
            let message = format!("there is no directory \"{}\"", path.display());
            Err(Error::new(Condition::ObjectNotInPrerequisiteState, message))
        }
    }
}

/// Makes `path` a directory for a database that is restored from the backup in `backup`.
///
/// # Errors
/// As [`open_target`].
pub fn open_for_restore(backup: &Path, path: &Path) -> Result<Env> {
    if is_within(path, backup).map_err(|error| failed("look at", path, error))? {
        let message = format!("\"{}\" is in the backup", path.display());
        return Err(Error::new(Condition::InvalidParameterValue, message)
            .with_detail(format!("The backup is {}.", backup.display()))
            .with_hint("Choose a directory outside of it."));
    }
    open_empty(path)
}

fn open_empty(path: &Path) -> Result<Env> {
    match look(path).map_err(|error| failed("look at", path, error))? {
        Place::Missing | Place::Empty => Env::real(path).map_err(|error| failed("create", path, error)),
        Place::Occupied(file) if file == path.join(BackupRecord::INCOMPLETE) => {
            Err(Error::new(Condition::ObjectNotInPrerequisiteState, "the directory is not empty")
                .with_detail(format!("\"{}\" holds a backup that was interrupted.", path.display()))
                .with_hint("Remove the directory, or choose another one."))
        }
        Place::Occupied(file) => Err(not_empty(&file.display().to_string())),
        Place::NotADirectory => {
            let message = format!("\"{}\" is not a directory", path.display());
            Err(Error::new(Condition::ObjectNotInPrerequisiteState, message))
        }
    }
}

fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    let condition = if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        Condition::InsufficientPrivilege
    } else if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        Condition::DiskFull
    } else {
        Condition::IoError
    };
    Error::new(condition, format!("could not {verb} directory \"{}\": {error}", path.display())).with_source(error)
}

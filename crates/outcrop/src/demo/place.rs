//! Where the demo keeps its database.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The directory of the database. A temporary one goes when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    stay: Stay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    Kept,
    Removed,
}

impl Place {
    /// `data` if it is given, else a new directory that only this user can read.
    pub(super) fn new(data: Option<&Path>) -> Result<Self> {
        match data {
            Some(path) => Ok(Self { path: path.to_owned(), stay: Stay::Kept }),
            None => Self::temporary(&std::env::temp_dir()),
        }
    }

    pub(super) fn temporary(parent: &Path) -> Result<Self> {
        let process = std::process::id();
        for number in 0..NAMES_MAX {
            let path = parent.join(format!("outcrop-demo-{process}-{number}"));
            // It must be new: anyone may make directories there.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, stay: Stay::Removed }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("create {}", path.display())),
            }
        }
        anyhow::bail!("{} is full of directories of other demos", parent.display())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What to say of it at the start.
    pub(super) fn introduction(&self) -> String {
        match self.stay {
            Stay::Kept => format!("data in {}, which stays", self.path.display()),
            Stay::Removed => format!("data in {}, removed at the end; --data DIR keeps it", self.path.display()),
        }
    }

    /// Ends the use of it. Returns what to say of it.
    pub(super) fn leave(mut self) -> Result<String> {
        let path = self.path.display();
        match self.stay {
            Stay::Kept => Ok(format!("The data stays in {path}; `outcrop serve --data {path}` serves it.")),
            Stay::Removed => {
                // Whatever comes of it, it is not tried again by drop.
                self.stay = Stay::Kept;
                std::fs::remove_dir_all(&self.path).with_context(|| format!("remove {path}"))?;
                Ok(format!("The data in {path} is removed; --data DIR keeps it."))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.stay == Stay::Removed {
            // On the way out of an error, which says more than a directory that stayed.
            std::fs::remove_dir_all(&self.path).unwrap_or_default();
        }
    }
}

const NAMES_MAX: u32 = 100;

//! Everything that is not a pure function: time, chance, files and threads, real or simulated.
//!
//! # What it is not
//! It knows nothing about databases: no format, no path layout, no policy. It retries nothing and hides no error. It has
//! no asynchronous code; network sockets belong to `outcrop-server`.
//!
//! # Flow
//! ```text
//! Env::real(dir)        ─▶ Env { clock, rng, disk, tasks } ─▶ every other crate
//! Env::simulated(seed)  ─▶ the same Env, and a Sim that holds the strings: crash, faults, steps, trace
//! ```
//!
//! # Invariants
//! - E1. Only what was synced survives [`Sim::crash`]; everything else is kept, lost or torn by the seed, each write and
//!   each directory entry by itself.
//! - E2. The same seed and the same calls give the same trace: [`Sim::trace_hash`].
//! - E3. No wake-up is lost: a change followed by [`Signal::notify`] is seen by every worker and waiter.
//! - E4. A panic of a worker is kept and reaches its owner; it never ends silently.
//! - E5. [`Disk::publish`] is the only rename.
//!
//! Places in the code that tests must come to are marked with [`reached!`].
//!
//! # Start reading at
//! [`disk`], then [`tasks`], then [`sim`].

#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod kill_points;
pub mod place;
pub mod reached;
mod real;
pub mod rng;
pub mod sim;
pub mod tasks;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use clock::Clock;
pub use disk::{DirEntry, DirLock, Disk, File, FileName, InvalidFileName, is_out_of_handles};
pub use kill_points::kill_point;
pub use rng::Rng;
pub use sim::{DiskImage, FaultKind, LegalDisks, Moment, Operation, OperationClass, RestingDisk, Sim};
pub use tasks::{Signal, Step, TaskHandle, Tasks, Thread, Worker};

/// The world as the rest of the system sees it. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Background work.
    pub tasks: Arc<dyn Tasks>,
}

impl Env {
    /// The machine, with files below `root`, which is created when it is missing.
    ///
    /// # Errors
    /// When `root` cannot be created or is no directory, or the system has no randomness.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let dir = tempfile::tempdir()?;
    /// let env = outcrop_env::Env::real(dir.path())?;
    /// let name = outcrop_env::FileName::new("notes.new")?;
    /// env.disk.create(&name)?.write_all_at(0, b"hello")?;
    /// env.disk.publish(&name, &outcrop_env::FileName::new("notes")?)?;
    /// assert_eq!(env.disk.list("")?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn real(root: &Path) -> io::Result<Self> {
        Ok(Self {
            clock: Arc::new(real::RealClock::new()),
            rng: Arc::new(real::RealRng::open()?),
            disk: Arc::new(real::RealDisk::open(root)?),
            tasks: Arc::new(real::RealTasks),
        })
    }

    /// A world of its own with an empty disk, that repeats itself for the same seed.
    pub fn simulated(seed: u64) -> (Self, Sim) {
        Sim::from_image(&DiskImage::default(), seed)
    }
}

#[cfg(test)]
mod tests;

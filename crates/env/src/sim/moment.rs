//! A disk between two changes, and every disk that a power cut may leave there.

use super::control::Sim;
use super::fates::Fates;
use super::image::{DiskImage, DiskState};
use super::rng::SimRng;
use crate::Env;

/// The disk at one moment of a workload. Cheap to keep: moments share the bytes that do not change between them.
#[derive(Clone, Debug)]
pub struct Moment {
    changes: u64,
    state: DiskState,
}

impl Moment {
    pub(super) fn new(changes: u64, state: &DiskState) -> Self {
        Self { changes, state: state.clone() }
    }

    /// How often the disk had changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The disks that a power cut may leave now: all of them, if pieces of 512 bytes and names make at most `budget` outcomes;
    /// otherwise `budget` of them, the systematic ones first.
    pub fn disks(&self, budget: usize, seed: u64) -> LegalDisks<'_> {
        let all = Fates::all(&self.state.waiting_pieces(), self.state.waiting().1, budget);
        let is_complete = all.is_some();
        let rng = SimRng::new(seed, self.changes);
        let fates = all.unwrap_or_else(|| Fates::explore(self.state.waiting(), budget, &rng));
        LegalDisks { state: &self.state, is_complete, fates: fates.into_iter() }
    }
}

/// Disks that a power cut may leave, made one at a time.
#[derive(Debug)]
pub struct LegalDisks<'a> {
    state: &'a DiskState,
    is_complete: bool,
    fates: std::vec::IntoIter<Fates>,
}

impl LegalDisks<'_> {
    /// Whether these are all that there are.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl Iterator for LegalDisks<'_> {
    type Item = RestingDisk;

    fn next(&mut self) -> Option<RestingDisk> {
        self.fates.next().map(|fates| RestingDisk { state: self.state.after_crash(&fates) })
    }
}

/// A disk that a process may find. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RestingDisk {
    state: DiskState,
}

impl RestingDisk {
    /// Equal for disks with the same names and bytes.
    pub fn hash(&self) -> u64 {
        self.state.hash()
    }

    /// A machine that starts with it.
    pub fn start(&self, seed: u64) -> (Env, Sim) {
        Sim::from_state(self.state.clone(), seed)
    }

    /// Its files, to look at.
    pub fn image(&self) -> DiskImage {
        self.state.image()
    }
}

//! Key runs: which row of which segment has a key (architecture W6, S2).
//!
//! A [`KeyRun`] is a file of entries sorted by hash, over one segment or a group of them. In memory are only its filter and
//! a fence for each page, about 1.5 bytes an entry, read when a key is first looked for; pages of entries go through the
//! [`crate::PageCache`]. [`KeyRunBuilder`] writes the run of a new segment, [`KeyRunMerge`] one run in the place of several.

mod builder;
mod merge;
mod run;
mod writer;

pub use builder::{KeyRunBuilder, KeyRunPlace};
pub use merge::KeyRunMerge;
pub use run::{KeyRun, KeyRunCandidate};

#[cfg(test)]
mod tests;

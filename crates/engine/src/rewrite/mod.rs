//! From units to a segment that takes their place: what flush and compaction have in common (W7).
//!
//! A [`RewriteJob`] reads the rows that are alive at a pinned version and streams them into an [`OutputWriter`], a few
//! thousand at a time, so its memory does not depend on the size of its inputs. The install is a record like any other: it is
//! sequenced in the turn of the shard, names inputs and output, and gives the output the rows that died since the pin.
//! Addresses of the inputs are translated by the row maps of [`crate::commit`] from then on.

mod fill;
mod install;
mod job;
mod output;

pub use fill::{Fill, FillColumns};
pub(crate) use fill::{FilledUnit, FilledUnits};
pub(crate) use install::Installed;
pub(crate) use job::{JobStep, RewriteJob, is_harmless};
pub(crate) use output::{Output, OutputWriter};

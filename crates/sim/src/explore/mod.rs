//! The crash-state explorer: a workload runs once; at every moment of it the power fails, in every way there is.
//!
//! Small moments are explored whole: each 512-byte piece of each unsynced write, and each unsynced name, kept or lost. Of larger
//! ones a sample is taken: nothing, everything, each change alone, all but one, torn at 512 and 4,096 bytes, and at random. Disks that
//! are equal are looked at once. For some, the power fails again at every moment of the start.

mod driver;
mod engine;
mod log;

pub use driver::{Budget, Counts, Workload, explore};
pub use engine::EngineWorkload;
pub use log::LogWorkload;

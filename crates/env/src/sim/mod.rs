//! A world in memory that is worse than any real one, and repeats itself from a seed.
//!
//! The fault model of the disk: bytes are durable after a sync of their file, names after a sync of their directory.
//! Until then a crash keeps, loses or tears each write (at 512 or 4,096 bytes) and does or undoes each creation, removal
//! and renaming, independently of each other and of their order.

mod clock;
mod content;
mod control;
mod disk;
mod fates;
mod faults;
mod image;
mod moment;
mod rng;
mod tasks;

pub use control::Sim;
pub use faults::{FaultKind, Operation, OperationClass};
pub use image::DiskImage;
pub use moment::{LegalDisks, Moment, RestingDisk};

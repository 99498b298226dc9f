//! What the engine tells of itself: to metrics, to the system views, to tests.
//!
//! [`EngineStatus`] is of now; [`TableStatus`] and [`SegmentStatus`] are of a snapshot, and belong to its rows;
//! [`CompactionStatus`] is what the compaction worker did since the start.

mod figures;
mod histogram;
mod node;
mod tables;

pub use figures::{CompactionOutcome, CompactionStatus, EngineStatus, SegmentStatus, TableStatus};
pub(crate) use histogram::Histogram;
pub use histogram::HistogramStatus;

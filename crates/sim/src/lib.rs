//! Lives of the engine on machines that fail, all from a seed.
//!
//! # What it is not
//! It tests through the public interfaces of the log and the engine only, and judges by a model that shares no code with them. It
//! knows no SQL and no network: those have tests of their own, against the real binary.
//!
//! # Flow
//! ```text
//! explore: seed ─▶ workload ─▶ moments ─▶ every legal disk ─▶ start ─▶ what is there? ─▶ fits what was acknowledged
//!                                                               └▶ moments of the start ─▶ every legal disk ─▶ …
//! world:   seed ─▶ limits, faults, actors ─▶ statements, workers' steps, crashes ─▶ model ─▶ report
//! nth:     workload ─▶ its nth call of the disk fails, for every n ─▶ start ─▶ fits what was acknowledged
//! ```
//!
//! # Invariants
//! - M1. The same seed gives the same life: the same calls of the disk, the same answers.
//! - M2. What was acknowledged, or shown after a start, is there after every later crash (P1, P3, P8).
//! - M3. An error is one that the faults of the moment explain; anything else is a bug.
//!
//! # Start reading at
//! [`explore`], then [`world`].

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a crate for tests reports by panicking"
)]

pub mod draw;
pub mod explore;
pub mod marks;
pub mod nth;
pub mod statements;
pub mod world;

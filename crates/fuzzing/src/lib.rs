//! What hostile and damaged bytes must not do: the bodies of the fuzz targets.
//!
//! # What it is not
//! It is no fuzzer. `fuzz/`, a workspace of its own, calls these functions under libFuzzer; the tests of this crate call them
//! with what is kept in `tests/fuzz`, so that every find stays found on any machine. No target links DataFusion: SQL text is
//! fuzzed by tests of `outcrop-query` and of `outcrop-server`.
//!
//! # Flow
//! ```text
//! libFuzzer ─────────┐
//! tests/fuzz/* ──────┼▶ bytes ─▶ Target::check ─▶ nothing, or a panic
//! seeded mutations ──┘
//! ```
//!
//! Checksums would keep a fuzzer out, so targets of stored formats set them right before they decode.
//!
//! # Invariants
//! - Z1. The same bytes do the same: no target keeps anything between calls but what it built without input.
//! - Z2. A target panics only for a broken promise: of a decoder (B2, B3), of a log (L1), of a segment (G7), of input (I1, I2, I4), of
//!   the protocol (M1, M2).
//!
//! # Start reading at
//! [`TARGETS`].

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a crate for tests reports by panicking"
)]

mod edits;
mod formats;
mod log;
mod rows;
#[cfg(feature = "segment")]
mod segment;
mod text;
mod wire;

pub use formats::sound_batches;

/// A function that bytes must not break.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the binary in `fuzz/`, and of the folder in `tests/fuzz`.
    pub name: &'static str,
    /// Panics if the bytes break a promise.
    pub check: fn(&[u8]),
}

const fn target(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("batch", formats::batch),
    target("copy_csv", text::copy_csv),
    target("copy_text", text::copy_text),
    target("deletes", formats::deletes),
    target("documents", text::documents),
    target("jsonb", text::jsonb),
    #[cfg(feature = "segment")]
    target("key_run", segment::key_run),
    target("log", log::log),
    target("manifest", formats::manifest),
    target("meta", formats::meta),
    target("record", formats::record),
    target("schema", formats::schema),
    #[cfg(feature = "segment")]
    target("segment", segment::segment),
    target("values", text::values),
    target("wire", wire::wire),
];

/// Runs a target by its name.
///
/// # Panics
/// If there is none of this name, and as the target does.
pub fn check(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.check)(bytes);
}

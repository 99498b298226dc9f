//! Randomness.

use std::fmt::Debug;

/// A source of random bits: the operating system's, or a seeded one that repeats itself.
pub trait Rng: Send + Sync + Debug {
    /// 64 random bits.
    fn next_u64(&self) -> u64;

    /// Fills `bytes` with random bits.
    fn fill(&self, bytes: &mut [u8]);
}

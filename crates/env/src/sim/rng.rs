//! Seeded randomness.

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngCore, SeedableRng};

use crate::rng::Rng;

#[derive(Debug)]
pub(super) struct SimRng {
    state: Mutex<SmallRng>,
}

impl SimRng {
    /// The stream number `stream` of `seed`: what one part draws does not change what another gets.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let seed = seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { state: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    /// A number below `end`, 0 when `end` is 0.
    pub(super) fn below(&self, end: usize) -> usize {
        if end == 0 { 0 } else { self.state.lock().random_range(0..end) }
    }

    /// True `percent` times of a hundred.
    pub(super) fn chance(&self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

impl Rng for SimRng {
    fn next_u64(&self) -> u64 {
        self.state.lock().next_u64()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.state.lock().fill_bytes(bytes);
    }
}

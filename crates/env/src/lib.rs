//! Skeleton until the merge. The contract is /tmp/brief/A.md.
use std::{fmt::Debug, sync::Arc, time::Duration};
/// Time.
pub trait Clock: Send + Sync + Debug {
    /// µs since 1970.
    fn wall_us(&self) -> i64;
    /// Since start.
    fn monotonic(&self) -> Duration;
}
/// Chance.
pub trait Rng: Send + Sync + Debug {
    /// Next number.
    fn next_u64(&self) -> u64;
    /// Random bytes.
    fn fill(&self, bytes: &mut [u8]);
}
/// Everything that is not a pure function.
#[derive(Clone, Debug)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
}
impl Env {
    /// The real environment, with its disk rooted at `root`.
    pub fn real(root: &std::path::Path) -> std::io::Result<Self> {
        let _ = root;
        todo!()
    }
}

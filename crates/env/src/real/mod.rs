//! The machine itself: the operating system's clocks, randomness, files and threads.

mod clock;
mod disk;
mod rng;
mod tasks;
#[cfg(test)]
mod tests;

pub(crate) use clock::RealClock;
pub(crate) use disk::RealDisk;
pub(crate) use rng::RealRng;
pub(crate) use tasks::RealTasks;

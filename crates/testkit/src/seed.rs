//! Seeds: every random test names the one that failed it, and the command that repeats it (K3).

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Environment variable with the one seed to run.
pub const SEED_VARIABLE: &str = "OUTCROP_TEST_SEED";
/// Environment variable with the number of seeds to run.
pub const SEEDS_VARIABLE: &str = "OUTCROP_TEST_SEEDS";

/// Runs `test` with the seeds `0..count`; with as many as [`SEEDS_VARIABLE`] says, if it is set; or with the one that
/// [`SEED_VARIABLE`] names.
///
/// # Panics
/// If `test` does: with its message, the seed, and the command that repeats it.
#[track_caller]
pub fn for_each_seed(name: &str, count: u64, test: impl Fn(u64)) {
    let seeds = match (number(SEED_VARIABLE), number(SEEDS_VARIABLE)) {
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, count_wanted) => 0..count_wanted.unwrap_or(count),
    };
    run_seeds(name, seeds, test);
}

/// Runs `test` with these seeds, whatever the environment says.
#[track_caller]
pub(crate) fn run_seeds(name: &str, seeds: Range<u64>, test: impl Fn(u64)) {
    for seed in seeds {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            let message = message_of(&*payload);
            panic!("seed {seed}: {message}\nrepeat with: {SEED_VARIABLE}={seed} cargo test {name}");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable} is {text:?}: {error}")))
}

/// What a panic said.
pub fn message_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&'static str>().copied())
        .unwrap_or("panicked without a message")
}

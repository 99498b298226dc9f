//! Each call of the disk fails once: of any class, at every place, in every way that a kernel has.
//!
//! The process sees an error or works around it. Reads go on either way; after a restart, and after a power cut, what was acknowledged
//! is there.

use outcrop_engine::Engine;
use outcrop_env::{Env, FaultKind};
use outcrop_types::Condition;

use crate::explore::{EngineWorkload, Workload};

/// The ways in which a call fails.
pub const KINDS: &[FaultKind] = &[FaultKind::Io, FaultKind::StorageFull, FaultKind::Interrupted];

/// What came of one failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that failed, one in each run.
    pub failed_calls: u64,
    /// Runs that noticed nothing, because what failed was tried again or was not needed.
    pub survived: u64,
    /// Runs in which a statement was refused, and the process went on.
    pub refused: u64,
    /// Runs whose process was poisoned or did not start.
    pub stopped: u64,
}

/// Calls of the disk that the workload of a seed makes.
///
/// # Panics
/// If it fails without a fault.
pub fn calls(seed: u64) -> u64 {
    let (env, sim) = Env::simulated(seed);
    let (acknowledged, outcome) = EngineWorkload::new(seed).attempt(&env, &sim, |_| {});
    assert!(outcome.is_ok(), "{outcome:?} after {acknowledged} steps");
    sim.operations()
}

/// Runs the workload of a seed; the call number `nth` fails.
///
/// # Panics
/// When something acknowledged is lost, or an error is one that the fault does not explain.
pub fn fail(seed: u64, nth: u64, kind: FaultKind, counts: &mut Counts) {
    let workload = EngineWorkload::new(seed);
    let (env, sim) = Env::simulated(seed);
    sim.fail_any_once(nth, kind);
    counts.failed_calls += 1;
    let mut went_on = false;
    let (acknowledged, outcome) = workload.attempt(&env, &sim, |engine: &Engine| {
        went_on = engine.status().poisoned.is_none();
    });
    match &outcome {
        Ok(()) => counts.survived += 1,
        Err(error) => {
            let explained = match kind {
                FaultKind::StorageFull => Condition::DiskFull,
                _ => Condition::IoError,
            };
            let condition = error.condition();
            let poisoned = matches!(condition, Condition::Poisoned | Condition::IoError | Condition::AdminShutdown);
            assert!(condition == explained || poisoned, "call {nth} fails with {kind:?}: {condition:?}: {error}");
            if went_on {
                counts.refused += 1;
            } else {
                counts.stopped += 1;
            }
        }
    }
    let moment = sim.take_moments().pop().expect("the present is a moment");
    let (env, machine) = moment.killed().start(seed);
    machine.record_moments();
    let shown = workload.start(&env, &machine, acknowledged);
    // After a failed sync only the cache may have what this start has shown, and no later sync would write it.
    for disk in machine.take_moments().pop().iter().flat_map(|end| end.disks(3, seed)) {
        let (env, sim) = disk.start(seed);
        assert_eq!(workload.start(&env, &sim, acknowledged), shown, "what a start after a kill has shown must stay");
    }
    for disk in moment.disks(3, seed) {
        let (env, sim) = disk.start(seed);
        workload.start(&env, &sim, acknowledged);
    }
}

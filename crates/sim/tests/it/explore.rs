//! Every disk that a power cut may leave (P1, P2, P3, P8).

use std::cell::Cell;

use outcrop_sim::explore::{Budget, Counts, EngineWorkload, LogWorkload, explore};
use outcrop_testkit::seed::for_each_seed;

#[test]
fn every_disk_that_a_power_cut_leaves_of_a_log_starts_with_what_was_acknowledged() {
    let total = Cell::new(Counts::default());
    for_each_seed("every_disk_that_a_power_cut_leaves_of_a_log", 6, |seed| {
        let mut counts = total.get();
        counts += explore(&LogWorkload::new(seed), seed, Budget { disks: 16, ..Budget::default() });
        total.set(counts);
    });
    let counts = total.get();
    assert!(counts.images > 20 && counts.again > 5 && counts.killed > 5 && counts.whole > 0, "{counts}");
}

#[test]
fn every_disk_that_a_power_cut_leaves_of_an_engine_starts_with_what_was_acknowledged() {
    let total = Cell::new(Counts::default());
    for_each_seed("every_disk_that_a_power_cut_leaves_of_an_engine", 1, |seed| {
        let mut counts = total.get();
        let budget = Budget { disks: 4, again_each: 64, disks_again: 1, live_each: 31 };
        counts += explore(&EngineWorkload::new(seed), seed, budget);
        total.set(counts);
    });
    let counts = total.get();
    assert!(counts.images > 20 && counts.killed > 5 && counts.whole > 0, "{counts}");
}

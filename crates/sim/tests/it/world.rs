//! Lives of the whole engine.

use std::process::Command;

use outcrop_sim::nth;
use outcrop_sim::world::{FaultClass, live, live_with};
use outcrop_testkit::seed::for_each_seed;

#[test]
fn lives_of_the_engine_lose_nothing_whatever_fails() {
    for_each_seed("lives_of_the_engine_lose_nothing_whatever_fails", 4, |seed| {
        assert!(live(seed).compared > 0);
    });
}

/// Each of these lives found something: a merge of key runs that lacked open files stopped all writes; a start that was cut short while
/// it built a key run anew could never be repeated; a feed that waited asked for a log file that was cut, and called the log corrupt.
/// In the last one a statement was refused after a read failed, and the commit after it stayed.
#[test]
fn lives_that_found_bugs_find_them_no_more() {
    for seed in [20_071, 20_101, 20_144, 20_267, 20_428] {
        live(seed);
    }
    live_with(573, Some(FaultClass::Rot));
}

/// M1: the same calls of the disk, the same answers, the same branches.
#[test]
fn a_seed_repeats_its_life() {
    let (first, second) = (live(22), live(22));
    assert!(first.commits > 0 && first.restarts > 0, "{first:?}");
    assert_eq!(first, second);
    assert_ne!(live(23).trace, first.trace);
}

#[test]
fn any_call_of_the_disk_may_fail() {
    for_each_seed("any_call_of_the_disk_may_fail", 1, |seed| {
        let calls = nth::calls(seed);
        let mut counts = nth::Counts::default();
        for (number, kind) in nth::KINDS.iter().enumerate() {
            let from = u64::try_from(number).unwrap() * 7;
            for nth in (from..calls).step_by(usize::try_from(calls / 8).unwrap()) {
                nth::fail(seed, nth, *kind, &mut counts);
            }
        }
        assert!(counts.failed_calls >= 24 && counts.stopped > 0, "{counts:?}");
    });
}

/// No thread of a library or of a runtime below the engine: the program counts its own at the end, and fails if there are two.
#[test]
fn a_whole_life_takes_one_thread() {
    let output = Command::new(env!("CARGO_BIN_EXE_outcrop-sim")).args(["world", "--only", "1"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(", 1 thread, 0 failed"), "{text}");
}

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::histogram::Histogram;
use super::place::Place;
use super::processes::{Difference, DiskBytes, Process, ProcessKey, ProcessReader, Sample, difference};
use super::queries::{Answer, QUERIES, RowCounts};
use super::screen::{Weight, aligned, plain_line, screen_lines};
use super::state::{Addresses, Changes, State, Turn};

fn key(pid: i32, started_s: u64) -> ProcessKey {
    ProcessKey { pid, started_at: UNIX_EPOCH + Duration::from_secs(started_s) }
}

fn process(cpu_ms: i64, disk: Option<(i64, i64)>) -> Process {
    Process {
        name: "worker".to_owned(),
        state: "running".to_owned(),
        parent_pid: 1,
        threads: 2,
        cpu_ms,
        resident_bytes: 4_096,
        disk: disk.map(|(read, written)| DiskBytes { read, written }),
    }
}

fn sample(key: ProcessKey, cpu_ms: i64, disk: Option<(i64, i64)>) -> Sample {
    Sample { key, cpu_ms, resident_bytes: 4_096, disk: disk.map(|(read, written)| DiskBytes { read, written }) }
}

fn state() -> State {
    let addresses = Addresses { postgres: ([127, 0, 0, 1], 5433).into(), http: Some(([127, 0, 0, 1], 8090).into()) };
    let mut state = State::new(addresses, "data in /tmp/x".to_owned(), Some(Duration::from_secs(20)));
    state.elapsed = Duration::from_millis(3_500);
    state.rows = RowCounts { processes: 31, samples: 1_234 };
    state.add(Turn {
        changes: Changes { upserted: 31, deleted: 1, appended: 30 },
        started: 2,
        ended: 1,
        interval: Duration::from_secs(2),
    });
    state.acknowledged.record(Duration::from_millis(4));
    for answer in &mut state.answers {
        answer.columns = vec!["pid".to_owned(), "name".to_owned()];
        answer.rows = (0..10).map(|pid| vec![pid.to_string(), "a".to_owned()]).collect();
        answer.latency = Duration::from_micros(850);
    }
    state
}

#[test]
fn a_reused_number_is_another_process() {
    let before = BTreeMap::from([(key(7, 100), process(50, None)), (key(8, 100), process(10, None))]);
    let now = BTreeMap::from([(key(7, 200), process(5, None)), (key(8, 100), process(30, None))]);
    let samples = vec![sample(key(7, 200), 5, None), sample(key(8, 100), 20, None)];
    assert_eq!(difference(&before, &now), Difference { started: 1, ended: 1, samples });
}

#[test]
fn samples_hold_what_was_used_since_and_never_less_than_nothing() {
    let one = |process| BTreeMap::from([(key(1, 1), process)]);
    let used = |before, now| difference(&one(before), &one(now)).samples;
    let (before, now) = (process(90, Some((10, 1_000))), process(100, Some((15, 900))));
    assert_eq!(used(before, now), [sample(key(1, 1), 10, Some((5, 0)))]);
    let (hidden, seen) = (process(1, None), process(1, Some((3, 4))));
    assert_eq!(used(hidden.clone(), seen.clone()), [sample(key(1, 1), 0, Some((3, 4)))]);
    assert_eq!(used(seen, hidden), [sample(key(1, 1), 0, None)]);
}

#[test]
fn this_process_is_among_those_that_run() {
    let own = i32::try_from(std::process::id()).unwrap();
    let reader = ProcessReader::new().unwrap();
    let first = reader.read().unwrap();
    let (key, process) = first.iter().find(|(key, _)| key.pid == own).unwrap();
    assert!(process.resident_bytes > 0 && process.threads >= 2, "{process:?}");
    assert!(process.disk.is_some(), "our own counters can be read");
    assert!(key.started_at > UNIX_EPOCH);
    // The key of a process is the same however often it is read.
    assert!(reader.read().unwrap().contains_key(key));
}

#[test]
fn percentiles_are_those_of_the_sorted_values_within_a_bucket() {
    let mut histogram = Histogram::new();
    let mut values = Vec::new();
    let mut value: u64 = 1;
    for round in 0..5_000 {
        // A linear congruence over nine orders of magnitude.
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        values.push((value >> 34) >> (round % 30));
        histogram.record(Duration::from_micros(*values.last().unwrap()));
    }
    values.sort_unstable();
    for percent in [1, 10, 50, 90, 99, 100] {
        let exact = values[(values.len() * percent).div_ceil(100) - 1];
        let found = histogram.percentile(u64::try_from(percent).unwrap()).unwrap().as_micros();
        let found = u64::try_from(found).unwrap();
        assert!((exact..=exact + exact / 32).contains(&found), "p{percent}: {found} for {exact}");
    }
    assert_eq!(histogram.count(), 5_000);
    assert_eq!(histogram.max(), Duration::from_micros(*values.last().unwrap()));
}

#[test]
fn small_and_huge_durations_have_percentiles() {
    let mut histogram = Histogram::new();
    assert_eq!(histogram.percentile(50), None);
    histogram.record(Duration::ZERO);
    assert_eq!(histogram.percentile(99), Some(Duration::ZERO));
    histogram.record(Duration::MAX);
    assert_eq!(histogram.percentile(50), Some(Duration::ZERO));
    assert_eq!(histogram.percentile(100), Some(Duration::from_micros((1 << 36) - 1)));
}

#[test]
fn a_rate_is_by_the_time_that_passed() {
    let changes = Changes { upserted: 31, deleted: 1, appended: 30 };
    assert_eq!(changes.per_second(Duration::from_secs(2)), 31);
    assert_eq!(changes.per_second(Duration::from_millis(500)), 124);
    assert_eq!(changes.per_second(Duration::ZERO), 62_000_000);
}

#[test]
fn numbers_stand_right_and_names_cannot_steer_the_terminal() {
    let mut answer = Answer::none_yet(QUERIES[0]);
    answer.columns = vec!["pid".to_owned(), "name".to_owned(), "cpu".to_owned()];
    answer.rows = vec![
        vec!["7".to_owned(), "\u{1b}[2Jbad".to_owned(), "0.5".to_owned()],
        vec!["1234".to_owned(), "a name that is longer than others".to_owned(), String::new()],
    ];
    let lines = [
        "   pid  name                      cpu",
        "     7  ?[2Jbad                   0.5",
        "  1234  a name that is longer t…",
    ];
    assert_eq!(aligned(&answer, 5), lines);
    assert_eq!(aligned(&answer, 1).len(), 2);
    assert_eq!(aligned(&Answer::none_yet(QUERIES[0]), 5), [""]);
}

#[test]
fn the_screen_fits_the_terminal() {
    let state = state();
    for (rows, each) in [(24, 2), (40, 7), (200, 10)] {
        let lines = screen_lines(&state, rows);
        assert!(lines.len() <= rows, "{} lines on {rows}", lines.len());
        // The figures, three answers with what is around them, the footer.
        assert_eq!(lines.len(), 5 + 3 * (3 + each) + 3);
        assert_eq!(lines[6].weight, Weight::Bold);
        assert_eq!(lines[6].text, format!("{}   850 µs", QUERIES[0].title));
        assert_eq!(lines[lines.len() - 2].text, "psql -h 127.0.0.1 -p 5433 outcrop   REST: http://127.0.0.1:8090");
        assert_eq!(lines[lines.len() - 1].text, "data in /tmp/x");
    }
}

#[test]
fn the_demo_is_over_at_its_end_and_without_one_never() {
    let mut state = state();
    assert!(!state.is_over(Duration::from_millis(19_999)));
    assert!(state.is_over(Duration::from_secs(20)));
    state.ends_after = None;
    assert!(!state.is_over(Duration::MAX));
}

#[test]
fn a_plain_line_says_all_figures() {
    assert_eq!(
        plain_line(&state()),
        "   3 s  31 processes, 1,234 samples | 31 changes/s | acknowledged p50 4.0 ms, p99 4.0 ms | \
         freshness p50 –, p99 – | queries 850 µs, 850 µs, 850 µs"
    );
}

#[test]
fn a_temporary_directory_is_private_and_goes_and_a_given_one_stays() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (Place::temporary(parent.path()).unwrap(), Place::temporary(parent.path()).unwrap());
    assert_ne!(first.path(), second.path());
    assert_eq!(first.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::write(first.path().join("file"), "x").unwrap();
    let (left, dropped) = (first.path().to_owned(), second.path().to_owned());
    first.leave().unwrap();
    drop(second);
    assert!(!left.exists() && !dropped.exists());

    let given = Place::new(Some(parent.path())).unwrap();
    given.leave().unwrap();
    assert!(parent.path().exists());
}

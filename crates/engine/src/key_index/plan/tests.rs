use super::*;

fn run(unit: u64, entries: u64) -> RunSize {
    RunSize { unit: UnitId::new(unit), entries, live: entries, segments: 1 }
}

fn units(units: &[u64]) -> Option<Vec<UnitId>> {
    Some(units.iter().copied().map(UnitId::new).collect())
}

#[test]
fn few_runs_or_runs_of_many_sizes_stay() {
    assert_eq!(runs_to_merge(&[]), None);
    assert_eq!(runs_to_merge(&[run(1, 100), run(2, 100), run(3, 100)]), None);
    assert_eq!(runs_to_merge(&[run(1, 100), run(2, 1_000), run(3, 10_000), run(4, 100_000), run(5, 0)]), None);
}

#[test]
fn runs_of_one_size_become_one_oldest_first_the_smallest_tier_first() {
    let small = [run(9, 70), run(3, 64), run(5, 255), run(4, 100)];
    let large = (10..16).map(|unit| run(unit, 1 << 20));
    let all: Vec<RunSize> = large.clone().chain(small).collect();
    assert_eq!(runs_to_merge(&all), units(&[3, 4, 5, 9]));
    assert_eq!(runs_to_merge(&large.collect::<Vec<_>>()), units(&[10, 11, 12, 13, 14, 15]));
    assert_eq!(runs_to_merge(&(1..100).map(|unit| run(unit, 5)).collect::<Vec<_>>()), units(&[1, 2, 3, 4, 5, 6, 7, 8]));
}

#[test]
fn a_run_covers_no_more_segments_than_its_format_names() {
    let wide = |unit| RunSize { segments: SEGMENTS_MAX / 4 + 1, ..run(unit, 100) };
    assert_eq!(runs_to_merge(&[wide(1), wide(2), wide(3), wide(4)]), None);
    assert_eq!(runs_to_merge(&[wide(1), wide(2), wide(3), run(4, 100)]), units(&[1, 2, 3, 4]));
}

#[test]
fn a_run_that_is_mostly_dead_is_written_again() {
    let dead = RunSize { live: 4_999, ..run(2, 10_000) };
    assert_eq!(runs_to_merge(&[run(1, 10_000), dead]), units(&[2]));
    assert_eq!(runs_to_merge(&[RunSize { live: 5_000, ..dead }]), None);
    assert_eq!(runs_to_merge(&[RunSize { live: 0, ..run(2, 4_000) }]), None, "too small to matter");
}

#[test]
fn a_growing_table_has_few_runs_and_writes_an_entry_a_few_times() {
    let mut runs: Vec<RunSize> = Vec::new();
    let mut written = 0;
    for unit in 1..=200 {
        runs.push(run(unit, 1_000_000));
        written += 1_000_000;
        while let Some(merged) = runs_to_merge(&runs) {
            let (gone, stay): (Vec<RunSize>, Vec<RunSize>) = runs.iter().partition(|run| merged.contains(&run.unit));
            let entries = gone.iter().map(|run| run.entries).sum();
            let segments = gone.iter().map(|run| run.segments).sum();
            written += entries;
            runs = stay;
            runs.push(RunSize { segments, ..run(1_000 + unit, entries) });
        }
        assert!(runs.len() <= 12, "{runs:?}");
    }
    assert!(written / 200_000_000 <= 5, "{written}");
}

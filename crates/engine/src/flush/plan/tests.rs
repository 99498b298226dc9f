use super::*;

fn open(table: u32, bytes: u64, first_seq: u64, age: u64) -> OpenGeneration {
    OpenGeneration {
        table: TableId::new(table),
        bytes,
        first_seq: CommitSeq::new(first_seq),
        age: Duration::from_secs(age),
    }
}

fn plan(open: &[OpenGeneration], memtable_bytes: u64, log_bytes: u64, flush_waits: bool) -> Vec<u32> {
    let limits = EngineOptions::default();
    let load = Load { memtable_bytes, log_bytes, flush_waits };
    generations_to_seal(open, load, &limits).into_iter().map(TableId::get).collect()
}

#[test]
fn age_log_and_memory_each_seal_the_right_generation() {
    let open = [open(1, 10, 300, 5), open(2, 30, 200, 5), open(3, 20, 100, 5)];
    let limits = EngineOptions::default();
    assert_eq!(plan(&open, 0, 0, false), Vec::<u32>::new());
    assert_eq!(plan(&open, 0, limits.log_bytes_max + 1, false), [3]);
    assert_eq!(plan(&open, limits.memtable_bytes_max / 2 + 1, 0, false), [2]);
    // A flush that waits will help by itself.
    assert_eq!(plan(&open, limits.memtable_bytes_max, limits.log_bytes_max + 1, true), Vec::<u32>::new());
}

#[test]
fn every_old_generation_is_sealed_and_the_next_is_waited_for() {
    let limits = EngineOptions::default();
    let open = [open(1, 10, 1, limits.flush_age_max.as_secs()), open(2, 10, 2, 5), open(3, 1, 3, 1_000_000)];
    assert_eq!(plan(&open, 0, 0, true), [1, 3]);
    assert_eq!(next_due(&open[1..2], &limits), Some(limits.flush_age_max - Duration::from_secs(5)));
    assert_eq!(next_due(&[], &limits), None);
}

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::board::{Board, Event};
use super::machine::{Machine, Process, percent};
use super::questions::Answer;
use super::screen::{self, Addresses};
use super::writer::upsert;

fn addresses() -> Addresses {
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    Addresses { pg: local(5433), http: Some(local(8090)) }
}

#[test]
fn own_process_is_among_all_and_began_in_the_past() {
    let mut machine = Machine::new().unwrap();
    let own = machine.own().unwrap();
    assert_eq!(u32::try_from(own.pid).unwrap(), std::process::id());
    assert!(own.memory_bytes > 0 && own.started_us > 0);
    let all = Machine::new().unwrap().look().unwrap();
    assert!(all.iter().any(|process| (process.pid, process.started_us) == (own.pid, own.started_us)));
}

#[test]
fn processor_time_is_percent_of_one_processor() {
    assert!((percent(50, 100, 1.0) - 50.0).abs() < 1e-9);
    assert!((percent(100, 100, 0.5) - 200.0).abs() < 1e-9);
    assert!(percent(1, 100, 0.0).abs() < 1e-9);
}

#[test]
fn names_of_processes_are_quoted() {
    let process = Process {
        pid: 7,
        started_us: 0,
        parent: 1,
        name: "it's".to_owned(),
        state: 'S',
        threads: 1,
        cpu_percent: 1.0,
        memory_bytes: 2,
        read_bytes: 3,
        written_bytes: 4,
    };
    let sql = upsert(&[process.clone(), process], 5);
    assert!(
        sql.contains("(7, timestamptz '1970-01-01 00:00:00+00', 1, 'it''s', 'S', 1, 1.0, 2, 3, 4, 5), (7,"),
        "{sql}"
    );
    assert!(sql.contains("ON CONFLICT (pid, started) DO UPDATE SET parent = EXCLUDED.parent"), "{sql}");
    assert!(sql.ends_with("change = EXCLUDED.change"), "{sql}");
}

#[test]
fn a_round_leaves_the_number_of_a_probe_alone() {
    let own = Machine::new().unwrap().own().unwrap();
    assert!(!upsert(&[own], 0).contains("EXCLUDED.change"));
}

#[test]
fn freshness_is_a_rank_of_the_probes() {
    let begin = Instant::now();
    let mut board = Board::new(begin);
    assert_eq!(board.freshness(50), None);
    for ms in (1..=100).rev() {
        board.take(Event::Fresh { time: Duration::from_millis(ms), changes: 1 }, begin);
    }
    assert_eq!(board.freshness(50), Some(Duration::from_millis(50)));
    assert_eq!(board.freshness(99), Some(Duration::from_millis(99)));
    assert_eq!(board.changes, 100);
}

#[test]
fn the_rate_is_of_the_last_seconds() {
    let begin = Instant::now();
    let mut board = Board::new(begin);
    for second in 0..20 {
        let now = begin + Duration::from_secs(second);
        board.take(Event::Round { processes: 3, changes: 10 * second }, now);
    }
    // Seconds 14 to 19 are in the span of five seconds.
    assert_eq!(board.rate(begin + Duration::from_secs(19)), (14..20).map(|second| 10 * second).sum::<u64>() / 5);
}

#[test]
fn screen_line_and_summary_show_the_numbers() {
    let begin = Instant::now();
    let mut board = Board::new(begin);
    let answer = Answer {
        names: vec!["name".into(), "n".into()],
        rows: vec![vec![Some("a".into()), Some("10".into())], vec![Some("long name".into()), Some("7".into())]],
        latency: Duration::from_millis(3),
    };
    board.take(Event::Answer { number: 0, answer }, begin);
    board.take(Event::Samples(1_234), begin);
    let text = screen::draw(&board, &addresses(), begin);
    assert!(text.contains("   name        n\x1b[K\r\n   a          10\x1b[K\r\n   long name   7"), "{text:?}");
    assert!(text.contains("psql -h 127.0.0.1 -p 5433"), "{text}");
    assert!(text.contains("1,234"), "{text}");
    assert!(screen::line(&board, begin).contains("3.0 ms"));
    assert!(screen::summary(&board, begin).contains("3.0 ms last, 3.0 ms slowest"));
}

//! What the demo shows: a screen that is redrawn, or lines.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::board::Board;
use super::questions::{Answer, QUESTIONS, ROWS};
use crate::terminal::{duration, fit, grouped, width};

/// Clears the screen and stops the terminal from breaking long lines.
pub(super) const BEGIN: &str = "\x1b[?25l\x1b[?7l\x1b[2J";
/// Undoes [`BEGIN`].
pub(super) const END: &str = "\x1b[?7h\x1b[?25h";

const CELL_WIDTH_MAX: usize = 32;

/// Where the server of the demo listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) pg: SocketAddr,
    pub(super) http: Option<SocketAddr>,
}

impl Addresses {
    /// How to connect.
    pub(super) fn advice(&self) -> String {
        let mut text = format!("psql -h {} -p {} -d outcrop", self.pg.ip(), self.pg.port());
        if let Some(http) = self.http {
            write!(
                text,
                "\ncurl http://{http}/v1/orgs/self/queries -d '{{\"sql\":{{\"query\":\"SELECT count(*) FROM processes\"}}}}'"
            )
            .unwrap_or_default();
        }
        text
    }
}

/// The whole screen.
pub(super) fn draw(board: &Board, addresses: &Addresses, now: Instant) -> String {
    let mut lines = vec![
        format!("Outcrop demo: the processes of this machine, for {} s. Ctrl-C ends it.", board.elapsed(now).as_secs()),
        String::new(),
        format!("  processes   {:>14} rows    samples  {:>14} rows", grouped(board.processes), grouped(board.samples)),
        format!("  changes     {:>14} /s      in all   {:>14}", grouped(board.rate(now)), grouped(board.changes)),
        format!("  freshness   {:>14} p50     {:>23} p99", shown(board.freshness(50)), shown(board.freshness(99))),
        "              from a change to another session seeing it, synced to disk in between".to_owned(),
    ];
    for (number, question) in QUESTIONS.iter().enumerate() {
        lines.push(String::new());
        let answer = board.answers.get(number).and_then(Option::as_ref);
        let latency = answer.map_or_else(String::new, |answer| format!("  [{}]", duration(answer.latency)));
        lines.push(format!("{}{latency}", question.title));
        lines.extend(answer.map(table).unwrap_or_default());
    }
    lines.push(String::new());
    lines.push("Ask it yourself:".to_owned());
    lines.extend(addresses.advice().lines().map(|line| format!("  {line}")));
    let mut screen = String::from("\x1b[H");
    for line in lines {
        screen.push_str(&line);
        screen.push_str("\x1b[K\r\n");
    }
    screen.push_str("\x1b[J");
    screen
}

/// One line of the moment, for a log.
pub(super) fn line(board: &Board, now: Instant) -> String {
    let answers = board.answers.iter().flatten().map(|answer| duration(answer.latency));
    format!(
        "{:3} s: {} processes, {} samples, {} changes/s, freshness p50 {} p99 {}, queries {}",
        board.elapsed(now).as_secs(),
        grouped(board.processes),
        grouped(board.samples),
        grouped(board.rate(now)),
        shown(board.freshness(50)),
        shown(board.freshness(99)),
        answers.collect::<Vec<_>>().join(" / "),
    )
}

/// What remains to be said at the end.
pub(super) fn summary(board: &Board, now: Instant) -> String {
    let mut text = format!(
        "{} changes in {:.0} s; {} processes and {} samples at the end.\nFreshness: p50 {}, p99 {}.\n",
        grouped(board.changes),
        board.elapsed(now).as_secs_f64(),
        grouped(board.processes),
        grouped(board.samples),
        shown(board.freshness(50)),
        shown(board.freshness(99)),
    );
    for (number, question) in QUESTIONS.iter().enumerate() {
        let last = board.answers.get(number).and_then(Option::as_ref).map(|answer| answer.latency);
        writeln!(text, "{}: {} last, {} slowest.", question.title, shown(last), duration(board.slowest(number)))
            .unwrap_or_default();
    }
    text
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), duration)
}

/// An answer as aligned columns.
fn table(answer: &Answer) -> Vec<String> {
    let cell = |text: &str| fit(text, CELL_WIDTH_MAX);
    let rows: Vec<Vec<String>> = answer
        .rows
        .iter()
        .take(ROWS)
        .map(|row| row.iter().map(|text| cell(text.as_deref().unwrap_or(""))).collect())
        .collect();
    let columns: Vec<(usize, bool)> = answer
        .names
        .iter()
        .enumerate()
        .map(|(position, name)| {
            let cells = || rows.iter().filter_map(move |row| row.get(position));
            let widest = cells().map(|text| width(text)).chain([width(name)]).max().unwrap_or(0);
            (widest, cells().all(|text| text.parse::<f64>().is_ok()))
        })
        .collect();
    let line = |cells: &[String]| {
        let mut line = String::from(" ");
        for (text, (wide, is_number)) in cells.iter().zip(&columns) {
            let space = " ".repeat(wide.saturating_sub(width(text)));
            line.push_str("  ");
            line.push_str(&if *is_number { format!("{space}{text}") } else { format!("{text}{space}") });
        }
        line.trim_end().to_owned()
    };
    std::iter::once(line(&answer.names)).chain(rows.iter().map(|row| line(row))).collect()
}

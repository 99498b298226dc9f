//! The live screen, and the lines where there is no terminal.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use rustyline::DefaultEditor;

use super::queries::Answer;
use super::state::{State, Turn, percentiles};
use crate::terminal::{duration, fit, grouped, width};

/// Where the demo shows what happens.
pub(super) enum View {
    /// A screen that is drawn again every second.
    Screen(Screen),
    /// A line every second.
    Lines,
}

impl View {
    /// A screen if standard output is a terminal that can show one.
    pub(super) fn open() -> Result<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
        if !io::stdout().is_terminal() || is_dumb {
            return Ok(Self::Lines);
        }
        Ok(Self::Screen(Screen::open()?))
    }

    /// After each turn.
    pub(super) fn show(&mut self, state: &State) -> Result<()> {
        match self {
            Self::Screen(screen) => screen.draw(state),
            Self::Lines => print(&[plain_line(state)]),
        }
    }
}

/// The terminal's second screen, given back when dropped.
pub(super) struct Screen {
    /// Knows the terminal's size.
    editor: Option<DefaultEditor>,
}

impl Screen {
    fn open() -> Result<Self> {
        write(ENTER)?;
        // Without the size the classic one will do.
        Ok(Self { editor: DefaultEditor::new().ok() })
    }

    fn draw(&mut self, state: &State) -> Result<()> {
        let size = self.editor.as_mut().and_then(DefaultEditor::dimensions).unwrap_or(CLASSIC_SIZE);
        let (columns, rows) = (usize::from(size.0), usize::from(size.1));
        let lines = screen_lines(state, rows);
        let mut text = String::from(HOME);
        for (number, line) in lines.iter().take(rows).enumerate() {
            if number > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line.weight.code());
            text.push_str(&fit(&line.text, columns));
            text.push_str(END_OF_LINE);
        }
        text.push_str(CLEAR_BELOW);
        write(&text)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        write(LEAVE).unwrap_or_default();
    }
}

/// A line of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) weight: Weight,
}

/// How a line stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Plain,
    Bold,
    Dim,
}

impl Weight {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
        }
    }
}

/// The screen on a terminal of `rows` rows. Queries share the rows that the rest leaves them.
pub(super) fn screen_lines(state: &State, rows: usize) -> Vec<Line> {
    let mut lines = vec![bold(headline(state))];
    lines.extend(figures(state).map(plain));
    // Each answer has an empty line before it, a title, and a heading.
    let spare = rows.saturating_sub(lines.len() + FOOTER_ROWS) / state.answers.len().max(1);
    let rows_each = spare.saturating_sub(3).clamp(1, ANSWER_ROWS_MAX);
    for answer in &state.answers {
        lines.push(plain(String::new()));
        lines.push(bold(format!("{}   {}", answer.title, duration(answer.latency))));
        let mut table = aligned(answer, rows_each).into_iter();
        lines.extend(table.next().map(dim));
        lines.extend(table.map(plain));
    }
    lines.push(plain(String::new()));
    lines.push(dim(state.addresses.short()));
    lines.push(dim(state.place.clone()));
    lines
}

/// What there is no terminal for.
pub(super) fn plain_line(state: &State) -> String {
    let latencies: Vec<String> = state.answers.iter().map(|answer| duration(answer.latency)).collect();
    format!(
        "{:>4} s  {} processes, {} samples | {} changes/s | acknowledged {} | freshness {} | queries {}",
        state.elapsed.as_secs(),
        grouped(state.rows.processes),
        grouped(state.rows.samples),
        grouped(state.last.changes.per_second(state.last.interval)),
        percentiles(&state.acknowledged),
        percentiles(&state.freshness),
        latencies.join(", "),
    )
}

/// The newest answer of a query as a table: names, then up to `rows_max` rows. Numbers stand right.
pub(super) fn aligned(answer: &Answer, rows_max: usize) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        answer.rows.iter().take(rows_max).map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let columns: Vec<Column> = answer
        .columns
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let cells = || rows.iter().filter_map(|row| row.get(number));
            Column {
                width: cells().map(|cell| width(cell)).fold(width(name), usize::max),
                is_number: cells().all(|cell| cell.is_empty() || cell.parse::<f64>().is_ok()),
            }
        })
        .collect();
    std::iter::once(&answer.columns).chain(&rows).map(|cells| join(cells, &columns)).collect()
}

/// Prints lines.
pub(super) fn print(lines: &[String]) -> Result<()> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write(&text)
}

struct Column {
    width: usize,
    is_number: bool,
}

fn join(cells: &[String], columns: &[Column]) -> String {
    let mut line = String::new();
    for (cell, column) in cells.iter().zip(columns) {
        let space = " ".repeat(column.width.saturating_sub(width(cell)));
        line.push_str("  ");
        if column.is_number {
            line.push_str(&space);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            line.push_str(&space);
        }
    }
    line.trim_end().to_owned()
}

/// A cell for the terminal. A process chooses its own name, so nothing that steers a terminal passes.
fn shown(cell: &str) -> String {
    let harmless: String = cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    fit(&harmless, CELL_WIDTH_MAX)
}

fn headline(state: &State) -> String {
    let time = match state.ends_after {
        Some(end) => format!("{} of {} s", state.elapsed.as_secs(), end.as_secs()),
        None => format!("{} s", state.elapsed.as_secs()),
    };
    format!("Outcrop demo: this machine's processes   {time}   Ctrl-C ends")
}

fn figures(state: &State) -> [String; 4] {
    let Turn { changes, started, ended, interval } = state.last;
    let (processes, samples) = (grouped(state.rows.processes), grouped(state.rows.samples));
    [
        format!("rows          processes {processes}, samples {samples}"),
        format!(
            "changes       {} per second; processes in the last one: {} started, {} ended",
            grouped(changes.per_second(interval)),
            grouped(started),
            grouped(ended),
        ),
        format!("acknowledged  {}", percentiles(&state.acknowledged)),
        format!("freshness     {} until another session sees it", percentiles(&state.freshness)),
    ]
}

fn plain(text: String) -> Line {
    Line { text, weight: Weight::Plain }
}

fn bold(text: String) -> Line {
    Line { text, weight: Weight::Bold }
}

fn dim(text: String) -> Line {
    Line { text, weight: Weight::Dim }
}

fn write(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("write to standard output")
}

/// The second screen, no cursor, no wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
/// Normal weight again, and nothing left from before.
const END_OF_LINE: &str = "\x1b[0m\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const CLASSIC_SIZE: (u16, u16) = (80, 24);
/// An empty line, how to connect, where the data is.
const FOOTER_ROWS: usize = 3;
const ANSWER_ROWS_MAX: usize = 10;
const CELL_WIDTH_MAX: usize = 24;

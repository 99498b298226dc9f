//! Completion of keywords, tables and columns.

use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper};

use super::keywords::KEYWORDS;

/// Names of the server, as they were at the last look.
#[derive(Debug, Default)]
pub(super) struct Completion {
    names: Vec<String>,
}

/// Most names that are offered.
pub(super) const NAMES_MAX: usize = 10_000;

impl Completion {
    /// Tables and columns that a person may mean.
    pub(super) fn set_names(&mut self, mut names: Vec<String>) {
        names.sort();
        names.dedup();
        self.names = names;
    }

    /// What the word before the cursor may become, and where it begins.
    pub(super) fn offer(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = line.get(..cursor).unwrap_or_default();
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '\\')
            .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8));
        let word = before.get(start..).unwrap_or_default();
        if word.is_empty() {
            return (start, Vec::new());
        }
        let lower = word.to_lowercase();
        let is_upper = word.chars().next().is_some_and(char::is_uppercase);
        let keywords = KEYWORDS
            .iter()
            .filter(|keyword| keyword.starts_with(&lower))
            .map(|keyword| if is_upper { keyword.to_uppercase() } else { (*keyword).to_owned() });
        let names = self.names.iter().filter(|name| name.to_lowercase().starts_with(&lower)).cloned();
        (start, names.chain(keywords).collect())
    }
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, offers) = self.offer(line, cursor);
        let pairs = offers.into_iter().map(|offer| Pair { display: offer.clone(), replacement: offer });
        Ok((start, pairs.collect()))
    }
}

impl rustyline::hint::Hinter for Completion {
    type Hint = String;
}

impl rustyline::highlight::Highlighter for Completion {}

impl rustyline::validate::Validator for Completion {}

impl Helper for Completion {}

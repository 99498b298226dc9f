//! Cutting a stream of bytes in lines, wherever the stream was cut in messages.

use outcrop_types::{Condition, Error, Result};

use super::{Layout, Style};

/// The bytes that came and were not yet decoded, and where the search for the end of the line stands.
#[derive(Debug)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    start: usize,
    scanned: usize,
    rule: Rule,
    line_bytes_max: usize,
}

/// Which line feeds end a line.
#[derive(Debug)]
enum Rule {
    /// Those without a backslash before them.
    Text { after_backslash: bool },
    /// Those outside quotes.
    Csv { quote: u8, escape: Option<u8>, in_quotes: bool, after_escape: bool },
}

impl Lines {
    pub(super) fn new(layout: &Layout, line_bytes_max: usize) -> Self {
        let rule = match layout.style {
            Style::Text | Style::Binary => Rule::Text { after_backslash: false },
            Style::Csv => Rule::Csv {
                quote: layout.quote,
                escape: (layout.escape != layout.quote).then_some(layout.escape),
                in_quotes: false,
                after_escape: false,
            },
        };
        Self { bytes: Vec::new(), start: 0, scanned: 0, rule, line_bytes_max }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    pub(super) fn next_line(&mut self) -> Result<Option<&[u8]>> {
        let rest = self.bytes.get(self.scanned..).unwrap_or_default();
        let Some(found) = self.rule.find_end(rest) else {
            self.scanned = self.bytes.len();
            return match self.scanned - self.start > self.line_bytes_max {
                true => Err(Error::new(
                    Condition::ProgramLimitExceeded,
                    format!("a line of COPY data is longer than {} bytes", self.line_bytes_max),
                )
                .with_hint("Check the quotes: a quote that is not closed takes all lines behind it in.")),
                false => Ok(None),
            };
        };
        let end = self.scanned + found;
        let line = self.bytes.get(self.start..end).unwrap_or_default();
        self.start = end + 1;
        self.scanned = self.start;
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// The last line, which has no end; `None` if the stream ended behind a line. Says whether a quote is open.
    pub(super) fn take_rest(&mut self) -> Option<(Vec<u8>, bool)> {
        let rest = self.bytes.get(self.start..).unwrap_or_default().to_vec();
        self.bytes.clear();
        self.start = 0;
        self.scanned = 0;
        let is_open = matches!(self.rule, Rule::Csv { in_quotes: true, .. });
        (!rest.is_empty()).then_some((rest, is_open))
    }
}

impl Rule {
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Text { after_backslash } => {
                let mut from = 0;
                loop {
                    let rest = bytes.get(from..).unwrap_or_default();
                    let Some(at) = memchr::memchr(b'\n', rest) else {
                        *after_backslash = ends_escaped(rest, *after_backslash);
                        return None;
                    };
                    let before = rest.get(..at).unwrap_or_default();
                    let is_escaped = ends_escaped(before, *after_backslash);
                    *after_backslash = false;
                    if !is_escaped {
                        return Some(from + at);
                    }
                    from += at + 1;
                }
            }
            Self::Csv { quote, escape, in_quotes, after_escape } => {
                for (at, byte) in bytes.iter().enumerate() {
                    if *in_quotes && Some(*byte) == *escape {
                        *after_escape = !*after_escape;
                        continue;
                    }
                    if byte == quote && !*after_escape {
                        *in_quotes = !*in_quotes;
                    } else if *byte == b'\n' && !*in_quotes {
                        *after_escape = false;
                        return Some(at);
                    }
                    *after_escape = false;
                }
                None
            }
        }
    }
}

/// Whether the byte behind `bytes` is escaped by a backslash.
fn ends_escaped(bytes: &[u8], is_escaped_before: bool) -> bool {
    let backslashes = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
    let reaches_start = backslashes == bytes.len();
    (backslashes % 2 == 1) != (reaches_start && is_escaped_before)
}

//! `:name` and `?` to `$n`.
//!
//! Only the lexical structure of SQL is read: strings, quoted names, comments and casts are passed over, everything else
//! goes through as it is.

use super::super::failure::{Failure, Place, Result};

/// A statement with numbered parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbered {
    /// The text for the parser.
    pub(super) text: String,
    /// For `$1`, `$2`, … the position of the parameter in the request.
    pub(super) order: Vec<usize>,
    /// Whether there is a LIMIT or FETCH outside all parentheses.
    pub(super) has_limit: bool,
    /// Where characters of `text` came from: pairs of (place in `text`, place in the original), both in characters.
    marks: Vec<(usize, usize)>,
}

/// Numbers the parameters of `sql`. `names` are those of the request; `None` for parameters without a name.
///
/// # Errors
/// For a `:name` that the request does not give, and for more `?` than it gives.
pub(super) fn number_parameters(sql: &str, names: &[Option<&str>]) -> Result<Numbered> {
    let chars: Vec<char> = sql.chars().collect();
    let mut writer = Writer { chars: &chars, names, at: 0, depth: 0, unnamed: 0, written: 0, out: Numbered::default() };
    while let Some(c) = writer.peek(0) {
        writer.step(c)?;
    }
    let mut numbered = writer.out;
    if numbered.order.is_empty() && names.iter().all(Option::is_none) {
        // `$1` in the text itself: parameters in the order of the request.
        numbered.order = (0..names.len()).collect();
    }
    Ok(numbered)
}

/// Line and column of a character of `sql`, which is counted from 0.
pub(super) fn place_of(sql: &str, character: usize) -> Place {
    let mut place = Place { line: 1, column: 1 };
    for c in sql.chars().take(character) {
        if c == '\n' {
            place.line += 1;
            place.column = 1;
        } else {
            place.column += 1;
        }
    }
    place
}

impl Numbered {
    /// The character of the original, from 0, that a position in `text` (from 1) stands for.
    pub(super) fn original(&self, position: u32) -> usize {
        let position = usize::try_from(position.saturating_sub(1)).unwrap_or(usize::MAX);
        let mark = self.marks.iter().take_while(|(there, _)| *there <= position).last();
        mark.map_or(position, |(there, here)| here + (position - there))
    }
}

struct Writer<'a> {
    chars: &'a [char],
    names: &'a [Option<&'a str>],
    at: usize,
    depth: u32,
    unnamed: usize,
    /// Characters written.
    written: usize,
    out: Numbered,
}

impl Writer<'_> {
    fn step(&mut self, c: char) -> Result<()> {
        match c {
            '\'' => {
                let is_escape = self.at > 0
                    && matches!(self.chars.get(self.at - 1), Some('e' | 'E'))
                    && !self.at.checked_sub(2).and_then(|at| self.chars.get(at)).is_some_and(|c| is_word(*c));
                self.quoted('\'', is_escape);
            }
            '"' => self.quoted('"', false),
            '-' if self.peek(1) == Some('-') => self.copy_while(|c| c != '\n'),
            '/' if self.peek(1) == Some('*') => self.block_comment(),
            '$' => self.dollar(),
            ':' if self.peek(1) == Some(':') => self.copy(2),
            ':' if self.peek(1).is_some_and(is_word_start) => self.named()?,
            '?' if self.takes_unnamed() => {
                let wanted = self.unnamed;
                let Some(index) = self.nth_unnamed(wanted) else {
                    return Err(self.missing(format!("there is no parameter for the {}. ?", wanted + 1)));
                };
                self.unnamed += 1;
                self.at += 1;
                self.parameter(index);
            }
            '(' | ')' => {
                self.depth = if c == '(' { self.depth + 1 } else { self.depth.saturating_sub(1) };
                self.copy(1);
            }
            c if is_word_start(c) => self.word(),
            c if c.is_ascii_digit() => self.copy_while(|c| is_word(c) || c == '.'),
            _ => self.copy(1),
        }
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn copy(&mut self, count: usize) {
        for c in self.chars.iter().skip(self.at).take(count) {
            self.out.text.push(*c);
            self.written += 1;
        }
        self.at = self.chars.len().min(self.at + count);
    }

    fn copy_while(&mut self, goes_on: impl Fn(char) -> bool) {
        let count = self.chars.iter().skip(self.at).take_while(|c| goes_on(**c)).count();
        self.copy(count.max(1));
    }

    /// A string or a quoted name: two quotes inside are one, and in `E''` a backslash takes the next character.
    fn quoted(&mut self, quote: char, is_escape: bool) {
        self.copy(1);
        while let Some(c) = self.peek(0) {
            if (c == '\\' && is_escape) || (c == quote && self.peek(1) == Some(quote)) {
                self.copy(2);
            } else {
                self.copy(1);
                if c == quote {
                    return;
                }
            }
        }
    }

    /// Comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.copy(2);
                }
                (Some('*'), Some('/')) => {
                    depth = depth.saturating_sub(1);
                    self.copy(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.copy(1),
            }
        }
    }

    /// `$1`, or a string between `$tag$` and `$tag$`.
    fn dollar(&mut self) {
        let tag: Vec<char> = self.chars.iter().skip(self.at + 1).take_while(|c| is_word(**c)).copied().collect();
        let opens =
            self.chars.get(self.at + 1 + tag.len()) == Some(&'$') && !tag.first().is_some_and(char::is_ascii_digit);
        if !opens {
            self.copy(1 + tag.len());
            return;
        }
        let mut fence = vec!['$'];
        fence.extend(&tag);
        fence.push('$');
        self.copy(fence.len());
        while self.peek(0).is_some() {
            if self.chars.iter().skip(self.at).take(fence.len()).eq(fence.iter()) {
                self.copy(fence.len());
                return;
            }
            self.copy(1);
        }
    }

    fn word(&mut self) {
        let word: String = self.chars.iter().skip(self.at).take_while(|c| is_word(**c)).collect();
        let ends_rows = word.eq_ignore_ascii_case("limit") || word.eq_ignore_ascii_case("fetch");
        if self.depth == 0 && ends_rows {
            self.out.has_limit = true;
        }
        self.copy(word.chars().count().max(1));
    }

    fn named(&mut self) -> Result<()> {
        let name: String = self.chars.iter().skip(self.at + 1).take_while(|c| is_word(**c)).collect();
        let given = self.names.iter().position(|given| *given == Some(name.as_str()));
        let Some(index) = given else {
            return Err(self.missing(format!("the parameter :{name} is not given")));
        };
        self.at += 1 + name.chars().count();
        self.parameter(index);
        Ok(())
    }

    /// `?` is a parameter only where the request has some without a name; else it is an operator.
    fn takes_unnamed(&self) -> bool {
        self.names.iter().any(Option::is_none)
    }

    fn nth_unnamed(&self, wanted: usize) -> Option<usize> {
        self.names.iter().enumerate().filter(|(_, name)| name.is_none()).map(|(index, _)| index).nth(wanted)
    }

    /// Writes `$n` for a parameter of the request; `at` is already behind it.
    fn parameter(&mut self, index: usize) {
        let known = self.out.order.iter().position(|other| *other == index);
        let number = known.unwrap_or_else(|| {
            self.out.order.push(index);
            self.out.order.len() - 1
        });
        let text = format!("${}", number + 1);
        self.written += text.len();
        self.out.text.push_str(&text);
        self.out.marks.push((self.written, self.at));
    }

    fn missing(&self, message: String) -> Failure {
        let sql: String = self.chars.iter().collect();
        Failure::invalid(message).at(place_of(&sql, self.at))
    }
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_word(c: char) -> bool {
    is_word_start(c) || c.is_ascii_digit()
}

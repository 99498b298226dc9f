//! A script into statements.

/// How far a text goes as SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// A string or quoted name; with the quote, and whether a backslash takes the next character.
    Quote(char, bool),
    LineComment,
    /// Nested so deep.
    BlockComment(u32),
    /// From the fence `$tag$` to the same.
    Dollar,
}

/// Complete statements of `text`, without their semicolons, and where the rest begins (in bytes).
pub(super) fn split(text: &str) -> (Vec<&str>, usize) {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut lexer = Lexer { text, at: 0, inside: Inside::Nothing, fence: "" };
    while let Some(semicolon) = lexer.next_semicolon() {
        let statement = text.get(start..semicolon).unwrap_or_default().trim();
        if !is_blank(statement) {
            statements.push(statement);
        }
        start = semicolon + 1;
    }
    (statements, start)
}

/// Whether there is nothing but white space and comments.
pub(super) fn is_blank(text: &str) -> bool {
    let mut lexer = Lexer { text, at: 0, inside: Inside::Nothing, fence: "" };
    while let Some(c) = lexer.peek() {
        let was_outside = lexer.inside == Inside::Nothing;
        lexer.step(c);
        let is_text = match lexer.inside {
            Inside::Nothing => was_outside && !c.is_whitespace(),
            Inside::Quote(..) | Inside::Dollar => true,
            Inside::LineComment | Inside::BlockComment(_) => false,
        };
        if is_text {
            return false;
        }
    }
    true
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    inside: Inside,
    fence: &'a str,
}

impl<'a> Lexer<'a> {
    /// The next semicolon that ends a statement; the lexer stands behind it.
    fn next_semicolon(&mut self) -> Option<usize> {
        while let Some(c) = self.peek() {
            let at = self.at;
            let ends = c == ';' && self.inside == Inside::Nothing;
            self.step(c);
            if ends {
                return Some(at);
            }
        }
        None
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Passes over `c` and what belongs to it.
    fn step(&mut self, c: char) {
        let rest = self.rest();
        let mut length = c.len_utf8();
        match self.inside {
            Inside::Nothing => match c {
                '\'' => self.inside = Inside::Quote('\'', self.follows_e()),
                '"' => self.inside = Inside::Quote('"', false),
                '-' if rest.starts_with("--") => self.inside = Inside::LineComment,
                '/' if rest.starts_with("/*") => (self.inside, length) = (Inside::BlockComment(1), 2),
                '$' => {
                    if let Some(fence) = fence(rest) {
                        (self.inside, self.fence, length) = (Inside::Dollar, fence, fence.len());
                    }
                }
                _ => {}
            },
            Inside::Quote(quote, takes_backslash) => {
                if c == '\\' && takes_backslash {
                    length += rest.chars().nth(1).map_or(0, char::len_utf8);
                } else if c == quote {
                    // Two quotes are one inside: leaving and entering again comes to the same.
                    self.inside = Inside::Nothing;
                    if rest.chars().nth(1) == Some(quote) {
                        (self.inside, length) = (Inside::Quote(quote, takes_backslash), 2);
                    }
                }
            }
            Inside::LineComment if c == '\n' => self.inside = Inside::Nothing,
            Inside::LineComment => {}
            Inside::BlockComment(depth) => {
                if rest.starts_with("/*") {
                    (self.inside, length) = (Inside::BlockComment(depth + 1), 2);
                } else if rest.starts_with("*/") {
                    length = 2;
                    self.inside = if depth > 1 { Inside::BlockComment(depth - 1) } else { Inside::Nothing };
                }
            }
            Inside::Dollar => {
                if c == '$' && rest.starts_with(self.fence) {
                    (self.inside, length) = (Inside::Nothing, self.fence.len());
                }
            }
        }
        self.at += length;
    }

    /// Whether the quote at hand belongs to an `E''` string.
    fn follows_e(&self) -> bool {
        let mut before = self.text.get(..self.at).unwrap_or_default().chars().rev();
        before.next().is_some_and(|c| c == 'e' || c == 'E')
            && !before.next().is_some_and(|c| c.is_alphanumeric() || c == '_')
    }
}

/// The fence `$tag$` that a text begins with.
fn fence(text: &str) -> Option<&str> {
    let tag = text.strip_prefix('$')?;
    let end = tag.find('$')?;
    let name = tag.get(..end)?;
    let is_name =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_name { text.get(..end + 2) } else { None }
}

/// `schema.table` into its parts: quoted parts as they are, others in lower case.
pub(super) fn table_name(text: &str) -> (Option<String>, String) {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let Some(part) = parts.last_mut() else { break };
        match c {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => part.push('"'),
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            c if is_quoted => part.push(c),
            c => part.extend(c.to_lowercase()),
        }
    }
    let table = parts.pop().unwrap_or_default();
    (parts.pop(), table)
}

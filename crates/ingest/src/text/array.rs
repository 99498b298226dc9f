//! Array literals of one dimension: `{1,NULL,"a b"}`.

use outcrop_types::{Condition, Error, Result};

/// An element of an array literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// NULL, unquoted.
    Null,
    /// The element's text, quotes and escapes resolved.
    Text(String),
}

/// Splits an array literal in its elements.
///
/// # Errors
/// `InvalidTextRepresentation` if it is malformed, `FeatureNotSupported` for more dimensions or other bounds than from 1.
pub fn split_array(literal: &str) -> Result<Vec<Element>> {
    let text = literal.trim();
    if text.starts_with('[') {
        return Err(Error::new(Condition::FeatureNotSupported, "arrays with explicit bounds are not supported")
            .with_hint("Write the elements alone, as in '{1,2,3}'."));
    }
    let body = text
        .strip_prefix('{')
        .ok_or_else(|| malformed(literal, "Array value must start with \"{\" or dimension information."))?;
    let mut splitter = Splitter { literal, rest: body, elements: Vec::new() };
    splitter.run()?;
    if splitter.rest.trim().is_empty() {
        Ok(splitter.elements)
    } else {
        Err(malformed(literal, "Junk after closing right brace."))
    }
}

/// Writes the text of an element, quoted if it must be.
pub fn write_element(out: &mut Vec<u8>, text: &[u8]) {
    let is_special =
        |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    if !text.is_empty() && !text.iter().any(is_special) && !text.eq_ignore_ascii_case(b"null") {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

struct Splitter<'a> {
    literal: &'a str,
    rest: &'a str,
    elements: Vec<Element>,
}

impl Splitter<'_> {
    fn run(&mut self) -> Result<()> {
        self.skip_space();
        if self.accept('}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            let element = if self.accept('"') { self.quoted()? } else { self.bare()? };
            self.elements.push(element);
            self.skip_space();
            if self.accept('}') {
                return Ok(());
            }
            if !self.accept(',') {
                return Err(self.unexpected());
            }
        }
    }

    fn quoted(&mut self) -> Result<Element> {
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => text.push(chars.next().ok_or_else(|| ended(self.literal))?),
                Some(c) => text.push(c),
                None => return Err(ended(self.literal)),
            }
        }
        self.rest = chars.as_str();
        Ok(Element::Text(text))
    }

    fn bare(&mut self) -> Result<Element> {
        let mut text = String::new();
        let mut is_escaped = false;
        // How much of the text must stay although it ends in space: it was escaped.
        let mut kept = 0;
        let mut chars = self.rest.chars();
        loop {
            let before = chars.as_str();
            match chars.next() {
                Some(',' | '}') => {
                    self.rest = before;
                    break;
                }
                Some('{') => {
                    return Err(Error::new(
                        Condition::FeatureNotSupported,
                        "arrays of more than one dimension are not supported",
                    ));
                }
                Some('"') => return Err(malformed(self.literal, "Incorrectly quoted array element.")),
                Some('\\') => {
                    is_escaped = true;
                    text.push(chars.next().ok_or_else(|| ended(self.literal))?);
                    kept = text.len();
                }
                Some(c) => text.push(c),
                None => return Err(ended(self.literal)),
            }
        }
        text.truncate(text.trim_end().len().max(kept));
        if text.is_empty() {
            return Err(self.unexpected());
        }
        if !is_escaped && text.eq_ignore_ascii_case("null") {
            return Ok(Element::Null);
        }
        Ok(Element::Text(text))
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn accept(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn unexpected(&self) -> Error {
        match self.rest.chars().next() {
            Some(c) => malformed(self.literal, &format!("Unexpected \"{c}\" character.")),
            None => ended(self.literal),
        }
    }
}

fn ended(literal: &str) -> Error {
    malformed(literal, "Unexpected end of input.")
}

fn malformed(literal: &str, detail: &str) -> Error {
    Error::new(Condition::InvalidTextRepresentation, format!("malformed array literal: \"{literal}\""))
        .with_detail(detail)
}

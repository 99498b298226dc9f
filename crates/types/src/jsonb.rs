//! `jsonb` text: checks JSON and writes it in the one form that is stored and compared.
//!
//! The form is PostgreSQL's: one space after `:` and `,`, object keys sorted by length and then bytewise, of equal keys
//! the last one, numbers with their digits as given but without an exponent, strings with the shortest escapes.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;

use crate::{Condition, Error, Result};

/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 512;
/// Most digits that writing an exponent out may add to a number.
const EXPONENT_MAX: i32 = 1_000;

/// Checks `text` and returns its normal form. Idempotent.
///
/// # Errors
/// `InvalidTextRepresentation` with what is wrong in DETAIL, `StatementTooComplex` beyond [`DEPTH_MAX`],
/// `NumericValueOutOfRange` for exponents that cannot be written out.
pub fn normalize(text: &str) -> Result<String> {
    let mut parser = Parser { text, chars: text.char_indices().peekable(), depth: 0 };
    let mut out = String::with_capacity(text.len());
    parser.value(&mut out)?;
    parser.skip_space();
    match parser.chars.peek() {
        None => Ok(out),
        Some(_) => Err(parser.unexpected("end of input")),
    }
}

/// Writes `text` as a JSON string, with quotes.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Orders keys as `jsonb` does: short before long, then bytewise.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    length: usize,
    text: String,
}

struct Parser<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, out: &mut String) -> Result<()> {
        self.skip_space();
        match self.chars.peek().map(|(_, c)| *c) {
            Some('{') => self.nested(out, Self::object),
            Some('[') => self.nested(out, Self::array),
            Some('"') => {
                let text = self.string()?;
                write_string(out, &text);
                Ok(())
            }
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(out),
            Some(c) if c.is_ascii_alphabetic() => self.word(out),
            Some(_) | None => Err(self.unexpected("JSON value")),
        }
    }

    fn nested(&mut self, out: &mut String, parse: fn(&mut Self, &mut String) -> Result<()>) -> Result<()> {
        if self.depth == DEPTH_MAX {
            return Err(Error::new(Condition::StatementTooComplex, "JSON is nested too deeply")
                .with_detail(format!("Arrays and objects may be nested {DEPTH_MAX} deep.")));
        }
        self.depth += 1;
        self.chars.next();
        parse(self, out)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, out: &mut String) -> Result<()> {
        let mut members = BTreeMap::new();
        self.skip_space();
        if !self.accept('}') {
            loop {
                self.skip_space();
                if self.chars.peek().is_none_or(|(_, c)| *c != '"') {
                    return Err(self.unexpected("string"));
                }
                let key = self.string()?;
                self.skip_space();
                if !self.accept(':') {
                    return Err(self.unexpected("\":\""));
                }
                let mut value = String::new();
                self.value(&mut value)?;
                members.insert(Key { length: key.len(), text: key }, value);
                self.skip_space();
                if self.accept('}') {
                    break;
                }
                if !self.accept(',') {
                    return Err(self.unexpected("\",\" or \"}\""));
                }
            }
        }
        out.push('{');
        for (i, (key, value)) in members.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_string(out, &key.text);
            out.push_str(": ");
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String) -> Result<()> {
        out.push('[');
        self.skip_space();
        if self.accept(']') {
            out.push(']');
            return Ok(());
        }
        loop {
            self.value(out)?;
            self.skip_space();
            if self.accept(']') {
                out.push(']');
                return Ok(());
            }
            if !self.accept(',') {
                return Err(self.unexpected("\",\" or \"]\""));
            }
            out.push_str(", ");
        }
    }

    fn word(&mut self, out: &mut String) -> Result<()> {
        let word = self.token();
        if !matches!(word, "true" | "false" | "null") {
            return Err(self.invalid(&format!("Token \"{word}\" is invalid.")));
        }
        out.push_str(word);
        (0..word.len()).for_each(|_| {
            self.chars.next();
        });
        Ok(())
    }

    fn number(&mut self, out: &mut String) -> Result<()> {
        let token = self.token();
        let number = Number::parse(token).ok_or_else(|| self.invalid(&format!("Token \"{token}\" is invalid.")))?;
        number.write(out)?;
        (0..token.chars().count()).for_each(|_| {
            self.chars.next();
        });
        Ok(())
    }

    fn string(&mut self) -> Result<String> {
        let mut out = String::new();
        self.chars.next();
        loop {
            match self.chars.next().map(|(_, c)| c) {
                None => return Err(self.invalid("The input string ended unexpectedly.")),
                Some('"') => return Ok(out),
                Some('\\') => out.push(self.escape()?),
                Some(c) if u32::from(c) < 0x20 => {
                    return Err(self.invalid(&format!("Character with value 0x{:02x} must be escaped.", u32::from(c))));
                }
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        match self.chars.next().map(|(_, c)| c) {
            Some(c @ ('"' | '\\' | '/')) => Ok(c),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode_escape(),
            Some(c) => Err(self.invalid(&format!("Escape sequence \"\\{c}\" is invalid."))),
            None => Err(self.invalid("The input string ended unexpectedly.")),
        }
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let unit = self.hex_unit()?;
        if unit == 0 {
            return Err(Error::new(Condition::CharacterNotInRepertoire, "unsupported Unicode escape sequence")
                .with_detail("\\u0000 cannot be converted to text."));
        }
        let code = match unit {
            0xd800..0xdc00 => {
                if !(self.accept('\\') && self.accept('u')) {
                    return Err(self.invalid("Unicode high surrogate must be followed by a low surrogate."));
                }
                match self.hex_unit()? {
                    low @ 0xdc00..0xe000 => 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err(self.invalid("Unicode high surrogate must be followed by a low surrogate.")),
                }
            }
            unit => unit,
        };
        char::from_u32(code).ok_or_else(|| self.invalid("Unicode low surrogate must follow a high surrogate."))
    }

    fn hex_unit(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.chars.next().and_then(|(_, c)| c.to_digit(16));
            let digit = digit.ok_or_else(|| self.invalid("\"\\u\" must be followed by four hexadecimal digits."))?;
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }

    fn skip_space(&mut self) {
        while self.chars.next_if(|(_, c)| matches!(c, ' ' | '\t' | '\n' | '\r')).is_some() {}
    }

    fn accept(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    /// The word, number or single character that begins here.
    fn token(&mut self) -> &'a str {
        let rest = self.chars.peek().and_then(|(at, _)| self.text.get(*at..)).unwrap_or_default();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
        let length = match rest.find(|c| !is_part(c)) {
            Some(0) => rest.chars().next().map_or(0, char::len_utf8),
            Some(length) => length,
            None => rest.len(),
        };
        rest.get(..length).unwrap_or_default()
    }

    fn unexpected(&mut self, wanted: &str) -> Error {
        match self.chars.peek() {
            None => self.invalid("The input string ended unexpectedly."),
            Some(_) => {
                let token = self.token().to_owned();
                self.invalid(&format!("Expected {wanted}, but found \"{token}\"."))
            }
        }
    }

    fn invalid(&self, detail: &str) -> Error {
        Error::new(Condition::InvalidTextRepresentation, "invalid input syntax for type json").with_detail(detail)
    }
}

/// A JSON number, cut in its parts.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Number<'a> {
    fn parse(token: &'a str) -> Option<Self> {
        let (negative, rest) = token.strip_prefix('-').map_or((false, token), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if !is_digits(digits) {
                    return None;
                }
                // A longer exponent than i32 saturates and is refused when it is written out.
                let saturated = if exponent.starts_with('-') { i32::MIN } else { i32::MAX };
                (mantissa, exponent.parse().unwrap_or(saturated))
            }
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let canonical = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
        canonical.then_some(Self { negative, whole, fraction, exponent })
    }

    fn write(&self, out: &mut String) -> Result<()> {
        if self.exponent.unsigned_abs() > EXPONENT_MAX.unsigned_abs() {
            return Err(Error::new(Condition::NumericValueOutOfRange, "a number in JSON is out of range")
                .with_detail(format!("Exponents may be -{EXPONENT_MAX} to {EXPONENT_MAX}.")));
        }
        let digits = format!("{}{}", self.whole, self.fraction);
        if self.negative && digits.bytes().any(|digit| digit != b'0') {
            out.push('-');
        }
        // Where the point stands in `digits`; it may lie before the first or behind the last one.
        let point = i32::try_from(self.whole.len()).unwrap_or(i32::MAX).saturating_add(self.exponent);
        let before = usize::try_from(point).unwrap_or(0);
        let missing = usize::try_from(point.saturating_neg()).unwrap_or(0);
        let padded = format!("{}{digits:0<before$}", "0".repeat(missing));
        let (whole, fraction) = padded.split_at(before.min(padded.len()));
        let whole = whole.trim_start_matches('0');
        out.push_str(if whole.is_empty() { "0" } else { whole });
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        Ok(())
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn the_normal_form_is_the_one_of_postgres() {
        for (text, normal) in [
            (r#"{"bb":1,"a":2,"a":3,"c":[1,2 , {}]}"#, r#"{"a": 3, "c": [1, 2, {}], "bb": 1}"#),
            (" 1.10 ", "1.10"),
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
            ("-0", "0"),
            ("-0.5E1", "-5"),
            (r#""\u00e4\/\ud83d\ude00\u0001""#, "\"ä/😀\\u0001\""),
            ("[null,true,false]", "[null, true, false]"),
            ("[]", "[]"),
        ] {
            assert_eq!(normalize(text).unwrap(), normal, "{text}");
            assert_eq!(normalize(normal).unwrap(), normal, "idempotent: {text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_a_reason() {
        for text in
            ["", "{", "[1,]", "{\"a\"}", "{a:1}", "01", "1.", "tru", "\"\n\"", "\"\\x\"", "1 2", "nul", "-", "\"a"]
        {
            let error = normalize(text).unwrap_err();
            assert_eq!(error.condition().sqlstate(), "22P02", "{text}");
            assert!(error.detail().is_some(), "{text}");
        }
        assert_eq!(normalize("\"\\u0000\"").unwrap_err().condition().sqlstate(), "22021");
        assert_eq!(normalize(&"[".repeat(100_000)).unwrap_err().condition().sqlstate(), "54001");
        assert_eq!(normalize("1e1000000").unwrap_err().condition().sqlstate(), "22003");
    }
}

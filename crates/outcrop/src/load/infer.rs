//! The type of a column, from its values. Pure: same values, same type.
//!
//! Each value allows a set of types; the column has the narrowest one that all allow, and text if there is none.
//! A type must give every value back as it went in: `007` is no number and `+49 30` neither, and numbers with more digits
//! than a double keeps are numeric.

use std::ops::{BitAnd, BitAndAssign, BitOr};

use outcrop_ingest::TextSettings;
use outcrop_ingest::text::parse;
use outcrop_types::DataType;

use super::digits::{Digits, are_kept};

/// What is known of a column so far.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    kinds: Kinds,
    /// Whether a double would lose digits of one of the numbers.
    needs_digits: bool,
    /// Whether a JSON value was an object or an array: then no scalar type does, but jsonb holds them all.
    has_nested: bool,
    /// Most digits before the point.
    whole_digits: u64,
    /// Most digits behind it.
    scale: u64,
    /// Values that are not NULL.
    pub(super) values: u64,
    /// Values that are NULL.
    pub(super) nulls: u64,
}

impl Default for Guess {
    fn default() -> Self {
        Self {
            kinds: Kinds::ALL,
            needs_digits: false,
            has_nested: false,
            whole_digits: 0,
            scale: 0,
            values: 0,
            nulls: 0,
        }
    }
}

impl Guess {
    /// Takes a NULL into account.
    pub(super) fn see_null(&mut self) {
        self.nulls += 1;
    }

    /// Takes a cell of a CSV file into account.
    pub(super) fn see_text(&mut self, text: &str) {
        self.values += 1;
        if self.kinds != Kinds::NONE {
            let kinds = self.kinds_of_text(text);
            self.kinds &= kinds;
        }
    }

    /// Takes a JSON value into account. `string` is what it stands for if it is a string.
    pub(super) fn see_json(&mut self, raw: &str, string: Option<&str>) {
        self.values += 1;
        let kinds = match (raw.as_bytes().first(), string) {
            (_, Some(string)) => kinds_of_time(string),
            (Some(b'{' | b'['), None) => {
                self.has_nested = true;
                Kinds::NONE
            }
            (Some(b't' | b'f'), None) => Kinds::BOOL,
            _ => self.kinds_of_number(raw),
        };
        self.kinds &= kinds;
    }

    /// The type; text for a column without a value.
    pub(super) fn data_type(&self) -> DataType {
        if self.has_nested {
            return DataType::Jsonb;
        }
        if self.values == 0 {
            return DataType::Text;
        }
        let is_number = self.kinds.has(Kinds::DOUBLE) && !self.kinds.has(Kinds::INTEGER);
        if is_number && self.needs_digits {
            // Text gives back what no numeric holds.
            return self.numeric().unwrap_or(DataType::Text);
        }
        let narrowest = [
            (Kinds::BOOL, DataType::Bool),
            (Kinds::INTEGER, DataType::Int8),
            (Kinds::DOUBLE, DataType::Float8),
            (Kinds::DATE, DataType::Date),
            (Kinds::TIMESTAMP, DataType::Timestamp),
            (Kinds::TIMESTAMPTZ, DataType::TimestampTz),
            (Kinds::JSON, DataType::Jsonb),
        ];
        let found = narrowest.into_iter().find(|(kind, _)| self.kinds.has(*kind));
        found.map_or(DataType::Text, |(_, data_type)| data_type)
    }

    /// What a user should know of the type.
    pub(super) fn note(&self) -> Option<&'static str> {
        match self.data_type() {
            _ if self.values == 0 => Some("has no value so far"),
            DataType::Numeric { .. } => Some("double precision would lose digits"),
            DataType::Text if self.needs_digits && self.kinds.has(Kinds::DOUBLE) => {
                Some("numbers, with more digits than a numeric type keeps")
            }
            _ => None,
        }
    }

    /// The numeric type that has room for all digits so far.
    fn numeric(&self) -> Option<DataType> {
        let digits = self.whole_digits + self.scale;
        let precision = NUMERIC_PRECISIONS.into_iter().find(|precision| digits <= u64::from(*precision))?;
        let scale = i8::try_from(self.scale).ok()?;
        self.kinds.has(Kinds::NUMERIC).then_some(DataType::Numeric { precision, scale })
    }

    fn kinds_of_text(&mut self, text: &str) -> Kinds {
        match text.as_bytes() {
            [b'{', .., b'}'] | [b'[', .., b']'] => {
                let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                if is_json { Kinds::JSON } else { Kinds::NONE }
            }
            [b'0'..=b'9' | b'-' | b'.', ..] => self.kinds_of_number(text) | kinds_of_time(text),
            _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => Kinds::BOOL,
            _ if matches!(text, "NaN" | "nan" | "Infinity" | "inf") => Kinds::DOUBLE,
            _ => Kinds::NONE,
        }
    }

    fn kinds_of_number(&mut self, text: &str) -> Kinds {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if matches!(digits, "Infinity" | "inf") {
            return Kinds::DOUBLE;
        }
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        if whole.len() > 1 && whole.starts_with('0') {
            return Kinds::NONE;
        }
        let Some(number) = Digits::of(text) else { return Kinds::NONE };
        if !digits.parse::<f64>().is_ok_and(f64::is_finite) {
            return Kinds::NONE;
        }
        self.needs_digits |= !are_kept(text, &DataType::Float8);
        let is_plain = is_digits(whole) && fraction.is_none_or(is_digits);
        // Zeros at the end count where they are written: they are of the number's precision.
        let written = fraction.filter(|_| is_plain).map_or(0, |fraction| fraction.len() as u64);
        self.whole_digits = self.whole_digits.max(number.whole());
        self.scale = self.scale.max(number.scale()).max(written);
        match fraction {
            None if text.parse::<i64>().is_ok() => Kinds::INTEGER | Kinds::DOUBLE | Kinds::NUMERIC,
            _ => Kinds::DOUBLE | Kinds::NUMERIC,
        }
    }
}

/// The types that a date or time of ISO 8601 allows.
fn kinds_of_time(text: &str) -> Kinds {
    let [year @ .., b'-', _, _, b'-', _, _] = text.as_bytes().get(..DATE_BYTES).unwrap_or_default() else {
        return Kinds::NONE;
    };
    if !year.iter().all(u8::is_ascii_digit) {
        return Kinds::NONE;
    }
    let settings = TextSettings::default();
    let is = |data_type: DataType| parse(&data_type, text, &settings).is_ok();
    match text.as_bytes().get(DATE_BYTES..).unwrap_or_default() {
        [] if is(DataType::Date) => Kinds::DATE | Kinds::TIMESTAMP,
        [b'T' | b' ', time @ ..] if has_clock(time) => {
            let has_zone = time.ends_with(b"Z") || time.iter().any(|byte| matches!(byte, b'+' | b'-'));
            match has_zone {
                true if is(DataType::TimestampTz) => Kinds::TIMESTAMPTZ,
                false if is(DataType::Timestamp) => Kinds::TIMESTAMP,
                _ => Kinds::NONE,
            }
        }
        _ => Kinds::NONE,
    }
}

/// Whether a time begins with `hh:mm` and goes on as times do.
fn has_clock(time: &[u8]) -> bool {
    let is_of_times = |byte: &u8| matches!(byte, b'0'..=b'9' | b':' | b'.' | b'+' | b'-' | b'Z');
    matches!(time, [b'0'..=b'9', b'0'..=b'9', b':', b'0'..=b'9', b'0'..=b'9', ..]) && time.iter().all(is_of_times)
}

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const NONE: Self = Self(0);
    const BOOL: Self = Self(1);
    const INTEGER: Self = Self(1 << 1);
    const NUMERIC: Self = Self(1 << 2);
    const DOUBLE: Self = Self(1 << 3);
    const DATE: Self = Self(1 << 4);
    const TIMESTAMP: Self = Self(1 << 5);
    const TIMESTAMPTZ: Self = Self(1 << 6);
    const JSON: Self = Self(1 << 7);
    const ALL: Self = Self(u8::MAX);

    fn has(self, kind: Self) -> bool {
        self & kind != Self::NONE
    }
}

impl BitAnd for Kinds {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitAndAssign for Kinds {
    fn bitand_assign(&mut self, other: Self) {
        self.0 &= other.0;
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Digits of a numeric that is stored in 128 bits, and in 256.
const NUMERIC_PRECISIONS: [u8; 2] = [38, 76];
/// `2024-01-31`
const DATE_BYTES: usize = 10;

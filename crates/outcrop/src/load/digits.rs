//! The digits of a number in text, and which types give them all back.

use outcrop_types::DataType;

/// A number as `0.d₁d₂… × 10^point`, without zeros at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    significant: Vec<u8>,
    point: i64,
}

/// A double keeps every number of so many digits, unless its exponent is extreme.
const DOUBLE_DIGITS: usize = 15;
/// And a real.
const REAL_DIGITS: usize = 6;
/// An exponent that no type has.
const EXPONENT_BEYOND: i64 = 1 << 40;

impl Digits {
    /// Reads a decimal literal, with an exponent or without; `None` for anything else.
    pub(super) fn of(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if all().next().is_none() || !all().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let leading = all().take_while(|digit| *digit == b'0').count();
        let mut significant: Vec<u8> = all().skip(leading).collect();
        let kept = significant.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        significant.truncate(kept);
        let point = if significant.is_empty() { 0 } else { length(whole.len()) - length(leading) + exponent };
        Some(Self { significant, point })
    }

    /// Digits before the point, at least one.
    pub(super) fn whole(&self) -> u64 {
        u64::try_from(self.point).unwrap_or(0).max(1)
    }

    /// Digits behind it.
    pub(super) fn scale(&self) -> u64 {
        u64::try_from(length(self.significant.len()) - self.point).unwrap_or(0)
    }
}

/// Whether a column of `data_type` gives back every digit of a number in text. Types that do not round keep what they take.
pub(super) fn are_kept(text: &str, data_type: &DataType) -> bool {
    match data_type {
        DataType::Float8 => {
            has_few(text, DOUBLE_DIGITS) || is_same(text, text.parse().map(|number: f64| format!("{number:e}")).ok())
        }
        DataType::Float4 => {
            has_few(text, REAL_DIGITS) || is_same(text, text.parse().map(|number: f32| format!("{number:e}")).ok())
        }
        DataType::Numeric { scale, .. } => match (Digits::of(text), u64::try_from(*scale)) {
            (None, _) => true,
            (Some(digits), Ok(scale)) => digits.scale() <= scale,
            (Some(digits), Err(_negative)) => {
                digits.significant.is_empty()
                    || digits.point - length(digits.significant.len()) >= i64::from(scale.unsigned_abs())
            }
        },
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Jsonb
        | DataType::Array(_) => true,
    }
}

/// Without looking closely.
fn has_few(text: &str, digits: usize) -> bool {
    text.len() <= digits && !text.contains(['e', 'E'])
}

/// Whether the shortest text of the nearest float has the same digits. What is no number is not for us to judge.
fn is_same(text: &str, shortest: Option<String>) -> bool {
    match (Digits::of(text), shortest) {
        (Some(digits), Some(shortest)) => Digits::of(&shortest) == Some(digits),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

fn exponent_of(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(sign * digits.parse().unwrap_or(EXPONENT_BEYOND).min(EXPONENT_BEYOND))
}

/// Lengths of text are far below what an `i64` holds.
fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

//! Changes of a column's type that keep every value (issue 3, item 5).
//!
//! What was written under the narrower type stays as it is on disk and in memory, and is read through the widening; so a
//! widening must be exact, keep the order of values, and never fail.

use std::cmp::Ordering;

use crate::{DataType, Value};

impl DataType {
    /// Whether every value of this type is a value of `to`, the same one.
    pub fn widens_to(&self, to: &Self) -> bool {
        match (self, to) {
            (Self::Int2, Self::Int4 | Self::Int8) | (Self::Int4, Self::Int8) | (Self::Float4, Self::Float8) => true,
            (Self::Int2 | Self::Int4 | Self::Int8, Self::Numeric { precision, scale }) => {
                whole_digits(*precision, *scale) >= self.digits()
            }
            (Self::Numeric { precision, scale }, Self::Numeric { precision: wider_precision, scale: wider_scale }) => {
                scale <= wider_scale && whole_digits(*precision, *scale) <= whole_digits(*wider_precision, *wider_scale)
            }
            (Self::Varchar { length }, Self::Varchar { length: wider }) => length <= wider,
            (Self::Varchar { .. }, Self::Text) => true,
            _ => self == to,
        }
    }

    /// Whether keys of this type have the same bytes as keys of `to`, which it widens to: entries of key indexes are never
    /// rewritten.
    pub fn keeps_keys_as(&self, to: &Self) -> bool {
        matches!(self, Self::Numeric { .. }) || !matches!(to, Self::Numeric { .. })
    }

    /// Decimal digits of the longest whole number of this type.
    fn digits(&self) -> i16 {
        if *self == Self::Int2 {
            5
        } else if *self == Self::Int4 {
            10
        } else {
            19
        }
    }
}

/// Digits before the point.
fn whole_digits(precision: u8, scale: i8) -> i16 {
    i16::from(precision) - i16::from(scale)
}

impl Value {
    /// This value in a type that its own type widens to. `None` if that has no form in memory: numbers beyond 38 digits.
    pub fn widened(&self, to: &DataType) -> Option<Self> {
        match (self, to) {
            (Self::Int(v), DataType::Numeric { scale, .. }) => {
                Some(Self::Decimal(scaled(i128::from(*v), 0, *scale)?, *scale))
            }
            (Self::Decimal(digits, from), DataType::Numeric { scale, .. }) => {
                Some(Self::Decimal(scaled(*digits, *from, *scale)?, *scale))
            }
            _ => Some(self.clone()),
        }
    }

    /// This value in a type that widens to its own; `None` if that type does not have it.
    pub fn narrowed(&self, to: &DataType) -> Option<Self> {
        match (self, to) {
            (Self::Decimal(digits, scale), DataType::Int2 | DataType::Int4 | DataType::Int8) => {
                i64::try_from(scaled(*digits, *scale, 0)?).ok().map(Self::Int)
            }
            (Self::Decimal(digits, from), DataType::Numeric { precision, scale }) => {
                let digits = scaled(*digits, *from, *scale)?;
                let limit = 10_u128.checked_pow(u32::from(*precision));
                limit.is_none_or(|limit| digits.unsigned_abs() < limit).then_some(Self::Decimal(digits, *scale))
            }
            _ => Some(self.clone()),
        }
    }
}

/// The same number with `to` digits after the point; `None` if it has more, or too many in all.
fn scaled(digits: i128, from: i8, to: i8) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    let more = i32::from(to) - i32::from(from);
    let power = 10_i128.checked_pow(more.unsigned_abs())?;
    if more >= 0 {
        return digits.checked_mul(power);
    }
    (digits % power == 0).then_some(digits / power)
}

/// Compares two decimals by value.
pub(crate) fn compare_decimals(a: (i128, i8), b: (i128, i8)) -> Ordering {
    let ((a, scale_a), (b, scale_b)) = (a, b);
    if scale_a > scale_b {
        return compare_decimals((b, scale_b), (a, scale_a)).reverse();
    }
    // What does not fit is beyond everything that does.
    scaled(a, scale_a, scale_b).map_or_else(|| a.cmp(&0), |a| a.cmp(&b))
}

#[cfg(test)]
mod tests;

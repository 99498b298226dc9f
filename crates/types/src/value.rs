//! A single value: column defaults, predicate constants, keys in error messages.

use std::cmp::Ordering;
use std::fmt;

use crate::widen::compare_decimals;

/// One value of a [`crate::DataType`], in the physical form that Arrow batches hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`, `integer`, `bigint`
    Int(i64),
    /// `real`, `double precision`
    Float(f64),
    /// `numeric`: the unscaled digits of up to precision 38, and the scale.
    Decimal(i128, i8),
    /// `text`, `varchar`, `jsonb`
    Text(String),
    /// `bytea`
    Bytes(Vec<u8>),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `time`: microseconds since midnight.
    Time(i64),
    /// `timestamp`: microseconds since 1970-01-01.
    Timestamp(i64),
    /// `timestamptz`: microseconds since 1970-01-01 UTC.
    TimestampTz(i64),
    /// `uuid`
    Uuid([u8; 16]),
    /// `T[]`
    Array(Vec<Value>),
}

impl Value {
    /// Compares two values of one type as SQL does: text bytewise, NaN equal to itself and greatest, the zeros equal.
    /// Whole numbers and decimals compare by value: a column may have been widened from one to the other. `None` when they
    /// have no common order: NULLs, arrays, other different types.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => Some(a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))),
            (Self::Decimal(a, scale_a), Self::Decimal(b, scale_b)) => {
                Some(compare_decimals((*a, *scale_a), (*b, *scale_b)))
            }
            (Self::Int(a), Self::Decimal(b, scale)) => Some(compare_decimals((i128::from(*a), 0), (*b, *scale))),
            (Self::Decimal(a, scale), Self::Int(b)) => Some(compare_decimals((*a, *scale), (i128::from(*b), 0))),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b))
            | (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::TimestampTz(a), Self::TimestampTz(b)) => Some(a.cmp(b)),
            (Self::Uuid(a), Self::Uuid(b)) => Some(a.cmp(b)),
            (
                Self::Null
                | Self::Bool(_)
                | Self::Int(_)
                | Self::Float(_)
                | Self::Decimal(..)
                | Self::Text(_)
                | Self::Bytes(_)
                | Self::Date(_)
                | Self::Time(_)
                | Self::Timestamp(_)
                | Self::TimestampTz(_)
                | Self::Uuid(_)
                | Self::Array(_),
                _,
            ) => None,
        }
    }
}

/// As `psql` shows it, near enough for error messages such as `Key (id)=(1) already exists.`
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(true) => f.write_str("t"),
            Self::Bool(false) => f.write_str("f"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v}"),
            Self::Decimal(digits, scale) => write_decimal(f, *digits, *scale),
            Self::Text(v) => f.write_str(v),
            Self::Bytes(v) => {
                f.write_str("\\x")?;
                v.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
            Self::Date(days) => write_date(f, i64::from(*days)),
            Self::Time(us) => write_time(f, *us),
            Self::Timestamp(us) => write_timestamp(f, *us),
            Self::TimestampTz(us) => {
                write_timestamp(f, *us)?;
                f.write_str("+00")
            }
            Self::Uuid(bytes) => write!(f, "{}", uuid::Uuid::from_bytes(*bytes)),
            Self::Array(items) => {
                f.write_str("{")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, digits: i128, scale: i8) -> fmt::Result {
    let Ok(scale) = usize::try_from(scale) else {
        return write!(f, "{digits}e{}", -i32::from(scale));
    };
    if scale == 0 {
        return write!(f, "{digits}");
    }
    let sign = if digits < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    write!(f, "{sign}{whole}.{fraction}")
}

const US_PER_DAY: i64 = 86_400_000_000;

fn write_timestamp(f: &mut fmt::Formatter<'_>, us: i64) -> fmt::Result {
    match us {
        i64::MIN => return f.write_str("-infinity"),
        i64::MAX => return f.write_str("infinity"),
        _ => {}
    }
    write_date(f, us.div_euclid(US_PER_DAY))?;
    f.write_str(" ")?;
    write_time(f, us.rem_euclid(US_PER_DAY))
}

fn write_time(f: &mut fmt::Formatter<'_>, us: i64) -> fmt::Result {
    let seconds = us / 1_000_000;
    write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    match us % 1_000_000 {
        0 => Ok(()),
        fraction => f.write_str(format!(".{fraction:06}").trim_end_matches('0')),
    }
}

/// Days since 1970-01-01 to a civil date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn write_date(f: &mut fmt::Formatter<'_>, days: i64) -> fmt::Result {
    if days == i64::from(i32::MIN) {
        return f.write_str("-infinity");
    }
    if days == i64::from(i32::MAX) {
        return f.write_str("infinity");
    }
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year > 0 {
        write!(f, "{year:04}-{month:02}-{day:02}")
    } else {
        write!(f, "{:04}-{month:02}-{day:02} BC", 1 - year)
    }
}

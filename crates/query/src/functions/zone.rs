//! Time zones: fixed offsets and names of the IANA database.

use chrono::{DateTime, LocalResult, Offset, TimeZone};
use chrono_tz::Tz;
use outcrop_types::{Condition, Error, Result};

const US_PER_SECOND: i64 = 1_000_000;

/// A zone that local times can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// µs east of UTC.
    Fixed(i64),
    /// With daylight saving and history.
    Named(Tz),
}

impl Zone {
    /// Reads `UTC`, `Z`, `+02`, `-03:30`, `Europe/Berlin`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for an unknown zone.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        match text.to_ascii_uppercase().as_str() {
            "" | "Z" | "UTC" | "GMT" | "ETC/UTC" | "ETC/GMT" | "UCT" | "ZULU" => return Ok(Self::Fixed(0)),
            _ => {}
        }
        let unknown = || Error::new(Condition::InvalidParameterValue, format!("time zone \"{text}\" not recognized"));
        let (sign, digits) = match text.split_at_checked(1) {
            Some(("+", rest)) => (1, rest),
            Some(("-", rest)) => (-1, rest),
            _ => {
                let named = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text));
                return named.copied().map(Self::Named).ok_or_else(unknown);
            }
        };
        let (hours, minutes) = match digits.split_once(':') {
            Some((hours, minutes)) => (hours, minutes.split(':').next().unwrap_or("0")),
            None if digits.len() == 4 => digits.split_at(2),
            None => (digits, "0"),
        };
        let number = |part: &str| part.parse::<i64>().ok().filter(|_| part.len() <= 2);
        match (number(hours), number(minutes)) {
            (Some(hours @ 0..=15), Some(minutes @ 0..=59)) => {
                Ok(Self::Fixed(sign * (hours * 60 + minutes) * 60 * US_PER_SECOND))
            }
            _ => Err(unknown()),
        }
    }

    /// The local time of a moment. Infinity stays.
    pub(super) fn to_local(self, utc: i64) -> i64 {
        if utc == i64::MIN || utc == i64::MAX {
            return utc;
        }
        utc.saturating_add(self.offset_at(utc))
    }

    /// The moment of a local time: in a gap as if the clock had not been changed, of two the first.
    pub(super) fn to_utc(self, local: i64) -> i64 {
        if local == i64::MIN || local == i64::MAX {
            return local;
        }
        let Self::Named(zone) = self else {
            return local.saturating_sub(self.offset_at(local));
        };
        let Some(naive) = DateTime::from_timestamp_micros(local).map(|time| time.naive_utc()) else {
            return local;
        };
        match zone.from_local_datetime(&naive) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.timestamp_micros(),
            LocalResult::None => local.saturating_sub(self.offset_at(local.saturating_sub(86_400 * US_PER_SECOND))),
        }
    }

    fn offset_at(self, utc: i64) -> i64 {
        match self {
            Self::Fixed(offset) => offset,
            Self::Named(zone) => {
                DateTime::from_timestamp_micros(utc).map_or(0, |time| {
                    i64::from(zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())
                }) * US_PER_SECOND
            }
        }
    }
}

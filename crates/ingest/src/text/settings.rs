//! What a session says about text: `TimeZone`, `DateStyle` (order), `bytea_output`.

use chrono::{Offset, TimeZone as _};

use crate::text::calendar::Civil;

/// Settings that text input and output depend on. The date output is always ISO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSettings {
    /// Zone of `timestamptz` output, and of input without a zone.
    pub time_zone: TimeZone,
    /// How ambiguous dates such as `02/03/2024` are read.
    pub date_order: DateOrder,
    /// How `bytea` is written.
    pub bytea_output: ByteaOutput,
}

impl TextSettings {
    /// From the settings of a session, which `setting` answers by name. What is not set or not known is as PostgreSQL
    /// has it by default.
    pub fn of_session(setting: impl Fn(&str) -> Option<String>) -> Self {
        let setting = |name| setting(name).unwrap_or_default();
        Self {
            time_zone: TimeZone::parse(&setting("TimeZone")).unwrap_or_default(),
            date_order: DateOrder::of_date_style(&setting("DateStyle")),
            bytea_output: match setting("bytea_output").as_str() {
                "escape" => ByteaOutput::Escape,
                _ => ByteaOutput::Hex,
            },
        }
    }
}

/// `DateStyle`'s second word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// `MDY`
    #[default]
    MonthDayYear,
    /// `DMY`
    DayMonthYear,
    /// `YMD`
    YearMonthDay,
}

impl DateOrder {
    /// Reads the order from a `DateStyle` such as `ISO, DMY`.
    pub fn of_date_style(style: &str) -> Self {
        let style = style.to_ascii_uppercase();
        if style.contains("DMY") || style.contains("EURO") {
            Self::DayMonthYear
        } else if style.contains("YMD") {
            Self::YearMonthDay
        } else {
            Self::MonthDayYear
        }
    }
}

/// `bytea_output`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteaOutput {
    /// `\x00ff`
    #[default]
    Hex,
    /// `\000\377`
    Escape,
}

/// A time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeZone {
    /// UTC.
    #[default]
    Utc,
    /// Seconds east of UTC.
    Fixed(i32),
    /// A zone of the IANA database.
    Named(chrono_tz::Tz),
}

/// Furthest offset from UTC, in seconds (PostgreSQL: 15:59:59).
const OFFSET_SECONDS_MAX: i32 = 16 * 3_600 - 1;
/// Times beyond the years that `chrono` knows are read with the offset of its last ones.
const CHRONO_SECONDS_MAX: i64 = 8_000_000_000_000;

impl TimeZone {
    /// Reads a zone as `SET TimeZone` takes it: an IANA name, `UTC`, or an ISO offset such as `+02:00`.
    ///
    /// A name is matched without regard to case. In the POSIX manner of PostgreSQL a bare number counts hours east.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        if ["utc", "z", "zulu", "gmt", "etc/utc", "uct"].iter().any(|utc| name.eq_ignore_ascii_case(utc)) {
            return Some(Self::Utc);
        }
        if name.starts_with(['+', '-']) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Self::parse_offset(name).map(Self::fixed);
        }
        let is_named = |zone: &&chrono_tz::Tz| zone.name().eq_ignore_ascii_case(name);
        name.parse().ok().or_else(|| chrono_tz::TZ_VARIANTS.iter().find(is_named).copied()).map(Self::Named)
    }

    /// `+HH`, `+HHMM`, `+HH:MM`, `+HH:MM:SS`: seconds east of UTC.
    pub fn parse_offset(text: &str) -> Option<i32> {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => (1, text),
        };
        let mut parts = [0_i32; 3];
        if rest.contains(':') {
            let mut fields = rest.split(':');
            for part in &mut parts {
                let Some(field) = fields.next() else { break };
                *part = two_digits(field)?;
            }
            if fields.next().is_some() {
                return None;
            }
        } else {
            let (hours, minutes) = match rest.len() {
                1 | 2 => (rest, "0"),
                3 | 4 => rest.split_at_checked(rest.len() - 2)?,
                _ => return None,
            };
            parts = [two_digits(hours)?, two_digits(minutes)?, 0];
        }
        let [hours, minutes, seconds] = parts;
        let total = hours * 3_600 + minutes * 60 + seconds;
        (minutes < 60 && seconds < 60 && total <= OFFSET_SECONDS_MAX).then_some(sign * total)
    }

    /// The zone this many seconds east of UTC.
    pub fn fixed(seconds: i32) -> Self {
        if seconds == 0 { Self::Utc } else { Self::Fixed(seconds) }
    }

    /// Seconds east of UTC at a time in UTC, given in microseconds since 1970.
    pub fn offset_at_utc(&self, us: i64) -> i32 {
        match self {
            Self::Utc => 0,
            Self::Fixed(seconds) => *seconds,
            Self::Named(zone) => {
                let seconds = us.div_euclid(1_000_000).clamp(-CHRONO_SECONDS_MAX, CHRONO_SECONDS_MAX);
                chrono::DateTime::from_timestamp(seconds, 0)
                    .map_or(0, |time| zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())
            }
        }
    }

    /// Seconds east of UTC at a local time, given in microseconds since 1970 on the local clock.
    ///
    /// Of two such times standard time is taken; a time in a gap counts with the offset before it.
    pub fn offset_at_local(&self, us: i64) -> i32 {
        match self {
            Self::Utc => 0,
            Self::Fixed(seconds) => *seconds,
            Self::Named(zone) => {
                let seconds = us.div_euclid(1_000_000).clamp(-CHRONO_SECONDS_MAX, CHRONO_SECONDS_MAX);
                let Some(local) = chrono::DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc()) else {
                    return 0;
                };
                match zone.offset_from_local_datetime(&local) {
                    chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
                    // PostgreSQL takes standard time, which is the later instant.
                    chrono::LocalResult::Ambiguous(first, second) => {
                        first.fix().local_minus_utc().min(second.fix().local_minus_utc())
                    }
                    chrono::LocalResult::None => self.offset_at_utc(us - Civil::US_PER_DAY),
                }
            }
        }
    }
}

fn two_digits(text: &str) -> Option<i32> {
    let fits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

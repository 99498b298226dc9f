//! Input of dates and times: ISO 8601 and the other forms that PostgreSQL reads.

use outcrop_types::{Condition, Error, Result, plain};

use super::calendar::Civil;
use super::{DateOrder, TextSettings, TimeZone};

/// 4714-11-24 BC: the first day that PostgreSQL knows (Julian day 0).
const FIRST_DAY: i64 = -2_440_588;
/// 5874897-12-31: the last day of PostgreSQL's `date`.
const LAST_DAY: i64 = 2_145_042_905;
const US_PER_SECOND: i64 = 1_000_000;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Reads a `date`: days since 1970-01-01.
///
/// # Errors
/// `InvalidDatetimeFormat`, `DatetimeFieldOverflow`.
pub fn parse_date(text: &str, settings: &TextSettings) -> Result<i32> {
    plain::date(text).map_or_else(|| any_date(text, settings), Ok)
}

/// A `date` in any form.
pub(super) fn any_date(text: &str, settings: &TextSettings) -> Result<i32> {
    let moment = match read(text, "date", settings)? {
        Moment::NegativeInfinity => return Ok(i32::MIN),
        Moment::Infinity => return Ok(i32::MAX),
        Moment::Fields(fields) => fields,
    };
    let days = moment.date.ok_or_else(|| syntax("date", text))?.to_days();
    match i32::try_from(days) {
        Ok(days) if (FIRST_DAY..=LAST_DAY).contains(&i64::from(days)) => Ok(days),
        Ok(_) | Err(_) => Err(range("date", text)),
    }
}

/// Reads a `time`: microseconds since midnight. A date before it or a zone behind it is ignored.
///
/// # Errors
/// `InvalidDatetimeFormat`, `DatetimeFieldOverflow`.
pub fn parse_time(text: &str, settings: &TextSettings) -> Result<i64> {
    match read(text, "time", settings)? {
        Moment::Fields(Fields { time: Some(us), .. }) => Ok(us),
        Moment::Fields(_) | Moment::Infinity | Moment::NegativeInfinity => Err(syntax("time", text)),
    }
}

/// Reads a `timestamp`: microseconds since 1970. A zone is ignored, as PostgreSQL does.
///
/// # Errors
/// `InvalidDatetimeFormat`, `DatetimeFieldOverflow`.
pub fn parse_timestamp(text: &str, settings: &TextSettings) -> Result<i64> {
    plain::timestamp(text).map_or_else(|| any_timestamp(text, settings), |(us, _)| Ok(us))
}

/// A `timestamp` in any form.
pub(super) fn any_timestamp(text: &str, settings: &TextSettings) -> Result<i64> {
    match read(text, "timestamp", settings)? {
        Moment::NegativeInfinity => Ok(i64::MIN),
        Moment::Infinity => Ok(i64::MAX),
        Moment::Fields(fields) => fields.to_us(0).ok_or_else(|| fields.date_error("timestamp", text)),
    }
}

/// Reads a `timestamptz`: microseconds since 1970 in UTC. Without a zone the session's counts.
///
/// # Errors
/// `InvalidDatetimeFormat`, `DatetimeFieldOverflow`.
pub fn parse_timestamptz(text: &str, settings: &TextSettings) -> Result<i64> {
    let Some((us, offset)) = plain::timestamp(text) else { return any_timestamptz(text, settings) };
    let of_session = || i64::from(settings.time_zone.offset_at_local(us)) * US_PER_SECOND;
    Ok(us - offset.unwrap_or_else(of_session))
}

/// A `timestamptz` in any form.
pub(super) fn any_timestamptz(text: &str, settings: &TextSettings) -> Result<i64> {
    let name = "timestamp with time zone";
    let fields = match read(text, name, settings)? {
        Moment::NegativeInfinity => return Ok(i64::MIN),
        Moment::Infinity => return Ok(i64::MAX),
        Moment::Fields(fields) => fields,
    };
    let local = fields.to_us(0).ok_or_else(|| fields.date_error(name, text))?;
    let offset = fields.zone.unwrap_or(settings.time_zone).offset_at_local(local);
    fields.to_us(offset).ok_or_else(|| range("timestamp", text))
}

/// What a text says.
enum Moment {
    NegativeInfinity,
    Infinity,
    Fields(Fields),
}

#[derive(Default)]
struct Fields {
    date: Option<Civil>,
    time: Option<i64>,
    zone: Option<TimeZone>,
}

impl Fields {
    /// Microseconds since 1970, less `offset` seconds; `None` without a date or out of range.
    fn to_us(&self, offset: i32) -> Option<i64> {
        let days = self.date?.to_days();
        let us = days
            .checked_mul(Civil::US_PER_DAY)?
            .checked_add(self.time.unwrap_or(0))?
            .checked_sub(i64::from(offset) * US_PER_SECOND)?;
        (days >= FIRST_DAY && us != i64::MAX && us != i64::MIN).then_some(us)
    }

    fn date_error(&self, name: &str, text: &str) -> Error {
        if self.date.is_none() { syntax(name, text) } else { range("timestamp", text) }
    }
}

/// Why a text is not a date or time.
enum Fault {
    Syntax,
    Field,
    Zone(String),
}

fn read(text: &str, name: &str, settings: &TextSettings) -> Result<Moment> {
    let trimmed = text.trim();
    match trimmed.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => return Ok(Moment::Infinity),
        "-infinity" => return Ok(Moment::NegativeInfinity),
        "epoch" => {
            let date = Civil::new(1970, 1, 1);
            return Ok(Moment::Fields(Fields { date, time: Some(0), zone: Some(TimeZone::Utc) }));
        }
        _ => {}
    }
    let mut reader = Reader { order: settings.date_order, ..Reader::default() };
    reader.read(trimmed).and_then(|()| reader.finish()).map(Moment::Fields).map_err(|fault| match fault {
        Fault::Syntax => syntax(name, text),
        Fault::Field => {
            Error::new(Condition::DatetimeFieldOverflow, format!("date/time field value out of range: \"{text}\""))
        }
        Fault::Zone(zone) => {
            Error::new(Condition::InvalidParameterValue, format!("time zone \"{zone}\" not recognized"))
        }
    })
}

#[derive(Default)]
struct Reader {
    order: DateOrder,
    year: Option<i64>,
    month: Option<u8>,
    day: Option<u8>,
    time: Option<i64>,
    zone: Option<TimeZone>,
    is_before_christ: bool,
}

impl Reader {
    fn read(&mut self, text: &str) -> Result<(), Fault> {
        for token in text.split([' ', '\t', '\n', '\r', ',']).filter(|token| !token.is_empty()) {
            self.token(token)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Fields, Fault> {
        let date = match (self.year, self.month, self.day) {
            (None, None, None) => None,
            (Some(year), Some(month), Some(day)) => {
                if year == 0 {
                    return Err(Fault::Field);
                }
                let year = if self.is_before_christ { 1 - year } else { year };
                Some(Civil::new(year, month, day).ok_or(Fault::Field)?)
            }
            _ => return Err(Fault::Syntax),
        };
        if date.is_none() && (self.time.is_none() || self.is_before_christ) {
            return Err(Fault::Syntax);
        }
        Ok(Fields { date, time: self.time, zone: self.zone })
    }

    fn token(&mut self, token: &str) -> Result<(), Fault> {
        let lower = token.to_ascii_lowercase();
        match lower.as_str() {
            "bc" | "b.c." => {
                self.is_before_christ = true;
                return Ok(());
            }
            "ad" | "a.d." => return Ok(()),
            "am" | "pm" => return self.meridiem(&lower),
            _ => {}
        }
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            return self.digits(&lower);
        }
        if token.starts_with(['+', '-']) && self.time.is_some() {
            return self.set_zone(token);
        }
        match month_number(&lower) {
            Some(month) if self.month.is_none() => {
                self.month = Some(month);
                Ok(())
            }
            Some(_) | None if self.time.is_some() => self.set_zone(token),
            Some(_) | None => Err(Fault::Syntax),
        }
    }

    /// A token that begins with a digit: a date, a time, both with a `T` between, or a part of a date.
    fn digits(&mut self, token: &str) -> Result<(), Fault> {
        let colon = token.find(':');
        let date_end = token.find('t').filter(|at| colon.is_none_or(|colon| *at < colon));
        if let Some((date, time)) = date_end.and_then(|at| token.split_at_checked(at))
            && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        {
            self.date(date)?;
            return self.time(time.get(1..).unwrap_or_default());
        }
        if colon.is_some() {
            return self.time(token);
        }
        if token.contains(['-', '/', '.']) {
            return self.date(token);
        }
        let all_digits = token.bytes().all(|byte| byte.is_ascii_digit());
        match token.len() {
            8 if all_digits && self.year.is_none() && self.month.is_none() => self.date(token),
            6 | 4 if all_digits && self.year.is_some() && self.month.is_some() && self.day.is_some() => {
                self.time(token)
            }
            1 | 2 if all_digits && self.day.is_none() => {
                self.day = Some(token.parse().map_err(|_overflow| Fault::Field)?);
                Ok(())
            }
            3..=7 if all_digits && self.year.is_none() => {
                self.year = Some(token.parse().map_err(|_overflow| Fault::Field)?);
                Ok(())
            }
            _ if token.ends_with("am") || token.ends_with("pm") => self.time(token),
            _ => Err(Fault::Syntax),
        }
    }

    fn date(&mut self, token: &str) -> Result<(), Fault> {
        if self.year.is_some() || self.day.is_some() {
            return Err(Fault::Syntax);
        }
        let parts: Vec<&str> = token.split(['-', '/', '.']).collect();
        let [first, second, third] = match parts.as_slice() {
            [packed] if packed.len() == 8 => {
                let (year, rest) = packed.split_at(4);
                let (month, day) = rest.split_at(2);
                [year, month, day]
            }
            [first, second, third] => [*first, *second, *third],
            _ => return Err(Fault::Syntax),
        };
        let (year, month, day) = match (first.len(), month_number(second)) {
            (3.., _) => (first, second, third),
            (_, Some(_)) => (third, second, first),
            _ => match self.order {
                DateOrder::MonthDayYear => (third, first, second),
                DateOrder::DayMonthYear => (third, second, first),
                DateOrder::YearMonthDay => (first, second, third),
            },
        };
        let is_short_year = year.len() <= 2;
        let year: i64 = number(year, 7)?;
        self.year = Some(match year {
            0..70 if is_short_year => year + 2000,
            70..100 if is_short_year => year + 1900,
            year => year,
        });
        self.month = match month_number(month) {
            Some(month) => Some(month),
            None => Some(u8::try_from(number(month, 2)?).map_err(|_overflow| Fault::Field)?),
        };
        self.day = Some(u8::try_from(number(day, 2)?).map_err(|_overflow| Fault::Field)?);
        Ok(())
    }

    /// `HH:MM[:SS[.ffffff]]` or `HHMM[SS]`, then AM, PM or a zone.
    fn time(&mut self, token: &str) -> Result<(), Fault> {
        if self.time.is_some() {
            return Err(Fault::Syntax);
        }
        let end = token.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(token.len());
        let (clock, rest) = token.split_at(end);
        let packed;
        let parts: Vec<&str> = if clock.contains(':') {
            clock.split(':').collect()
        } else {
            packed = clock.split_once('.').unwrap_or((clock, ""));
            match packed.0.len() {
                2 => vec![packed.0],
                4 | 6 => vec![
                    packed.0.get(..2).unwrap_or_default(),
                    packed.0.get(2..4).unwrap_or_default(),
                    clock.get(4..).filter(|seconds| !seconds.is_empty()).unwrap_or("0"),
                ],
                _ => return Err(Fault::Syntax),
            }
        };
        let (hours, minutes, seconds) = match parts.as_slice() {
            [hours] if !rest.is_empty() => (*hours, "0", "0"),
            [hours, minutes] => (*hours, *minutes, "0"),
            [hours, minutes, seconds] => (*hours, *minutes, *seconds),
            _ => return Err(Fault::Syntax),
        };
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        let (hours, minutes, seconds) = (number(hours, 2)?, number(minutes, 2)?, number(seconds, 2)?);
        let fraction = fraction_us(fraction)?;
        let us = ((hours * 60 + minutes) * 60 + seconds) * US_PER_SECOND + fraction;
        if hours > 24 || minutes > 59 || seconds > 60 || us > Civil::US_PER_DAY {
            return Err(Fault::Field);
        }
        self.time = Some(us);
        match rest {
            "" => Ok(()),
            "am" | "pm" => self.meridiem(rest),
            zone => self.set_zone(zone),
        }
    }

    fn meridiem(&mut self, half: &str) -> Result<(), Fault> {
        let us = self.time.ok_or(Fault::Syntax)?;
        let hour = us / (3_600 * US_PER_SECOND);
        let shift = match (hour, half) {
            (1..12, "pm") => 12,
            (12, "am") => -12,
            (1..=12, _) => 0,
            _ => return Err(Fault::Field),
        };
        self.time = Some(us + shift * 3_600 * US_PER_SECOND);
        Ok(())
    }

    fn set_zone(&mut self, name: &str) -> Result<(), Fault> {
        if self.zone.is_some() {
            return Err(Fault::Syntax);
        }
        self.zone = Some(TimeZone::parse(name).ok_or_else(|| Fault::Zone(name.to_owned()))?);
        Ok(())
    }
}

fn month_number(name: &str) -> Option<u8> {
    let is_name = name.len() >= 3 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    let name = if name == "sept" { "sep" } else { name };
    let position = MONTHS.iter().position(|month| is_name && (*month == name || month.get(..3) == Some(name)))?;
    u8::try_from(position + 1).ok()
}

fn number(text: &str, length_max: usize) -> Result<i64, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    if text.len() > length_max {
        return Err(Fault::Field);
    }
    text.parse().map_err(|_overflow| Fault::Field)
}

/// `25` after the point are 250,000 µs; digits beyond the sixth round.
fn fraction_us(digits: &str) -> Result<i64, Fault> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    let (kept, rest) = digits.split_at_checked(6).unwrap_or((digits, ""));
    let us: i64 = format!("{kept:0<6}").parse().map_err(|_not_digits| Fault::Syntax)?;
    Ok(us + i64::from(rest.starts_with(|c| c >= '5')))
}

fn syntax(name: &str, text: &str) -> Error {
    Error::new(Condition::InvalidDatetimeFormat, format!("invalid input syntax for type {name}: \"{text}\""))
}

fn range(name: &str, text: &str) -> Error {
    Error::new(Condition::DatetimeFieldOverflow, format!("{name} out of range: \"{text}\""))
}

//! Every setting, with its default and the values it takes.

use outcrop_types::{Condition, Error, Result};

use crate::session::Position;

/// A setting that exists.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Its name as `SHOW` prints it.
    pub(crate) name: &'static str,
    /// Its value where nobody set it.
    pub(crate) default: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Whether clients are told of changes (ParameterStatus).
    pub(crate) reported: bool,
    /// One line for `SHOW ALL` and `pg_settings`.
    pub(crate) description: &'static str,
}

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Anything.
    Text,
    /// on, off and their spellings.
    Bool,
    /// An integer in a range.
    Integer(i64, i64),
    /// Milliseconds, with or without unit.
    Duration,
    /// One of these words; shown in this spelling.
    Word(&'static [&'static str]),
    /// As [`Kind::Word`], and these words have a meaning in PostgreSQL that Outcrop does not offer.
    Limited(&'static [&'static str], &'static [&'static str]),
    /// Output style and field order of dates; the style is ISO.
    DateStyle,
    /// A name of the tz database, or an offset.
    TimeZone,
    /// UTF-8 under its names.
    Encoding,
    /// A position that `outcrop.commit_seq` showed.
    Position,
    /// Fixed.
    Internal,
}

const ISOLATION: Kind = Kind::Word(&["read uncommitted", "read committed", "repeatable read", "serializable"]);

macro_rules! settings {
    ($($name:literal, $default:expr, $kind:expr, $reported:literal, $description:literal;)*) => {
        /// All settings, sorted by name without regard to case.
        pub(crate) const DEFINITIONS: &[Definition] = &[$(Definition {
            name: $name, default: $default, kind: $kind, reported: $reported, description: $description,
        },)*];
    };
}

settings! {
    "application_name", "", Kind::Text, true, "Name of the application, for logs and pg_stat_activity.";
    "bytea_output", "hex", Kind::Limited(&["hex"], &["escape"]), false, "Text form of bytea.";
    "client_encoding", "UTF8", Kind::Encoding, true, "Encoding of the client.";
    "client_min_messages", "notice",
        Kind::Word(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]), false,
        "Least severity of messages sent to the client.";
    "DateStyle", "ISO, MDY", Kind::DateStyle, true, "Text form of dates.";
    "default_transaction_deferrable", "off", Kind::Bool, false, "Whether new transactions are deferrable.";
    "default_transaction_isolation", "read committed", ISOLATION, false, "Isolation level of new transactions.";
    "default_transaction_read_only", "off", Kind::Bool, true, "Whether new transactions may not write.";
    "extra_float_digits", "1", Kind::Integer(-15, 3), false, "Digits of floats; every value from 1 prints the shortest exact form.";
    "idle_in_transaction_session_timeout", "0", Kind::Duration, false, "Longest idle time in a block. Accepted, not enforced.";
    "in_hot_standby", "off", Kind::Internal, true, "Whether the server is a standby.";
    "integer_datetimes", "on", Kind::Internal, true, "Whether times are integers.";
    "IntervalStyle", "postgres", Kind::Limited(&["postgres"], &["postgres_verbose", "sql_standard", "iso_8601"]), true,
        "Text form of intervals.";
    "is_superuser", "on", Kind::Internal, true, "Whether the user may do everything.";
    "lc_collate", "C", Kind::Internal, false, "Order of text.";
    "lc_ctype", "C.UTF-8", Kind::Internal, false, "Classes of characters.";
    "lc_messages", "C", Kind::Text, false, "Language of messages.";
    "lc_monetary", "C", Kind::Text, false, "Form of money.";
    "lc_numeric", "C", Kind::Text, false, "Form of numbers.";
    "lc_time", "C", Kind::Text, false, "Form of times.";
    "lock_timeout", "0", Kind::Duration, false, "Longest wait for a lock. Accepted; nothing here waits for locks.";
    "max_identifier_length", "128", Kind::Internal, false, "Longest name in bytes.";
    "outcrop.access_path", "auto", Kind::Limited(&["auto", "scan", "key"], &["search"]), false,
        "How rows of tables are found: auto, scan or key.";
    "outcrop.commit_seq", "", Kind::Internal, true, "Newest commit that this session made or saw.";
    "outcrop.min_commit_seq", "", Kind::Position, false, "Statements wait until they see this commit.";
    "outcrop.min_commit_seq_timeout", "30s", Kind::Duration, false, "Longest wait for outcrop.min_commit_seq.";
    "row_security", "on", Kind::Bool, false, "Accepted; there is no row security.";
    "search_path", "\"$user\", public", Kind::Text, false, "Schemas in which names without schema are looked up.";
    "server_encoding", "UTF8", Kind::Internal, true, "Encoding of stored text.";
    "server_version", "", Kind::Internal, true, "Version of PostgreSQL that the server is compatible with.";
    "server_version_num", "150000", Kind::Internal, false, "The same as a number.";
    "session_authorization", "", Kind::Internal, true, "The user.";
    "standard_conforming_strings", "on", Kind::Limited(&["on"], &["off"]), true, "Whether '...' takes backslashes literally.";
    "statement_timeout", "0", Kind::Duration, false, "Longest that a statement may run; 0 for no limit.";
    "synchronous_commit", "on", Kind::Limited(&["on"], &["off", "local", "remote_write", "remote_apply"]), false,
        "Whether a commit waits for the disk: always.";
    "TimeZone", "Etc/UTC", Kind::TimeZone, true, "Time zone of timestamptz text.";
    "transaction_deferrable", "off", Kind::Bool, false, "Whether this transaction is deferrable.";
    "transaction_isolation", "read committed", ISOLATION, false, "Isolation level of this transaction.";
    "transaction_read_only", "off", Kind::Bool, false, "Whether this transaction may not write.";
}

/// The setting of this name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name.eq_ignore_ascii_case(name))
}

impl Definition {
    /// The value in the spelling that `SHOW` prints.
    pub(crate) fn check(&self, value: &str) -> Result<String> {
        match self.kind {
            Kind::Text => Ok(value.to_owned()),
            Kind::Bool => parse_bool(value).map(on_off).ok_or_else(|| {
                Error::new(
                    Condition::InvalidParameterValue,
                    format!("parameter \"{}\" requires a Boolean value", self.name),
                )
            }),
            Kind::Integer(least, most) => self.check_integer(value, least, most),
            Kind::Duration => self.check_duration(value),
            Kind::Word(words) => find_word(words, value).ok_or_else(|| self.invalid(value)),
            Kind::Limited(words, others) => match find_word(words, value) {
                Some(word) => Ok(word),
                None if find_word(others, value).is_some() => Err(self.unsupported(value)),
                None => match parse_bool(value).map(on_off).and_then(|word| find_word(words, &word)) {
                    Some(word) => Ok(word),
                    None => Err(self.invalid(value)),
                },
            },
            Kind::DateStyle => self.check_date_style(value),
            Kind::TimeZone => check_time_zone(value).ok_or_else(|| self.invalid(value)),
            // As PostgreSQL, which looks at letters and digits only: asyncpg sends 'utf-8' with the quotes.
            Kind::Encoding => {
                match value.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "").as_str() {
                    "utf8" | "unicode" | "default" => Ok("UTF8".to_owned()),
                    _ => Err(self.unsupported(value)),
                }
            }
            Kind::Position if value.is_empty() => Ok(String::new()),
            Kind::Position => value.parse::<Position>().map(|position| position.to_string()),
            Kind::Internal => Err(Error::new(
                Condition::CantChangeRuntimeParam,
                format!("parameter \"{}\" cannot be changed", self.name),
            )),
        }
    }

    fn check_integer(&self, value: &str, least: i64, most: i64) -> Result<String> {
        let number = value.trim().parse::<i64>().map_err(|error| self.invalid(value).with_source(error))?;
        if (least..=most).contains(&number) {
            return Ok(number.to_string());
        }
        Err(Error::new(
            Condition::InvalidParameterValue,
            format!("{number} is outside the valid range for parameter \"{}\" ({least} .. {most})", self.name),
        ))
    }

    fn check_duration(&self, value: &str) -> Result<String> {
        let ms = parse_duration_ms(value).ok_or_else(|| {
            self.invalid(value).with_hint("Valid units for this parameter are \"ms\", \"s\", \"min\", \"h\" and \"d\".")
        })?;
        if ms < 0 || ms > i64::from(i32::MAX) {
            return Err(Error::new(
                Condition::InvalidParameterValue,
                format!("{ms} ms is outside the valid range for parameter \"{}\" (0 .. {})", self.name, i32::MAX),
            ));
        }
        Ok(show_duration(ms))
    }

    fn check_date_style(&self, value: &str) -> Result<String> {
        let mut order = "MDY";
        for word in value.split(',').map(|word| word.trim().to_ascii_uppercase()) {
            match word.as_str() {
                "ISO" | "DEFAULT" => {}
                "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
                "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
                "YMD" => order = "YMD",
                "SQL" | "POSTGRES" | "GERMAN" => return Err(self.unsupported(value)),
                _ => return Err(self.invalid(value)),
            }
        }
        Ok(format!("ISO, {order}"))
    }

    fn invalid(&self, value: &str) -> Error {
        let error = Error::new(
            Condition::InvalidParameterValue,
            format!("invalid value for parameter \"{}\": \"{value}\"", self.name),
        );
        match self.kind {
            Kind::Word(words) | Kind::Limited(words, _) => {
                error.with_hint(format!("Available values: {}.", words.join(", ")))
            }
            Kind::Text
            | Kind::Bool
            | Kind::Integer(..)
            | Kind::Duration
            | Kind::DateStyle
            | Kind::TimeZone
            | Kind::Encoding
            | Kind::Position
            | Kind::Internal => error,
        }
    }

    fn unsupported(&self, value: &str) -> Error {
        Error::new(
            Condition::FeatureNotSupported,
            format!("\"{value}\" is not supported for parameter \"{}\"", self.name),
        )
        .with_hint(match self.kind {
            Kind::Limited(words, _) => format!("Available values: {}.", words.join(", ")),
            Kind::DateStyle => "Dates are printed in ISO style.".to_owned(),
            Kind::Encoding => "Text is UTF-8; set client_encoding to UTF8.".to_owned(),
            Kind::Text
            | Kind::Bool
            | Kind::Integer(..)
            | Kind::Duration
            | Kind::Word(_)
            | Kind::TimeZone
            | Kind::Position
            | Kind::Internal => "Use another value.".to_owned(),
        })
    }
}

/// `true` and `false` in the spellings of PostgreSQL: unique prefixes of the words, on, off, 1, 0.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    let value = value.trim().to_ascii_lowercase();
    let prefix_of = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    match value.as_str() {
        "on" | "1" => Some(true),
        "0" => Some(false),
        _ if prefix_of("true", 1) || prefix_of("yes", 1) => Some(true),
        _ if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) => Some(false),
        _ => None,
    }
}

/// Milliseconds of a duration setting as `SHOW` prints it.
pub(crate) fn parse_duration_ms(value: &str) -> Option<i64> {
    let value = value.trim();
    let digits = value.find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "us" => return number.parse::<i64>().ok().map(|us| us / 1000),
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    match number.split_once('.') {
        None => number.parse::<i64>().ok()?.checked_mul(factor),
        Some((whole, fraction)) => {
            let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
            let places = u32::try_from(fraction.len()).ok().filter(|places| (1..=6).contains(places))?;
            let part = fraction.parse::<i64>().ok()?.checked_mul(factor)? / 10_i64.pow(places);
            whole.checked_mul(factor)?.checked_add(part)
        }
    }
}

fn show_duration(ms: i64) -> String {
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)] {
        if ms > 0 && ms % factor == 0 {
            return format!("{}{unit}", ms / factor);
        }
    }
    if ms == 0 { "0".to_owned() } else { format!("{ms}ms") }
}

fn on_off(value: bool) -> String {
    if value { "on" } else { "off" }.to_owned()
}

fn find_word(words: &[&str], value: &str) -> Option<String> {
    words.iter().find(|word| word.eq_ignore_ascii_case(value.trim())).map(|word| (*word).to_owned())
}

/// A name of the tz database in its own spelling, or `±hh:mm` as an offset east of Greenwich. As in PostgreSQL a number
/// counts hours east, text with a colon is POSIX and counts west, and `<±hh:mm>`, which INTERVAL becomes, counts east.
fn check_time_zone(value: &str) -> Option<String> {
    let value = value.trim();
    if matches!(value.to_ascii_lowercase().as_str(), "default" | "local" | "utc" | "z" | "zulu" | "gmt" | "etc/utc") {
        return Some(if value.eq_ignore_ascii_case("utc") { "UTC" } else { "Etc/UTC" }.to_owned());
    }
    if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(value)) {
        return Some(zone.name().to_owned());
    }
    let (offset, east) = match value.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((offset, _)) => (offset, true),
        None => (value, !value.contains(':')),
    };
    let (negative, digits) = match offset.split_at_checked(1)? {
        ("+", rest) => (false, rest),
        ("-", rest) => (true, rest),
        _ => (false, offset),
    };
    let (hours, minutes) = match digits.split_once(['.', ':']) {
        Some((hours, fraction)) if digits.contains('.') => {
            (hours, (format!("0.{fraction}").parse::<f64>().ok()? * 60.0).round().to_string())
        }
        Some((hours, minutes)) => (hours, minutes.to_owned()),
        None => (digits, "0".to_owned()),
    };
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    let sign = if negative == east { '-' } else { '+' };
    (hours <= 15 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

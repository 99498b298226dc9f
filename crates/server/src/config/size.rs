//! Sizes and times as people write them: `64MiB`, `10min`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: `1048576`, `64MiB`, `1GB`. Powers of 1,024 end in `iB`, powers of 1,000 in `B`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A number of bytes, or `auto`: what is right for the machine, or a share of `memory_budget`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(pub Option<ByteSize>);

/// A span of time: `500ms`, `30s`, `10min`, `2h`. `0s` means never where a setting says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Text that is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSizeError {
    /// Not a number, or an unknown unit.
    #[error("\"{text}\" is not {wanted}")]
    Malformed {
        /// What was written.
        text: String,
        /// What is wanted, with an example.
        wanted: &'static str,
    },
    /// More than 64 bits hold.
    #[error("\"{0}\" is too large")]
    TooLarge(String),
}

const AUTO: &str = "auto";
const SIZE_WANTED: &str = "a size such as 64MiB";
const PERIOD_WANTED: &str = "a time such as 500ms, 30s or 10min";

/// Units from large to small, so that the shortest text is found first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];
/// In milliseconds.
const PERIOD_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        parse(text, &SIZE_UNITS, Some(1), SIZE_WANTED).map(Self)
    }
}

impl FromStr for Period {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        parse(text, &PERIOD_UNITS, None, PERIOD_WANTED).map(|ms| Self(Duration::from_millis(ms)))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, SIZE_UNITS.iter().filter(|(name, _)| name.ends_with("iB") || *name == "B"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 { f.write_str("0s") } else { write(f, ms, PERIOD_UNITS.iter()) }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(size) => size.fmt(f),
            None => f.write_str(AUTO),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// TOML has integers; bytes may be given as one.
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size such as 64MiB")]
        enum Raw {
            Bytes(u64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Bytes(bytes) => Ok(Self(bytes)),
            Raw::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// As for sizes.
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "auto, or a size such as 4GiB")]
        enum Raw {
            Bytes(u64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Bytes(bytes) => Ok(Self(Some(ByteSize(bytes)))),
            Raw::Text(text) if text.trim().eq_ignore_ascii_case(AUTO) => Ok(Self(None)),
            Raw::Text(text) => text.parse().map(|size| Self(Some(size))).map_err(serde::de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Without a unit the number counts in `bare`, if that is allowed.
fn parse(text: &str, units: &[(&str, u64)], bare: Option<u64>, wanted: &'static str) -> Result<u64, ParseSizeError> {
    let malformed = || ParseSizeError::Malformed { text: text.to_owned(), wanted };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(malformed());
    }
    let number: u64 = number.parse().map_err(|_too_large| ParseSizeError::TooLarge(text.to_owned()))?;
    let unit = unit.trim();
    let named = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, size)| *size);
    let size = if unit.is_empty() { bare } else { named };
    number.checked_mul(size.ok_or_else(malformed)?).ok_or_else(|| ParseSizeError::TooLarge(text.to_owned()))
}

fn write<'u>(
    f: &mut fmt::Formatter<'_>,
    number: u64,
    mut units: impl Iterator<Item = &'u (&'u str, u64)>,
) -> fmt::Result {
    match units.find(|(_, size)| number >= *size && number.is_multiple_of(*size)) {
        Some((name, size)) => write!(f, "{}{name}", number / size),
        None => write!(f, "{number}"),
    }
}

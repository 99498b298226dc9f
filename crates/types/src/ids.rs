//! Identifiers and positions. Newtypes without arithmetic between kinds (style rule 25).

use std::fmt;
use std::str::FromStr;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($repr);

        impl $name {
            /// Wraps the raw number, as read from a record or a counter.
            pub const fn new(raw: $repr) -> Self {
                Self(raw)
            }

            /// The raw number, for encoding and display.
            pub const fn get(self) -> $repr {
                self.0
            }

            /// The following id, or `None` when the counter is exhausted.
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A table of a log. Never reused, also after `DROP TABLE`.
    TableId, u32, "t"
);
id!(
    /// A column of a table. Stable over renames; never reused within its table.
    ColumnId, u32, "c"
);
id!(
    /// A key index of a table: the primary key is the first, unique constraints follow.
    IndexId, u32, "k"
);
id!(
    /// A shard of a table. Tables have one shard unless declared otherwise.
    ShardId, u16, "s"
);
id!(
    /// A unit of rows: a memtable generation or a segment. One counter per log, never reused (T2).
    UnitId, u64, "u"
);
id!(
    /// A row within its unit, numbered from 0.
    RowOrdinal, u32, "r"
);
id!(
    /// Position of a commit in the total order of its log (T1). `ZERO` is before the first commit.
    CommitSeq, u64, ""
);
id!(
    /// A writer's reign over a log. Recovery begins a new one; blocks of an older epoch never follow a newer one.
    Epoch, u32, "e"
);
id!(
    /// Counts the schema changes of one table.
    SchemaVersion, u32, "v"
);

impl CommitSeq {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);
}

impl UnitId {
    /// Smallest unit id; the counter starts here.
    pub const FIRST: Self = Self(1);
}

/// Where a row is: its unit and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowAddress {
    /// The generation or segment.
    pub unit: UnitId,
    /// The row in it.
    pub row: RowOrdinal,
}

impl RowAddress {
    /// The address of `row` in `unit`.
    pub const fn new(unit: UnitId, row: RowOrdinal) -> Self {
        Self { unit, row }
    }
}

impl fmt::Display for RowAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.unit, self.row)
    }
}

/// Names a log for ever: 128 random bits, drawn when it is created or forked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// Wraps 16 random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, for encoding.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log id is 32 hexadecimal digits")]
pub struct ParseLogIdError;

impl FromStr for LogId {
    type Err = ParseLogIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseLogIdError);
        }
        let raw = u128::from_str_radix(text, 16).map_err(|_not_hex| ParseLogIdError)?;
        Ok(Self(raw.to_be_bytes()))
    }
}

/// A hash slot: the top 12 bits of a key's hash. Shards own ranges of slots (architecture F6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// How many slots there are.
    pub const COUNT: u16 = 1 << 12;

    /// The slot of a key whose 128-bit hash is `hash`.
    pub const fn of_hash(hash: u128) -> Self {
        // The shift leaves 12 bits, so the cast keeps every one of them.
        Self((hash >> 116) as u16)
    }

    /// The raw slot number, below [`Slot::COUNT`].
    pub const fn get(self) -> u16 {
        self.0
    }
}

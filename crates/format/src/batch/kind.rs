//! Physical types of stored columns.

use arrow_schema::{DataType as ArrowType, TimeUnit};
use outcrop_types::data_type::UTC;

/// Version of batches that this build writes, and the newest it reads.
pub const BATCH_VERSION: u8 = 1;
/// Bit of the kind byte that says that the column has nulls.
pub const HAS_NULLS: u8 = 0x80;

/// A physical type. The number is the low 7 bits of the kind byte; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `Boolean`
    Boolean = 1,
    /// `Int16`
    Int16 = 2,
    /// `Int32`
    Int32 = 3,
    /// `Int64`
    Int64 = 4,
    /// `Float32`
    Float32 = 5,
    /// `Float64`
    Float64 = 6,
    /// `Decimal128`
    Decimal128 = 7,
    /// `Decimal256`
    Decimal256 = 8,
    /// `Utf8View`
    Utf8View = 9,
    /// `BinaryView`
    BinaryView = 10,
    /// `Date32`
    Date32 = 11,
    /// `Time64(µs)`
    Time64 = 12,
    /// `Timestamp(µs)`
    Timestamp = 13,
    /// `Timestamp(µs, UTC)`
    TimestampUtc = 14,
    /// `FixedSizeBinary(16)`
    Uuid = 15,
    /// `List`
    List = 16,
}

impl Kind {
    /// The kind of an Arrow type that [`outcrop_types::DataType::to_arrow`] gives; `None` for any other.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is Arrow's, and most of it has no SQL type")]
    pub fn of(arrow: &ArrowType) -> Option<Self> {
        match arrow {
            ArrowType::Boolean => Some(Self::Boolean),
            ArrowType::Int16 => Some(Self::Int16),
            ArrowType::Int32 => Some(Self::Int32),
            ArrowType::Int64 => Some(Self::Int64),
            ArrowType::Float32 => Some(Self::Float32),
            ArrowType::Float64 => Some(Self::Float64),
            ArrowType::Decimal128(..) => Some(Self::Decimal128),
            ArrowType::Decimal256(..) => Some(Self::Decimal256),
            ArrowType::Utf8View => Some(Self::Utf8View),
            ArrowType::BinaryView => Some(Self::BinaryView),
            ArrowType::Date32 => Some(Self::Date32),
            ArrowType::Time64(TimeUnit::Microsecond) => Some(Self::Time64),
            ArrowType::Timestamp(TimeUnit::Microsecond, None) => Some(Self::Timestamp),
            ArrowType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == UTC => Some(Self::TimestampUtc),
            ArrowType::FixedSizeBinary(16) => Some(Self::Uuid),
            ArrowType::List(_) => Some(Self::List),
            _ => None,
        }
    }

    /// The kind byte.
    pub const fn byte(self, has_nulls: bool) -> u8 {
        self as u8 | if has_nulls { HAS_NULLS } else { 0 }
    }
}

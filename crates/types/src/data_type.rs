//! SQL data types and their Arrow representation.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field, TimeUnit};

/// A column type as SQL names it. Parameters are part of the type (architecture F5).
///
/// | type | Arrow | notes |
/// |---|---|---|
/// | boolean | `Boolean` | |
/// | smallint, integer, bigint | `Int16`, `Int32`, `Int64` | |
/// | real, double precision | `Float32`, `Float64` | stored with one NaN and no -0.0 |
/// | numeric(p,s) | `Decimal128(p,s)` up to p = 38, `Decimal256` up to 76 | plain `numeric` is numeric(38,10) |
/// | text, varchar(n), jsonb | `Utf8View` | jsonb is normalised JSON text |
/// | bytea | `BinaryView` | |
/// | date | `Date32` | `i32::MIN`/`MAX` are -infinity and infinity |
/// | time | `Time64(µs)` | |
/// | timestamp | `Timestamp(µs, None)` | `i64::MIN`/`MAX` are -infinity and infinity |
/// | timestamptz | `Timestamp(µs, "+00:00")` | stored in UTC |
/// | uuid | `FixedSizeBinary(16)` | |
/// | T\[\] | `List(item: T)` | one dimension |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric(precision, scale)`
    Numeric {
        /// Significant digits, 1 to 76.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: i8,
    },
    /// `text`
    Text,
    /// `varchar(n)`: text of at most `n` characters.
    Varchar {
        /// Most characters allowed.
        length: u32,
    },
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time`
    Time,
    /// `timestamp`
    Timestamp,
    /// `timestamptz`
    TimestampTz,
    /// `uuid`
    Uuid,
    /// `jsonb`
    Jsonb,
    /// `T[]`
    Array(Box<DataType>),
}

/// Metadata key of an Arrow field that carries the SQL type where Arrow's own type does not say it (jsonb, varchar).
pub const SQL_TYPE_KEY: &str = "outcrop.type";

/// Time zone of stored `timestamptz` values.
pub const UTC: &str = "+00:00";

impl DataType {
    /// Precision and scale of `numeric` without parameters.
    pub const NUMERIC_DEFAULT: Self = Self::Numeric { precision: 38, scale: 10 };

    /// The Arrow type that batches of the engine use for this type.
    pub fn to_arrow(&self) -> ArrowType {
        match self {
            Self::Bool => ArrowType::Boolean,
            Self::Int2 => ArrowType::Int16,
            Self::Int4 => ArrowType::Int32,
            Self::Int8 => ArrowType::Int64,
            Self::Float4 => ArrowType::Float32,
            Self::Float8 => ArrowType::Float64,
            Self::Numeric { precision, scale } if *precision <= 38 => ArrowType::Decimal128(*precision, *scale),
            Self::Numeric { precision, scale } => ArrowType::Decimal256(*precision, *scale),
            Self::Text | Self::Varchar { .. } | Self::Jsonb => ArrowType::Utf8View,
            Self::Bytea => ArrowType::BinaryView,
            Self::Date => ArrowType::Date32,
            Self::Time => ArrowType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Uuid => ArrowType::FixedSizeBinary(16),
            Self::Array(item) => ArrowType::List(Arc::new(item.to_field("item", true))),
        }
    }

    /// An Arrow field of this type; carries [`SQL_TYPE_KEY`] where the Arrow type alone is ambiguous.
    pub fn to_field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.to_arrow(), nullable);
        match self {
            Self::Jsonb | Self::Varchar { .. } => {
                field.with_metadata([(SQL_TYPE_KEY.to_owned(), self.to_string())].into())
            }
            Self::Bool
            | Self::Int2
            | Self::Int4
            | Self::Int8
            | Self::Float4
            | Self::Float8
            | Self::Numeric { .. }
            | Self::Text
            | Self::Bytea
            | Self::Date
            | Self::Time
            | Self::Timestamp
            | Self::TimestampTz
            | Self::Uuid
            | Self::Array(_) => field,
        }
    }

    /// Whether a column of this type may be part of a key. Arrays and jsonb may not.
    pub fn is_key_type(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Jsonb)
    }
}

/// The name SQL uses, as `format_type` of PostgreSQL prints it.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("boolean"),
            Self::Int2 => f.write_str("smallint"),
            Self::Int4 => f.write_str("integer"),
            Self::Int8 => f.write_str("bigint"),
            Self::Float4 => f.write_str("real"),
            Self::Float8 => f.write_str("double precision"),
            Self::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Varchar { length } => write!(f, "character varying({length})"),
            Self::Bytea => f.write_str("bytea"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time without time zone"),
            Self::Timestamp => f.write_str("timestamp without time zone"),
            Self::TimestampTz => f.write_str("timestamp with time zone"),
            Self::Uuid => f.write_str("uuid"),
            Self::Jsonb => f.write_str("jsonb"),
            Self::Array(item) => write!(f, "{item}[]"),
        }
    }
}

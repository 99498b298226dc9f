//! Type numbers of PostgreSQL's catalog, and sizes and modifiers as row descriptions carry them.

use outcrop_types::DataType;

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $oid:literal, $array:ident = $array_oid:literal;)*) => {
        $($(#[$doc])* pub const $name: u32 = $oid; $(#[$doc])* /// Array of it.
        pub const $array: u32 = $array_oid;)*
    };
}

oids! {
    /// `boolean`
    BOOL = 16, BOOL_ARRAY = 1000;
    /// `bytea`
    BYTEA = 17, BYTEA_ARRAY = 1001;
    /// `bigint`
    INT8 = 20, INT8_ARRAY = 1016;
    /// `smallint`
    INT2 = 21, INT2_ARRAY = 1005;
    /// `integer`
    INT4 = 23, INT4_ARRAY = 1007;
    /// `text`
    TEXT = 25, TEXT_ARRAY = 1009;
    /// `oid`
    OID = 26, OID_ARRAY = 1028;
    /// `real`
    FLOAT4 = 700, FLOAT4_ARRAY = 1021;
    /// `double precision`
    FLOAT8 = 701, FLOAT8_ARRAY = 1022;
    /// `character varying`
    VARCHAR = 1043, VARCHAR_ARRAY = 1015;
    /// `date`
    DATE = 1082, DATE_ARRAY = 1182;
    /// `time`
    TIME = 1083, TIME_ARRAY = 1183;
    /// `timestamp`
    TIMESTAMP = 1114, TIMESTAMP_ARRAY = 1115;
    /// `timestamptz`
    TIMESTAMPTZ = 1184, TIMESTAMPTZ_ARRAY = 1185;
    /// `interval`
    INTERVAL = 1186, INTERVAL_ARRAY = 1187;
    /// `numeric`
    NUMERIC = 1700, NUMERIC_ARRAY = 1231;
    /// `uuid`
    UUID = 2950, UUID_ARRAY = 2951;
    /// `jsonb`
    JSONB = 3802, JSONB_ARRAY = 3807;
}

/// `json`: accepted for parameters, which are then `jsonb`.
pub const JSON: u32 = 114;
/// `unknown`: a literal whose type is not yet known.
pub const UNKNOWN: u32 = 705;
/// `character(n)`: accepted for parameters, which are then `text`.
pub const BPCHAR: u32 = 1042;
/// `name`: accepted for parameters, which are then `text`.
pub const NAME: u32 = 19;

/// `"char"`: one byte.
pub const CHAR: u32 = 18;

/// The types that name rows of the catalog by number: `regproc`, `oid`, `xid`, `regclass`, `regtype`, `regnamespace`,
/// `regrole`.
const CATALOG_NUMBERS: [u32; 7] = [24, OID, 28, 2205, 2206, 4089, 4096];

/// Whether values of a type are numbers of four bytes without sign.
pub fn is_catalog_number(type_oid: u32) -> bool {
    CATALOG_NUMBERS.contains(&type_oid)
}

/// Bytes that `typmod` counts beyond the length or precision itself.
const VARHDRSZ: i32 = 4;

/// The number of a type.
pub fn oid(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Bool => BOOL,
        DataType::Int2 => INT2,
        DataType::Int4 => INT4,
        DataType::Int8 => INT8,
        DataType::Float4 => FLOAT4,
        DataType::Float8 => FLOAT8,
        DataType::Numeric { .. } => NUMERIC,
        DataType::Text => TEXT,
        DataType::Varchar { .. } => VARCHAR,
        DataType::Bytea => BYTEA,
        DataType::Date => DATE,
        DataType::Time => TIME,
        DataType::Timestamp => TIMESTAMP,
        DataType::TimestampTz => TIMESTAMPTZ,
        DataType::Uuid => UUID,
        DataType::Jsonb => JSONB,
        DataType::Array(item) => array_oid(item),
    }
}

/// Length and precision as PostgreSQL packs them, or -1.
pub fn typmod(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Numeric { precision, scale } => {
            ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + VARHDRSZ
        }
        DataType::Varchar { length } => {
            i32::try_from(*length).ok().and_then(|length| length.checked_add(VARHDRSZ)).unwrap_or(-1)
        }
        DataType::Array(item) => typmod(item),
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Text
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Jsonb => -1,
    }
}

/// Bytes of a type of fixed size by its number, or -1.
pub fn size(oid: u32) -> i16 {
    match oid {
        BOOL | CHAR => 1,
        INT2 => 2,
        INT4 | FLOAT4 | DATE => 4,
        INT8 | FLOAT8 | TIME | TIMESTAMP | TIMESTAMPTZ => 8,
        INTERVAL | UUID => 16,
        NAME => 64,
        number if is_catalog_number(number) => 4,
        _ => -1,
    }
}

/// The type of a number that a client gives for a parameter; `None` if we do not have it.
pub fn data_type(oid: u32) -> Option<DataType> {
    Some(match oid {
        BOOL => DataType::Bool,
        INT2 => DataType::Int2,
        INT4 => DataType::Int4,
        INT8 | OID => DataType::Int8,
        FLOAT4 => DataType::Float4,
        FLOAT8 => DataType::Float8,
        NUMERIC => DataType::NUMERIC_DEFAULT,
        TEXT | VARCHAR | BPCHAR | NAME => DataType::Text,
        BYTEA => DataType::Bytea,
        DATE => DataType::Date,
        TIME => DataType::Time,
        TIMESTAMP => DataType::Timestamp,
        TIMESTAMPTZ => DataType::TimestampTz,
        UUID => DataType::Uuid,
        JSONB | JSON => DataType::Jsonb,
        BOOL_ARRAY | INT2_ARRAY | INT4_ARRAY | INT8_ARRAY | OID_ARRAY | FLOAT4_ARRAY | FLOAT8_ARRAY | NUMERIC_ARRAY
        | TEXT_ARRAY | VARCHAR_ARRAY | BYTEA_ARRAY | DATE_ARRAY | TIME_ARRAY | TIMESTAMP_ARRAY | TIMESTAMPTZ_ARRAY
        | UUID_ARRAY | JSONB_ARRAY => DataType::Array(Box::new(data_type(item_oid(oid))?)),
        _ => return None,
    })
}

fn array_oid(item: &DataType) -> u32 {
    match item {
        DataType::Bool => BOOL_ARRAY,
        DataType::Int2 => INT2_ARRAY,
        DataType::Int4 => INT4_ARRAY,
        DataType::Int8 => INT8_ARRAY,
        DataType::Float4 => FLOAT4_ARRAY,
        DataType::Float8 => FLOAT8_ARRAY,
        DataType::Numeric { .. } => NUMERIC_ARRAY,
        DataType::Text => TEXT_ARRAY,
        DataType::Varchar { .. } => VARCHAR_ARRAY,
        DataType::Bytea => BYTEA_ARRAY,
        DataType::Date => DATE_ARRAY,
        DataType::Time => TIME_ARRAY,
        DataType::Timestamp => TIMESTAMP_ARRAY,
        DataType::TimestampTz => TIMESTAMPTZ_ARRAY,
        DataType::Uuid => UUID_ARRAY,
        DataType::Jsonb => JSONB_ARRAY,
        // PostgreSQL does not tell dimensions apart either.
        DataType::Array(inner) => array_oid(inner),
    }
}

fn item_oid(array: u32) -> u32 {
    match array {
        BOOL_ARRAY => BOOL,
        INT2_ARRAY => INT2,
        INT4_ARRAY => INT4,
        INT8_ARRAY => INT8,
        OID_ARRAY => OID,
        FLOAT4_ARRAY => FLOAT4,
        FLOAT8_ARRAY => FLOAT8,
        NUMERIC_ARRAY => NUMERIC,
        BYTEA_ARRAY => BYTEA,
        DATE_ARRAY => DATE,
        TIME_ARRAY => TIME,
        TIMESTAMP_ARRAY => TIMESTAMP,
        TIMESTAMPTZ_ARRAY => TIMESTAMPTZ,
        UUID_ARRAY => UUID,
        JSONB_ARRAY => JSONB,
        _ => TEXT,
    }
}

//! `pg_type`: numbers and names of types.

use outcrop_types::DataType;

/// A type that clients may meet: number, name, length, category, number of the array of it.
pub(super) struct PgType {
    pub(super) oid: i64,
    pub(super) name: &'static str,
    pub(super) sql_name: &'static str,
    pub(super) length: i64,
    pub(super) category: &'static str,
    pub(super) array: i64,
}

const fn pg_type(
    oid: i64,
    name: &'static str,
    sql_name: &'static str,
    length: i64,
    category: &'static str,
    array: i64,
) -> PgType {
    PgType { oid, name, sql_name, length, category, array }
}

/// Types with their numbers in PostgreSQL.
pub(super) const TYPES: &[PgType] = &[
    pg_type(16, "bool", "boolean", 1, "B", 1000),
    pg_type(17, "bytea", "bytea", -1, "U", 1001),
    pg_type(18, "char", "\"char\"", 1, "Z", 1002),
    pg_type(19, "name", "name", 64, "S", 1003),
    pg_type(20, "int8", "bigint", 8, "N", 1016),
    pg_type(21, "int2", "smallint", 2, "N", 1005),
    pg_type(23, "int4", "integer", 4, "N", 1007),
    pg_type(24, "regproc", "regproc", 4, "N", 1008),
    pg_type(25, "text", "text", -1, "S", 1009),
    pg_type(26, "oid", "oid", 4, "N", 1028),
    pg_type(114, "json", "json", -1, "U", 199),
    pg_type(700, "float4", "real", 4, "N", 1021),
    pg_type(701, "float8", "double precision", 8, "N", 1022),
    pg_type(705, "unknown", "unknown", -2, "X", 0),
    pg_type(1042, "bpchar", "character", -1, "S", 1014),
    pg_type(1043, "varchar", "character varying", -1, "S", 1015),
    pg_type(1082, "date", "date", 4, "D", 1182),
    pg_type(1083, "time", "time without time zone", 8, "D", 1183),
    pg_type(1114, "timestamp", "timestamp without time zone", 8, "D", 1115),
    pg_type(1184, "timestamptz", "timestamp with time zone", 8, "D", 1185),
    pg_type(1186, "interval", "interval", 16, "T", 1187),
    pg_type(1700, "numeric", "numeric", -1, "N", 1231),
    pg_type(2205, "regclass", "regclass", 4, "N", 2210),
    pg_type(2206, "regtype", "regtype", 4, "N", 2211),
    pg_type(2950, "uuid", "uuid", 16, "U", 2951),
    pg_type(3802, "jsonb", "jsonb", -1, "U", 3807),
];

/// The number of a type.
pub(super) fn type_oid(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Bool => 16,
        DataType::Int2 => 21,
        DataType::Int4 => 23,
        DataType::Int8 => 20,
        DataType::Float4 => 700,
        DataType::Float8 => 701,
        DataType::Numeric { .. } => 1700,
        DataType::Text => 25,
        DataType::Varchar { .. } => 1043,
        DataType::Bytea => 17,
        DataType::Date => 1082,
        DataType::Time => 1083,
        DataType::Timestamp => 1114,
        DataType::TimestampTz => 1184,
        DataType::Uuid => 2950,
        DataType::Jsonb => 3802,
        DataType::Array(item) => {
            let item = type_oid(item);
            TYPES.iter().find(|known| known.oid == item).map_or(0, |known| known.array)
        }
    }
}

/// The number of an array type's item.
fn element_oid(oid: i64) -> Option<i64> {
    TYPES.iter().find(|known| known.array == oid && oid != 0).map(|known| known.oid)
}

/// `atttypmod`: length of varchar, precision and scale of numeric.
pub(super) fn type_modifier(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Varchar { length } => i64::from(*length) + 4,
        DataType::Numeric { precision, scale } => ((i64::from(*precision) << 16) | i64::from(*scale)) + 4,
        DataType::Array(item) => type_modifier(item),
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

/// The name that SQL uses for a number and a modifier.
pub(crate) fn format_type(oid: i64, modifier: Option<i64>) -> String {
    if let Some(item) = element_oid(oid) {
        return format!("{}[]", format_type(item, modifier));
    }
    let Some(known) = TYPES.iter().find(|known| known.oid == oid) else {
        return "???".to_owned();
    };
    match (oid, modifier.filter(|modifier| *modifier >= 4).map(|modifier| modifier - 4)) {
        (1043, Some(length)) => format!("character varying({length})"),
        (1700, Some(packed)) => format!("numeric({},{})", packed >> 16, packed & 0xffff),
        _ => known.sql_name.to_owned(),
    }
}

/// The number of a type name, in either spelling.
pub(crate) fn type_of_name(name: &str) -> Option<i64> {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    if let Some(item) = name.strip_suffix("[]") {
        let item = type_of_name(item)?;
        return TYPES.iter().find(|known| known.oid == item).map(|known| known.array);
    }
    let name = match name {
        "int" => "integer",
        "decimal" => "numeric",
        other => other,
    };
    TYPES.iter().find(|known| known.name == name || known.sql_name == name).map(|known| known.oid)
}

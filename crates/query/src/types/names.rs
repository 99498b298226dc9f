//! Type names in SQL text.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef, IntervalUnit};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, ObjectName, TimezoneInfo,
};
use outcrop_types::data_type::SQL_TYPE_KEY;
use outcrop_types::{Condition, DataType, Error, Result};

use super::field::data_type_of_arrow;

/// Longest `varchar(n)`, as in PostgreSQL.
const VARCHAR_LENGTH_MAX: u64 = 10_485_760;
/// Most digits of a numeric.
const NUMERIC_PRECISION_MAX: u64 = 76;

/// Gives SQL type names their PostgreSQL meaning in casts and typed literals.
#[derive(Debug, Default)]
pub(crate) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> datafusion::common::Result<Option<FieldRef>> {
        if let SqlType::Interval { .. } = sql_type {
            return Ok(Some(Arc::new(Field::new("", ArrowType::Interval(IntervalUnit::MonthDayNano), true))));
        }
        if let SqlType::Custom(name, _) = sql_type
            && let Some(field) = catalog_field(&last_part(name), "")
        {
            return Ok(Some(Arc::new(field)));
        }
        match sql_data_type(sql_type) {
            Ok(data_type) => Ok(Some(Arc::new(data_type.to_field("", true)))),
            Err(error) => Err(DataFusionError::External(Box::new(error))),
        }
    }
}

/// Types of the system catalogs: name, OID, and how batches hold them.
const CATALOG_TYPES: &[(&str, u32, ArrowType)] = &[
    ("\"char\"", 18, ArrowType::Utf8View),
    ("name", 19, ArrowType::Utf8View),
    ("regproc", 24, ArrowType::Int64),
    ("oid", 26, ArrowType::Int64),
    ("xid", 28, ArrowType::Int64),
    ("regclass", 2205, ArrowType::Int64),
    ("regtype", 2206, ArrowType::Int64),
    ("regrole", 4096, ArrowType::Int64),
    ("regnamespace", 4089, ArrowType::Int64),
];

/// A field of a catalog type (`oid`, `name`, `regclass`, …).
pub(crate) fn catalog_field(type_name: &str, name: &str) -> Option<Field> {
    let (canonical, _, arrow) = CATALOG_TYPES.iter().find(|(catalog, _, _)| *catalog == type_name)?;
    let metadata = [(SQL_TYPE_KEY.to_owned(), (*canonical).to_owned())];
    Some(Field::new(name, arrow.clone(), true).with_metadata(metadata.into()))
}

/// The OID of a catalog type.
pub(crate) fn catalog_type_oid(type_name: &str) -> Option<u32> {
    CATALOG_TYPES.iter().find(|(catalog, _, _)| *catalog == type_name).map(|(_, oid, _)| *oid)
}

/// The type that a name in SQL text means.
///
/// # Errors
/// `UndefinedObject` for an unknown name, `InvalidParameterValue` for impossible parameters, `FeatureNotSupported` for
/// types of PostgreSQL that Outcrop does not have.
pub(crate) fn sql_data_type(sql_type: &SqlType) -> Result<DataType> {
    Ok(match sql_type {
        SqlType::Bool | SqlType::Boolean => DataType::Bool,
        SqlType::SmallInt(_) | SqlType::Int2(_) => DataType::Int2,
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => DataType::Int4,
        SqlType::BigInt(_) | SqlType::Int8(_) => DataType::Int8,
        SqlType::Real | SqlType::Float4 => DataType::Float4,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 => DataType::Float8,
        SqlType::Float(info) => float_type(info)?,
        SqlType::Numeric(info) | SqlType::Decimal(info) | SqlType::Dec(info) => numeric_type(info)?,
        SqlType::Text | SqlType::String(_) => DataType::Text,
        SqlType::Varchar(length)
        | SqlType::CharacterVarying(length)
        | SqlType::CharVarying(length)
        | SqlType::Nvarchar(length) => varchar_type(length.as_ref())?,
        SqlType::Char(_) | SqlType::Character(_) => return Err(character_type()),
        SqlType::Bytea => DataType::Bytea,
        SqlType::Date => DataType::Date,
        SqlType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Time,
        SqlType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Timestamp,
        SqlType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => DataType::TimestampTz,
        SqlType::Uuid => DataType::Uuid,
        SqlType::JSON | SqlType::JSONB => DataType::Jsonb,
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::Parenthesis(item),
        ) => array_type(item)?,
        SqlType::Custom(name, modifiers) => custom_type(name, modifiers)?,
        other => return Err(undefined_type(&other.to_string().to_lowercase())),
    })
}

fn array_type(item: &SqlType) -> Result<DataType> {
    // Lists of catalog types are held as lists of what holds the type.
    if let SqlType::Custom(name, _) = item
        && let Some(held) = catalog_field(&last_part(name), "").and_then(|field| data_type_of_arrow(field.data_type()))
    {
        return Ok(DataType::Array(Box::new(held)));
    }
    match sql_data_type(item)? {
        DataType::Array(_) => {
            Err(Error::new(Condition::FeatureNotSupported, "arrays of more than one dimension are not supported"))
        }
        item => Ok(DataType::Array(Box::new(item))),
    }
}

/// Names that the parser does not know as types of their own, with or without `pg_catalog.` in front.
fn custom_type(name: &ObjectName, modifiers: &[String]) -> Result<DataType> {
    let short = last_part(name);
    let parameter = |at: usize| modifiers.get(at).and_then(|text| text.parse::<u64>().ok());
    Ok(match short.as_str() {
        "bool" | "boolean" => DataType::Bool,
        "int2" | "smallint" => DataType::Int2,
        "int4" | "int" | "integer" => DataType::Int4,
        "int8" | "bigint" => DataType::Int8,
        "float4" | "real" => DataType::Float4,
        "float8" => DataType::Float8,
        "numeric" | "decimal" => numeric_of(parameter(0), parameter(1))?,
        "text" => DataType::Text,
        "varchar" => match parameter(0) {
            Some(length) => varchar_of(length)?,
            None => DataType::Text,
        },
        "bpchar" | "char" => return Err(character_type()),
        "bytea" => DataType::Bytea,
        "date" => DataType::Date,
        "time" => DataType::Time,
        "timestamp" => DataType::Timestamp,
        "timestamptz" => DataType::TimestampTz,
        "uuid" => DataType::Uuid,
        "json" | "jsonb" => DataType::Jsonb,
        "serial" | "serial4" | "bigserial" | "serial8" | "smallserial" | "serial2" => {
            return Err(Error::new(Condition::FeatureNotSupported, format!("type {short} is not supported")).with_hint(
                "Sequences do not exist in Outcrop; use uuid with DEFAULT gen_random_uuid(), or give the key yourself.",
            ));
        }
        array if array.starts_with('_') => {
            let item =
                ObjectName::from(vec![datafusion::sql::sqlparser::ast::Ident::new(array.trim_start_matches('_'))]);
            DataType::Array(Box::new(custom_type(&item, &[])?))
        }
        other => return Err(undefined_type(other)),
    })
}

fn float_type(info: &ExactNumberInfo) -> Result<DataType> {
    match info {
        ExactNumberInfo::None => Ok(DataType::Float8),
        ExactNumberInfo::Precision(1..=24) => Ok(DataType::Float4),
        ExactNumberInfo::Precision(25..=53) => Ok(DataType::Float8),
        ExactNumberInfo::Precision(_) | ExactNumberInfo::PrecisionAndScale(_, _) => {
            Err(Error::new(Condition::InvalidParameterValue, "precision for type float must be between 1 and 53 bits"))
        }
    }
}

fn numeric_type(info: &ExactNumberInfo) -> Result<DataType> {
    match info {
        ExactNumberInfo::None => Ok(DataType::NUMERIC_DEFAULT),
        ExactNumberInfo::Precision(precision) => numeric_of(Some(*precision), None),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            let scale = u64::try_from(*scale).map_err(|_negative| {
                Error::new(Condition::FeatureNotSupported, "a numeric with a negative scale is not supported")
            })?;
            numeric_of(Some(*precision), Some(scale))
        }
    }
}

fn numeric_of(precision: Option<u64>, scale: Option<u64>) -> Result<DataType> {
    let Some(precision) = precision else {
        return Ok(DataType::NUMERIC_DEFAULT);
    };
    let scale = scale.unwrap_or(0);
    if precision == 0 || precision > NUMERIC_PRECISION_MAX {
        return Err(Error::new(
            Condition::InvalidParameterValue,
            format!("NUMERIC precision {precision} must be between 1 and {NUMERIC_PRECISION_MAX}"),
        ));
    }
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if u64::from(scale.unsigned_abs()) <= u64::from(precision) => {
            Ok(DataType::Numeric { precision, scale })
        }
        _ => Err(Error::new(
            Condition::InvalidParameterValue,
            format!("NUMERIC scale {scale} must be between 0 and precision {precision}"),
        )),
    }
}

fn varchar_type(length: Option<&CharacterLength>) -> Result<DataType> {
    match length {
        None | Some(CharacterLength::Max) => Ok(DataType::Text),
        Some(CharacterLength::IntegerLength { length, .. }) => varchar_of(*length),
    }
}

fn varchar_of(length: u64) -> Result<DataType> {
    match u32::try_from(length) {
        Ok(short) if short > 0 && length <= VARCHAR_LENGTH_MAX => Ok(DataType::Varchar { length: short }),
        _ => Err(Error::new(
            Condition::InvalidParameterValue,
            format!("length for type varchar must be between 1 and {VARCHAR_LENGTH_MAX}"),
        )),
    }
}

fn character_type() -> Error {
    Error::new(Condition::FeatureNotSupported, "type character(n) is not supported")
        .with_hint("Use text or varchar(n); they do not pad with blanks.")
}

fn undefined_type(name: &str) -> Error {
    Error::new(Condition::UndefinedObject, format!("type \"{name}\" does not exist"))
}

/// The last part of a qualified name, folded as SQL folds it.
fn last_part(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map_or_else(String::new, |ident| match ident.quote_style {
        Some(quote) if ident.value == "char" => format!("{quote}char{quote}"),
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    })
}

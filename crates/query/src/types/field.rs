//! From Arrow fields to SQL types.

use datafusion::arrow::datatypes::{DataType as ArrowType, Field};
use outcrop_types::DataType;
use outcrop_types::data_type::SQL_TYPE_KEY;

use super::names::catalog_type_oid;
use crate::result::{CatalogType, ResultType};

/// What a protocol says about a field of a plan: its Arrow type, and the SQL name in its metadata where there is one.
pub(crate) fn result_type_of_field(field: &Field) -> ResultType {
    if let Some(oid) = field.metadata().get(SQL_TYPE_KEY).and_then(|name| catalog_type_oid(name)) {
        return ResultType::Catalog(CatalogType { oid, typmod: -1 });
    }
    match field.data_type() {
        ArrowType::Interval(_) | ArrowType::Duration(_) => ResultType::Interval,
        ArrowType::Null => ResultType::Unknown,
        _ => data_type_of_field(field).map_or(ResultType::Data(DataType::Text), ResultType::Data),
    }
}

/// The SQL type of a field, if tables can hold it.
pub(crate) fn data_type_of_field(field: &Field) -> Option<DataType> {
    let held_as = data_type_of_arrow(field.data_type())?;
    let named = field.metadata().get(SQL_TYPE_KEY).and_then(|name| named_text_type(name));
    Some(named.filter(|named| named.to_arrow() == held_as.to_arrow()).unwrap_or(held_as))
}

/// The SQL type whose values an Arrow type holds, or becomes in the final projection of a result.
pub(crate) fn data_type_of_arrow(arrow: &ArrowType) -> Option<DataType> {
    Some(match arrow {
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::UInt8 => DataType::Int2,
        ArrowType::Int32 | ArrowType::UInt16 => DataType::Int4,
        ArrowType::Int64 | ArrowType::UInt32 => DataType::Int8,
        ArrowType::UInt64 => DataType::Numeric { precision: 20, scale: 0 },
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float4,
        ArrowType::Float64 => DataType::Float8,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale) => DataType::Numeric { precision: *precision, scale: *scale },
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::Text,
        ArrowType::FixedSizeBinary(16) => DataType::Uuid,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            DataType::Bytea
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        ArrowType::List(item)
        | ArrowType::LargeList(item)
        | ArrowType::ListView(item)
        | ArrowType::LargeListView(item)
        | ArrowType::FixedSizeList(item, _) => DataType::Array(Box::new(match item.data_type() {
            ArrowType::Null => DataType::Text,
            _ => data_type_of_field(item)?,
        })),
        ArrowType::Dictionary(_, values) => data_type_of_arrow(values)?,
        ArrowType::RunEndEncoded(_, values) => data_type_of_arrow(values.data_type())?,
        ArrowType::Null
        | ArrowType::Interval(_)
        | ArrowType::Duration(_)
        | ArrowType::Struct(_)
        | ArrowType::Union(_, _)
        | ArrowType::Map(_, _) => return None,
    })
}

/// Whether values of this Arrow type are text.
pub(crate) fn is_text(arrow: &ArrowType) -> bool {
    matches!(arrow, ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View)
}

/// Reads the names that [`DataType::to_field`] writes: `jsonb` and `character varying(n)`.
fn named_text_type(name: &str) -> Option<DataType> {
    if name == "jsonb" {
        return Some(DataType::Jsonb);
    }
    let length = name.strip_prefix("character varying(")?.strip_suffix(')')?.parse().ok()?;
    Some(DataType::Varchar { length })
}

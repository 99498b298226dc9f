//! Reading one column's cells: as PostgreSQL text, PostgreSQL binary, JSON, or values.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeStringArray, ListArray,
    PrimitiveArray, StringArray, StringViewArray,
};
use arrow_schema::{DataType as ArrowType, IntervalUnit, TimeUnit};
use outcrop_types::{DataType, Error, Result, Value, jsonb};

use crate::binary::oid::{self, oid};
use crate::text::array::write_element;
use crate::text::bytea::write_bytea;
use crate::text::calendar::{write_date, write_fmt, write_time, write_timestamp, write_timestamptz};
use crate::text::interval::write_interval;
use crate::text::number::{write_decimal, write_float4, write_float8, write_integer};
use crate::text::{ByteaOutput, TextSettings};

/// A column of a result, downcast once, to be written row by row.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    pub(crate) array: &'a dyn Array,
    pub(crate) kind: Kind<'a>,
}

/// The arrays that the projection of `query` lets through, and the few more that catalog tables have.
#[derive(Clone, Debug)]
pub(crate) enum Kind<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int1(&'a PrimitiveArray<Int8Type>),
    Int2(&'a PrimitiveArray<Int16Type>),
    Int4(&'a PrimitiveArray<Int32Type>),
    Int8(&'a PrimitiveArray<Int64Type>),
    /// A number of the catalog: `bigint` inside, four bytes outside.
    Oid(&'a PrimitiveArray<Int64Type>),
    UInt4(&'a PrimitiveArray<UInt32Type>),
    UInt8(&'a PrimitiveArray<UInt64Type>),
    Float4(&'a PrimitiveArray<Float32Type>),
    Float8(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, i8),
    Decimal256(&'a PrimitiveArray<Decimal256Type>, i8),
    TextView(&'a StringViewArray),
    Jsonb(&'a StringViewArray),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    BytesView(&'a BinaryViewArray),
    Bytes(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
    TimestampTz(&'a PrimitiveArray<TimestampMicrosecondType>),
    Uuid(&'a FixedSizeBinaryArray),
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
    List(&'a ListArray, Box<Items<'a>>),
}

/// The items of a list column, and their type for the binary format.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a> {
    pub(crate) cells: Cells<'a>,
    pub(crate) oid: u32,
}

impl<'a> Cells<'a> {
    /// Looks at an array that holds `data_type`: jsonb and text are one Arrow type.
    ///
    /// # Errors
    /// `Internal` for an Arrow type that results never have.
    pub fn of_type(array: &'a dyn Array, data_type: &DataType) -> Result<Self> {
        let mut cells = Self::try_new(array)?;
        cells.set_type(data_type);
        Ok(cells)
    }

    /// Looks at an array that holds a type of the system catalogs, which is known by its number only.
    ///
    /// # Errors
    /// `Internal` for an Arrow type that results never have.
    pub fn of_catalog_type(array: &'a dyn Array, type_oid: u32) -> Result<Self> {
        let mut cells = Self::try_new(array)?;
        if let Kind::Int8(numbers) = cells.kind
            && oid::is_catalog_number(type_oid)
        {
            cells.kind = Kind::Oid(numbers);
        }
        Ok(cells)
    }

    fn set_type(&mut self, data_type: &DataType) {
        match (&mut self.kind, data_type) {
            (Kind::TextView(cells), DataType::Jsonb) => self.kind = Kind::Jsonb(cells),
            (Kind::List(_, items), DataType::Array(item)) => {
                items.oid = oid(item);
                items.cells.set_type(item);
            }
            _ => {}
        }
    }

    /// Looks at an array.
    ///
    /// # Errors
    /// `Internal` for an Arrow type that results never have.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Arrow has twenty types more that the projection of query never lets through"
    )]
    pub fn try_new(array: &'a dyn Array) -> Result<Self> {
        let kind = match array.data_type() {
            ArrowType::Null => Kind::Null,
            ArrowType::Boolean => Kind::Bool(array.as_boolean()),
            ArrowType::Int8 => Kind::Int1(array.as_primitive()),
            ArrowType::Int16 => Kind::Int2(array.as_primitive()),
            ArrowType::Int32 => Kind::Int4(array.as_primitive()),
            ArrowType::Int64 => Kind::Int8(array.as_primitive()),
            ArrowType::UInt32 => Kind::UInt4(array.as_primitive()),
            ArrowType::UInt64 => Kind::UInt8(array.as_primitive()),
            ArrowType::Float32 => Kind::Float4(array.as_primitive()),
            ArrowType::Float64 => Kind::Float8(array.as_primitive()),
            ArrowType::Decimal128(_, scale) => Kind::Decimal128(array.as_primitive(), *scale),
            ArrowType::Decimal256(_, scale) => Kind::Decimal256(array.as_primitive(), *scale),
            ArrowType::Utf8View => Kind::TextView(array.as_string_view()),
            ArrowType::Utf8 => Kind::Text(array.as_string()),
            ArrowType::LargeUtf8 => Kind::LargeText(array.as_string()),
            ArrowType::BinaryView => Kind::BytesView(array.as_binary_view()),
            ArrowType::Binary => Kind::Bytes(array.as_binary()),
            ArrowType::Date32 => Kind::Date(array.as_primitive()),
            ArrowType::Time64(TimeUnit::Microsecond) => Kind::Time(array.as_primitive()),
            ArrowType::Timestamp(TimeUnit::Microsecond, None) => Kind::Timestamp(array.as_primitive()),
            ArrowType::Timestamp(TimeUnit::Microsecond, Some(_)) => Kind::TimestampTz(array.as_primitive()),
            ArrowType::FixedSizeBinary(16) => Kind::Uuid(array.as_fixed_size_binary()),
            ArrowType::Interval(IntervalUnit::MonthDayNano) => Kind::Interval(array.as_primitive()),
            ArrowType::List(_) => {
                let list: &ListArray = array.as_list();
                let cells = Self::try_new(list.values().as_ref())?;
                let oid = cells.natural_oid();
                Kind::List(list, Box::new(Items { cells, oid }))
            }
            other => return Err(Error::internal(format!("a result column has the type {other}"))),
        };
        Ok(Self { array, kind })
    }

    /// The type that items of this Arrow type have when nothing else is known.
    fn natural_oid(&self) -> u32 {
        match &self.kind {
            Kind::Bool(_) => oid::BOOL,
            Kind::Int1(_) | Kind::Int2(_) => oid::INT2,
            Kind::Int4(_) => oid::INT4,
            Kind::Int8(_) | Kind::UInt8(_) => oid::INT8,
            Kind::Oid(_) | Kind::UInt4(_) => oid::OID,
            Kind::Float4(_) => oid::FLOAT4,
            Kind::Float8(_) => oid::FLOAT8,
            Kind::Decimal128(..) | Kind::Decimal256(..) => oid::NUMERIC,
            Kind::Null | Kind::TextView(_) | Kind::Text(_) | Kind::LargeText(_) | Kind::List(..) => oid::TEXT,
            Kind::Jsonb(_) => oid::JSONB,
            Kind::BytesView(_) | Kind::Bytes(_) => oid::BYTEA,
            Kind::Date(_) => oid::DATE,
            Kind::Time(_) => oid::TIME,
            Kind::Timestamp(_) => oid::TIMESTAMP,
            Kind::TimestampTz(_) => oid::TIMESTAMPTZ,
            Kind::Uuid(_) => oid::UUID,
            Kind::Interval(_) => oid::INTERVAL,
        }
    }

    pub(crate) fn is_beyond(&self, row: usize) -> bool {
        row >= self.array.len()
    }

    /// Whether a cell is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.array.is_null(row)
    }

    /// Writes a cell that is not NULL in PostgreSQL's text format. Rows beyond the last one write nothing.
    pub fn write_text(&self, row: usize, settings: &TextSettings, out: &mut Vec<u8>) {
        if row >= self.array.len() || self.is_null(row) {
            return;
        }
        match &self.kind {
            Kind::Null => {}
            Kind::Bool(cells) => out.push(if cells.value(row) { b't' } else { b'f' }),
            Kind::Int1(cells) => write_integer(out, cells.value(row)),
            Kind::Int2(cells) => write_integer(out, cells.value(row)),
            Kind::Int4(cells) => write_integer(out, cells.value(row)),
            Kind::Int8(cells) | Kind::Oid(cells) => write_integer(out, cells.value(row)),
            Kind::UInt4(cells) => write_integer(out, cells.value(row)),
            Kind::UInt8(cells) => write_integer(out, cells.value(row)),
            Kind::Float4(cells) => write_float4(out, cells.value(row)),
            Kind::Float8(cells) => write_float8(out, cells.value(row)),
            Kind::Decimal128(cells, scale) => {
                write_decimal(out, itoa::Buffer::new().format(cells.value(row)), *scale);
            }
            Kind::Decimal256(cells, scale) => write_decimal(out, &cells.value(row).to_string(), *scale),
            Kind::TextView(cells) | Kind::Jsonb(cells) => out.extend_from_slice(cells.value(row).as_bytes()),
            Kind::Text(cells) => out.extend_from_slice(cells.value(row).as_bytes()),
            Kind::LargeText(cells) => out.extend_from_slice(cells.value(row).as_bytes()),
            Kind::BytesView(cells) => write_bytea(out, cells.value(row), settings.bytea_output),
            Kind::Bytes(cells) => write_bytea(out, cells.value(row), settings.bytea_output),
            Kind::Date(cells) => write_date(out, cells.value(row)),
            Kind::Time(cells) => write_time(out, cells.value(row)),
            Kind::Timestamp(cells) => write_timestamp(out, cells.value(row), b' '),
            Kind::TimestampTz(cells) => {
                let us = cells.value(row);
                write_timestamptz(out, us, settings.time_zone.offset_at_utc(us), b' ');
            }
            Kind::Uuid(cells) => write_uuid(out, cells.value(row)),
            Kind::Interval(cells) => {
                let value = cells.value(row);
                write_interval(out, value.months, value.days, value.nanoseconds / 1_000);
            }
            Kind::List(list, items) => write_list(out, &list_range(list, row), &items.cells, settings),
        }
    }

    /// Writes a cell as a JSON value; NULL as `null`. NaN and infinity become strings, as in PostgreSQL's `to_json`.
    pub fn write_json(&self, row: usize, settings: &TextSettings, out: &mut Vec<u8>) {
        if row >= self.array.len() || self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.kind {
            Kind::Bool(cells) => out.extend_from_slice(if cells.value(row) { b"true" } else { b"false" }),
            Kind::Jsonb(_)
            | Kind::Int1(_)
            | Kind::Int2(_)
            | Kind::Int4(_)
            | Kind::Int8(_)
            | Kind::Oid(_)
            | Kind::UInt4(_)
            | Kind::UInt8(_)
            | Kind::Decimal128(..)
            | Kind::Decimal256(..) => self.write_text(row, settings, out),
            Kind::Float4(cells) if cells.value(row).is_finite() => self.write_text(row, settings, out),
            Kind::Float8(cells) if cells.value(row).is_finite() => self.write_text(row, settings, out),
            Kind::Timestamp(cells) => {
                write_json_text(out, |text| write_timestamp(text, cells.value(row), b'T'));
            }
            Kind::TimestampTz(cells) => write_json_text(out, |text| {
                let us = cells.value(row);
                let offset = settings.time_zone.offset_at_utc(us);
                if offset == 0 && us != i64::MIN && us != i64::MAX {
                    write_timestamp(text, us, b'T');
                    text.push(b'Z');
                } else {
                    write_timestamptz(text, us, offset, b'T');
                }
            }),
            Kind::List(list, items) => {
                out.push(b'[');
                for (i, item) in list_range(list, row).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    items.cells.write_json(item, settings, out);
                }
                out.push(b']');
            }
            Kind::Null
            | Kind::Float4(_)
            | Kind::Float8(_)
            | Kind::TextView(_)
            | Kind::Text(_)
            | Kind::LargeText(_)
            | Kind::BytesView(_)
            | Kind::Bytes(_)
            | Kind::Date(_)
            | Kind::Time(_)
            | Kind::Uuid(_)
            | Kind::Interval(_) => {
                let settings = TextSettings { bytea_output: ByteaOutput::Hex, ..*settings };
                write_json_text(out, |text| self.write_text(row, &settings, text));
            }
        }
    }

    /// The cell as a value; NULL for what no [`Value`] can hold (decimals of more than 38 digits, intervals).
    pub fn value(&self, row: usize) -> Value {
        if row >= self.array.len() || self.is_null(row) {
            return Value::Null;
        }
        match &self.kind {
            Kind::Null | Kind::Interval(_) => Value::Null,
            Kind::Bool(cells) => Value::Bool(cells.value(row)),
            Kind::Int1(cells) => Value::Int(i64::from(cells.value(row))),
            Kind::Int2(cells) => Value::Int(i64::from(cells.value(row))),
            Kind::Int4(cells) => Value::Int(i64::from(cells.value(row))),
            Kind::Int8(cells) | Kind::Oid(cells) => Value::Int(cells.value(row)),
            Kind::UInt4(cells) => Value::Int(i64::from(cells.value(row))),
            Kind::UInt8(cells) => i64::try_from(cells.value(row)).map_or(Value::Null, Value::Int),
            Kind::Float4(cells) => Value::Float(f64::from(cells.value(row))),
            Kind::Float8(cells) => Value::Float(cells.value(row)),
            Kind::Decimal128(cells, scale) => Value::Decimal(cells.value(row), *scale),
            Kind::Decimal256(cells, scale) => {
                cells.value(row).to_i128().map_or(Value::Null, |digits| Value::Decimal(digits, *scale))
            }
            Kind::TextView(cells) | Kind::Jsonb(cells) => Value::Text(cells.value(row).to_owned()),
            Kind::Text(cells) => Value::Text(cells.value(row).to_owned()),
            Kind::LargeText(cells) => Value::Text(cells.value(row).to_owned()),
            Kind::BytesView(cells) => Value::Bytes(cells.value(row).to_vec()),
            Kind::Bytes(cells) => Value::Bytes(cells.value(row).to_vec()),
            Kind::Date(cells) => Value::Date(cells.value(row)),
            Kind::Time(cells) => Value::Time(cells.value(row)),
            Kind::Timestamp(cells) => Value::Timestamp(cells.value(row)),
            Kind::TimestampTz(cells) => Value::TimestampTz(cells.value(row)),
            Kind::Uuid(cells) => {
                uuid::Uuid::from_slice(cells.value(row)).map_or(Value::Null, |uuid| Value::Uuid(uuid.into_bytes()))
            }
            Kind::List(list, items) => {
                Value::Array(list_range(list, row).map(|item| items.cells.value(item)).collect())
            }
        }
    }
}

/// Positions of a list's items in its child column.
pub(crate) fn list_range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offset = |at: usize| list.value_offsets().get(at).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    offset(row)..offset(row + 1)
}

fn write_list(out: &mut Vec<u8>, range: &std::ops::Range<usize>, items: &Cells<'_>, settings: &TextSettings) {
    let mut element = Vec::new();
    out.push(b'{');
    for item in range.clone() {
        if item > range.start {
            out.push(b',');
        }
        if items.is_null(item) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        element.clear();
        items.write_text(item, settings, &mut element);
        write_element(out, &element);
    }
    out.push(b'}');
}

fn write_uuid(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(uuid) = uuid::Uuid::from_slice(bytes) {
        write_fmt(out, format_args!("{uuid}"));
    }
}

fn write_json_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut text = Vec::new();
    write(&mut text);
    let mut quoted = String::with_capacity(text.len() + 2);
    jsonb::write_string(&mut quoted, &String::from_utf8_lossy(&text));
    out.extend_from_slice(quoted.as_bytes());
}

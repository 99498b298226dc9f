//! Building one column from text, binary or values, row by row.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, i256};
use outcrop_types::{DataType, Error, Result, Value, jsonb};

use crate::binary;
use crate::text::array::{Element, split_array};
use crate::text::bytea::parse_bytea;
use crate::text::datetime::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
use crate::text::number::{
    decimal_overflow, parse_decimal, parse_decimal128, parse_float4, parse_float8, parse_integer,
};
use crate::text::{TextSettings, parse_bool, parse_text, parse_uuid};

/// A column of one [`DataType`] that grows by a row at a time, in the Arrow form of that type.
#[derive(Debug)]
pub struct ColumnBuilder {
    data_type: DataType,
    cells: Builder,
}

#[derive(Debug)]
enum Builder {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Decimal128(Decimal128Builder),
    Decimal256(Decimal256Builder),
    Text(StringViewBuilder),
    Bytea(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Array(Box<ListBuilder>),
}

/// A list column: Arrow's own builder wants a concrete builder for its items.
#[derive(Debug)]
struct ListBuilder {
    items: ColumnBuilder,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl ColumnBuilder {
    /// An empty column.
    pub fn new(data_type: &DataType) -> Self {
        let cells = match data_type {
            DataType::Bool => Builder::Bool(BooleanBuilder::new()),
            DataType::Int2 => Builder::Int2(Int16Builder::new()),
            DataType::Int4 => Builder::Int4(Int32Builder::new()),
            DataType::Int8 => Builder::Int8(Int64Builder::new()),
            DataType::Float4 => Builder::Float4(Float32Builder::new()),
            DataType::Float8 => Builder::Float8(Float64Builder::new()),
            DataType::Numeric { precision, .. } if *precision <= 38 => {
                Builder::Decimal128(Decimal128Builder::new().with_data_type(data_type.to_arrow()))
            }
            DataType::Numeric { .. } => {
                Builder::Decimal256(Decimal256Builder::new().with_data_type(data_type.to_arrow()))
            }
            DataType::Text | DataType::Varchar { .. } | DataType::Jsonb => Builder::Text(StringViewBuilder::new()),
            DataType::Bytea => Builder::Bytea(BinaryViewBuilder::new()),
            DataType::Date => Builder::Date(Date32Builder::new()),
            DataType::Time => Builder::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp | DataType::TimestampTz => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.to_arrow()))
            }
            DataType::Uuid => Builder::Uuid(FixedSizeBinaryBuilder::new(16)),
            DataType::Array(item) => Builder::Array(Box::new(ListBuilder {
                items: Self::new(item),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
            })),
        };
        Self { data_type: data_type.clone(), cells }
    }

    /// Adds a NULL.
    pub fn append_null(&mut self) {
        match &mut self.cells {
            Builder::Bool(cells) => cells.append_null(),
            Builder::Int2(cells) => cells.append_null(),
            Builder::Int4(cells) => cells.append_null(),
            Builder::Int8(cells) => cells.append_null(),
            Builder::Float4(cells) => cells.append_null(),
            Builder::Float8(cells) => cells.append_null(),
            Builder::Decimal128(cells) => cells.append_null(),
            Builder::Decimal256(cells) => cells.append_null(),
            Builder::Text(cells) => cells.append_null(),
            Builder::Bytea(cells) => cells.append_null(),
            Builder::Date(cells) => cells.append_null(),
            Builder::Time(cells) => cells.append_null(),
            Builder::Timestamp(cells) => cells.append_null(),
            Builder::Uuid(cells) => cells.append_null(),
            Builder::Array(list) => list.end_row(false),
        }
    }

    /// Reads a cell from PostgreSQL's text format and adds it. After an error the cell is NULL, so that the row can be
    /// finished and dropped.
    ///
    /// # Errors
    /// As [`crate::text::parse`].
    pub fn append_text(&mut self, text: &str, settings: &TextSettings) -> Result<()> {
        self.try_append_text(text, settings).inspect_err(|_| self.append_null())
    }

    /// Reads a cell from PostgreSQL's binary format and adds it. After an error the cell is NULL.
    ///
    /// # Errors
    /// As [`binary::decode`].
    pub fn append_binary(&mut self, bytes: &[u8]) -> Result<()> {
        self.try_append_binary(bytes).inspect_err(|_| self.append_null())
    }

    /// Adds a value of the column's type, as [`crate::text::parse`] makes it. After an error the cell is NULL.
    ///
    /// # Errors
    /// `Internal` if the value is of another type, `NumericValueOutOfRange` if a decimal has too many digits.
    pub fn append_value(&mut self, value: &Value) -> Result<()> {
        self.try_append_value(value).inspect_err(|_| self.append_null())
    }

    fn try_append_text(&mut self, text: &str, settings: &TextSettings) -> Result<()> {
        match &mut self.cells {
            Builder::Bool(cells) => cells.append_value(parse_bool(text)?),
            Builder::Int2(cells) => cells.append_value(parse_integer(text, "smallint")?),
            Builder::Int4(cells) => cells.append_value(parse_integer(text, "integer")?),
            Builder::Int8(cells) => cells.append_value(parse_integer(text, "bigint")?),
            Builder::Float4(cells) => cells.append_value(parse_float4(text)?),
            Builder::Float8(cells) => cells.append_value(parse_float8(text)?),
            Builder::Decimal128(cells) => {
                let (precision, scale) = decimal_parameters(&self.data_type)?;
                cells.append_value(parse_decimal128(text, precision, scale)?);
            }
            Builder::Decimal256(cells) => {
                let (precision, scale) = decimal_parameters(&self.data_type)?;
                cells.append_value(parse_decimal(text, precision, scale)?);
            }
            Builder::Text(cells) => append_checked_text(cells, &self.data_type, text)?,
            Builder::Bytea(cells) => cells.append_value(parse_bytea(text)?),
            Builder::Date(cells) => cells.append_value(parse_date(text, settings)?),
            Builder::Time(cells) => cells.append_value(parse_time(text, settings)?),
            Builder::Timestamp(cells) if self.data_type == DataType::TimestampTz => {
                cells.append_value(parse_timestamptz(text, settings)?);
            }
            Builder::Timestamp(cells) => cells.append_value(parse_timestamp(text, settings)?),
            Builder::Uuid(cells) => append_uuid(cells, &parse_uuid(text)?)?,
            Builder::Array(list) => list.append_elements(&split_array(text)?, settings)?,
        }
        Ok(())
    }

    fn try_append_binary(&mut self, bytes: &[u8]) -> Result<()> {
        match (&mut self.cells, &self.data_type) {
            (Builder::Int2(cells), _) => cells.append_value(i16::from_be_bytes(binary::fixed(bytes)?)),
            (Builder::Int4(cells), _) => cells.append_value(i32::from_be_bytes(binary::fixed(bytes)?)),
            (Builder::Int8(cells), _) if bytes.len() == 8 => {
                cells.append_value(i64::from_be_bytes(binary::fixed(bytes)?));
            }
            (Builder::Float4(cells), _) => cells.append_value(f32::from_be_bytes(binary::fixed(bytes)?)),
            (Builder::Float8(cells), _) => cells.append_value(f64::from_be_bytes(binary::fixed(bytes)?)),
            (Builder::Date(cells), _) => cells.append_value(binary::date(i32::from_be_bytes(binary::fixed(bytes)?))?),
            (Builder::Timestamp(cells), _) => {
                cells.append_value(binary::timestamp(i64::from_be_bytes(binary::fixed(bytes)?))?);
            }
            (Builder::Decimal128(cells), DataType::Numeric { precision, scale }) => {
                cells.append_value(binary::numeric_to_decimal128(bytes, *precision, *scale)?);
            }
            (Builder::Decimal256(cells), DataType::Numeric { precision, scale }) => {
                cells.append_value(parse_decimal(&binary::numeric_to_text(bytes)?, *precision, *scale)?);
            }
            (Builder::Text(cells), DataType::Text | DataType::Varchar { .. }) => {
                append_checked_text(cells, &self.data_type, binary::utf8(bytes)?)?;
            }
            (Builder::Bytea(cells), _) => cells.append_value(bytes),
            _ => return self.try_append_value(&binary::decode(&self.data_type, bytes)?),
        }
        Ok(())
    }

    fn try_append_value(&mut self, value: &Value) -> Result<()> {
        match (&mut self.cells, value) {
            (_, Value::Null) => self.append_null(),
            (Builder::Bool(cells), Value::Bool(value)) => cells.append_value(*value),
            (Builder::Int2(cells), Value::Int(value)) => cells.append_value(narrow(*value)?),
            (Builder::Int4(cells), Value::Int(value)) => cells.append_value(narrow(*value)?),
            (Builder::Int8(cells), Value::Int(value)) => cells.append_value(*value),
            #[expect(clippy::cast_possible_truncation, reason = "the value was a real before")]
            (Builder::Float4(cells), Value::Float(value)) => cells.append_value(*value as f32),
            (Builder::Float8(cells), Value::Float(value)) => cells.append_value(*value),
            (Builder::Decimal128(cells), Value::Decimal(digits, scale)) => {
                let wanted = decimal_parameters(&self.data_type)?;
                cells.append_value(
                    rescale(i256::from_i128(*digits), *scale, wanted)?
                        .to_i128()
                        .ok_or_else(|| decimal_overflow(wanted.0, wanted.1))?,
                );
            }
            (Builder::Decimal256(cells), Value::Decimal(digits, scale)) => {
                let wanted = decimal_parameters(&self.data_type)?;
                cells.append_value(rescale(i256::from_i128(*digits), *scale, wanted)?);
            }
            (Builder::Text(cells), Value::Text(value)) => cells.append_value(value),
            (Builder::Bytea(cells), Value::Bytes(value)) => cells.append_value(value),
            (Builder::Date(cells), Value::Date(value)) => cells.append_value(*value),
            (Builder::Time(cells), Value::Time(value)) => cells.append_value(*value),
            (Builder::Timestamp(cells), Value::Timestamp(value) | Value::TimestampTz(value)) => {
                cells.append_value(*value);
            }
            (Builder::Uuid(cells), Value::Uuid(value)) => append_uuid(cells, value)?,
            (Builder::Array(list), Value::Array(items)) => list.append_values(items)?,
            (_, value) => {
                return Err(Error::internal(format!("value {value} is not of type {}", self.data_type)));
            }
        }
        Ok(())
    }

    /// The column so far; the builder is empty again.
    ///
    /// # Errors
    /// `Internal` if Arrow refuses the lengths of a list, which would be a bug here.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match &mut self.cells {
            Builder::Bool(cells) => Arc::new(cells.finish()),
            Builder::Int2(cells) => Arc::new(cells.finish()),
            Builder::Int4(cells) => Arc::new(cells.finish()),
            Builder::Int8(cells) => Arc::new(cells.finish()),
            Builder::Float4(cells) => Arc::new(cells.finish()),
            Builder::Float8(cells) => Arc::new(cells.finish()),
            Builder::Decimal128(cells) => Arc::new(cells.finish()),
            Builder::Decimal256(cells) => Arc::new(cells.finish()),
            Builder::Text(cells) => Arc::new(cells.finish()),
            Builder::Bytea(cells) => Arc::new(cells.finish()),
            Builder::Date(cells) => Arc::new(cells.finish()),
            Builder::Time(cells) => Arc::new(cells.finish()),
            Builder::Timestamp(cells) => Arc::new(cells.finish()),
            Builder::Uuid(cells) => Arc::new(cells.finish()),
            Builder::Array(list) => Arc::new(list.finish()?),
        })
    }

    /// The type of the column.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        match &self.cells {
            Builder::Bool(cells) => cells.len(),
            Builder::Int2(cells) => cells.len(),
            Builder::Int4(cells) => cells.len(),
            Builder::Int8(cells) => cells.len(),
            Builder::Float4(cells) => cells.len(),
            Builder::Float8(cells) => cells.len(),
            Builder::Decimal128(cells) => cells.len(),
            Builder::Decimal256(cells) => cells.len(),
            Builder::Text(cells) => cells.len(),
            Builder::Bytea(cells) => cells.len(),
            Builder::Date(cells) => cells.len(),
            Builder::Time(cells) => cells.len(),
            Builder::Timestamp(cells) => cells.len(),
            Builder::Uuid(cells) => cells.len(),
            Builder::Array(list) => list.nulls.len(),
        }
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ListBuilder {
    /// After an error the items stay behind; the NULL that the caller appends covers them.
    fn append_elements(&mut self, elements: &[Element], settings: &TextSettings) -> Result<()> {
        for element in elements {
            match element {
                Element::Null => self.items.append_null(),
                Element::Text(text) => self.items.append_text(text, settings)?,
            }
        }
        self.end_row(true);
        Ok(())
    }

    fn append_values(&mut self, values: &[Value]) -> Result<()> {
        for value in values {
            self.items.append_value(value)?;
        }
        self.end_row(true);
        Ok(())
    }

    fn end_row(&mut self, is_valid: bool) {
        // A batch of more than 2^31 elements is beyond every limit of the decoders.
        self.offsets.push(i32::try_from(self.items.len()).unwrap_or(i32::MAX));
        self.nulls.append(is_valid);
    }

    fn finish(&mut self) -> Result<ListArray> {
        let field = Arc::new(self.items.data_type.to_field("item", true));
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let items = self.items.finish()?;
        ListArray::try_new(field, offsets, items, self.nulls.finish())
            .map_err(|source| Error::internal("a list column does not add up").with_source(source))
    }
}

fn append_checked_text(cells: &mut StringViewBuilder, data_type: &DataType, text: &str) -> Result<()> {
    match data_type {
        DataType::Jsonb => cells.append_value(jsonb::normalize(text)?),
        DataType::Varchar { length } => cells.append_value(parse_text(text, Some(*length))?),
        DataType::Text
        | DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. }
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Array(_) => cells.append_value(parse_text(text, None)?),
    }
    Ok(())
}

fn append_uuid(cells: &mut FixedSizeBinaryBuilder, bytes: &[u8; 16]) -> Result<()> {
    cells.append_value(bytes).map_err(|source| Error::internal("a uuid of a wrong length").with_source(source))
}

fn decimal_parameters(data_type: &DataType) -> Result<(u8, i8)> {
    if let DataType::Numeric { precision, scale } = data_type {
        return Ok((*precision, *scale));
    }
    Err(Error::internal(format!("a decimal column of type {data_type}")))
}

/// Brings a decimal to the scale of its column.
fn rescale(digits: i256, from: i8, (precision, scale): (u8, i8)) -> Result<i256> {
    if from == scale {
        return Ok(digits);
    }
    let mut text = Vec::new();
    crate::text::number::write_decimal(&mut text, &digits.to_string(), from);
    parse_decimal(&String::from_utf8_lossy(&text), precision, scale)
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T> {
    T::try_from(value).map_err(|_out_of_range| Error::internal(format!("integer {value} does not fit its column")))
}

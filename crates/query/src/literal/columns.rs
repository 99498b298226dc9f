//! Cells to columns of a table.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, PrimitiveBuilder, StringViewBuilder, new_null_array,
};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use outcrop_types::{DataType, TableSchema, Value, jsonb, plain};

use super::cells::{Cell, CellKind, LiteralRows};
use crate::dml::{number_constant, text_constant};
use crate::types::value_to_scalar;

/// Turns cells into arrays of the types of a table's columns. Every method answers `None` where something does not fit: the
/// general way knows what to do, or to say.
pub(crate) struct LiteralColumns<'a> {
    rows: &'a LiteralRows,
    table: &'a TableSchema,
    /// Positions in the table of the values of a row.
    positions: &'a [usize],
    time_zone: &'a str,
    parameters: &'a [(DataType, Value)],
}

/// What a cell holds, before its column says what that means.
enum Content<'a> {
    Null,
    Default,
    Bool(bool),
    /// As written, with its sign.
    Number(&'a str),
    Text(Cow<'a, str>),
    Parameter(&'a DataType, &'a Value),
}

impl<'a> LiteralColumns<'a> {
    /// For the rows of a statement whose values go to the columns at `positions`. `parameters` are type and value of each `$n`.
    pub(crate) fn new(
        rows: &'a LiteralRows,
        table: &'a TableSchema,
        positions: &'a [usize],
        time_zone: &'a str,
        parameters: &'a [(DataType, Value)],
    ) -> Self {
        Self { rows, table, positions, time_zone, parameters }
    }

    /// One array for each of the positions. `defaults` computes that many values of the default of the column at a position.
    pub(crate) fn read(
        &self,
        rows: &Range<usize>,
        defaults: impl Fn(usize, usize) -> Option<ArrayRef>,
    ) -> Option<Vec<ArrayRef>> {
        let positions = self.positions.iter().enumerate();
        positions.map(|(place, position)| self.column(place, *position, rows.clone(), &defaults)).collect()
    }

    fn column(
        &self,
        place: usize,
        position: usize,
        rows: Range<usize>,
        defaults: &impl Fn(usize, usize) -> Option<ArrayRef>,
    ) -> Option<ArrayRef> {
        let data_type = &self.table.columns.get(position)?.data_type;
        let given = self.given(place, data_type, rows.clone())?;
        let is_default = |cell: Cell| cell.kind == CellKind::Default;
        let wanted = self.rows.column(place, rows.clone()).filter(|cell| is_default(*cell)).count();
        if wanted == 0 {
            return Some(given);
        }
        let defaults = defaults(position, wanted)?;
        if wanted == rows.len() {
            return Some(defaults);
        }
        let mut next = 0;
        let places: Vec<(usize, usize)> = self
            .rows
            .column(place, rows)
            .enumerate()
            .map(|(row, cell)| {
                if !is_default(cell) {
                    return (0, row);
                }
                next += 1;
                (1, next - 1)
            })
            .collect();
        interleave(&[given.as_ref(), defaults.as_ref()], &places).ok()
    }

    /// The values that are given, with NULL in the place of a DEFAULT.
    fn given(&self, place: usize, data_type: &DataType, rows: Range<usize>) -> Option<ArrayRef> {
        match data_type {
            DataType::Bool => self.booleans(place, rows),
            DataType::Int2 => self.numbers::<Int16Type>(place, data_type, rows, |text| text.parse().ok()),
            DataType::Int4 => self.numbers::<Int32Type>(place, data_type, rows, |text| text.parse().ok()),
            DataType::Int8 => self.numbers::<Int64Type>(place, data_type, rows, |text| text.parse().ok()),
            DataType::Float4 => self.numbers::<Float32Type>(place, data_type, rows, |text| {
                text.parse::<f32>().ok().filter(|value| value.is_finite()).map(|value| value + 0.0)
            }),
            DataType::Float8 => self.numbers::<Float64Type>(place, data_type, rows, |text| {
                text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| value + 0.0)
            }),
            DataType::Numeric { precision, scale } if *precision <= 38 => {
                self.numbers::<Decimal128Type>(place, data_type, rows, |text| plain::decimal(text, *precision, *scale))
            }
            DataType::Text | DataType::Varchar { .. } | DataType::Jsonb => self.texts(place, data_type, rows),
            DataType::Date => self.moments::<Date32Type>(place, data_type, rows, plain::date),
            DataType::Timestamp => self.moments::<TimestampMicrosecondType>(place, data_type, rows, |text| {
                plain::timestamp(text).filter(|(_, offset)| offset.is_none()).map(|(us, _)| us)
            }),
            DataType::TimestampTz => self.moments::<TimestampMicrosecondType>(place, data_type, rows, |text| {
                let (us, offset) = plain::timestamp(text)?;
                us.checked_sub(offset?)
            }),
            DataType::Numeric { .. } | DataType::Bytea | DataType::Time | DataType::Uuid | DataType::Array(_) => {
                self.scalars(place, data_type, rows)
            }
        }
    }

    fn booleans(&self, place: usize, rows: Range<usize>) -> Option<ArrayRef> {
        let mut values = BooleanBuilder::with_capacity(rows.len());
        for cell in self.rows.column(place, rows) {
            let value = match self.content(cell, &DataType::Bool)? {
                Content::Bool(value) => Some(value),
                Content::Null | Content::Default => None,
                other => match self.scalar(other, &DataType::Bool)? {
                    ScalarValue::Boolean(value) => value,
                    _ => return None,
                },
            };
            values.append_option(value);
        }
        Some(Arc::new(values.finish()))
    }

    /// A column that numbers are written for.
    fn numbers<T: ArrowPrimitiveType>(
        &self,
        place: usize,
        data_type: &DataType,
        rows: Range<usize>,
        read: impl Fn(&str) -> Option<T::Native>,
    ) -> Option<ArrayRef> {
        self.primitives::<T>(place, data_type, rows, |content| match content {
            Content::Number(text) => read(text),
            Content::Null | Content::Default | Content::Bool(_) | Content::Text(_) | Content::Parameter(..) => None,
        })
    }

    /// A column that strings are written for.
    fn moments<T: ArrowPrimitiveType>(
        &self,
        place: usize,
        data_type: &DataType,
        rows: Range<usize>,
        read: impl Fn(&str) -> Option<T::Native>,
    ) -> Option<ArrayRef> {
        self.primitives::<T>(place, data_type, rows, |content| match content {
            Content::Text(text) => read(text),
            Content::Null | Content::Default | Content::Bool(_) | Content::Number(_) | Content::Parameter(..) => None,
        })
    }

    /// A column of fixed width. What `read` does not know is read the way that all constants are.
    fn primitives<T: ArrowPrimitiveType>(
        &self,
        place: usize,
        data_type: &DataType,
        rows: Range<usize>,
        read: impl Fn(&Content<'_>) -> Option<T::Native>,
    ) -> Option<ArrayRef> {
        let mut values = PrimitiveBuilder::<T>::with_capacity(rows.len()).with_data_type(data_type.to_arrow());
        for cell in self.rows.column(place, rows) {
            let content = self.content(cell, data_type)?;
            if matches!(content, Content::Null | Content::Default) {
                values.append_null();
            } else if let Some(value) = read(&content) {
                values.append_value(value);
            } else {
                let array = self.scalar(content, data_type)?.to_array().ok()?;
                let array = array.as_primitive_opt::<T>()?;
                values.append_option(array.is_valid(0).then(|| array.value(0)));
            }
        }
        Some(Arc::new(values.finish()))
    }

    fn texts(&self, place: usize, data_type: &DataType, rows: Range<usize>) -> Option<ArrayRef> {
        let mut values = StringViewBuilder::with_capacity(rows.len());
        for cell in self.rows.column(place, rows) {
            match self.content(cell, data_type)? {
                Content::Null | Content::Default => values.append_null(),
                Content::Text(text) if *data_type == DataType::Text => values.append_value(text),
                Content::Text(text) if *data_type == DataType::Jsonb => {
                    values.append_value(jsonb::normalize(&text).ok()?);
                }
                other => match self.scalar(other, data_type)? {
                    ScalarValue::Utf8View(text) => values.append_option(text),
                    _ => return None,
                },
            }
        }
        Some(Arc::new(values.finish()))
    }

    /// A column of a rarer type.
    fn scalars(&self, place: usize, data_type: &DataType, rows: Range<usize>) -> Option<ArrayRef> {
        let count = rows.len();
        let scalars = self
            .rows
            .column(place, rows)
            .map(|cell| match self.content(cell, data_type)? {
                Content::Null | Content::Default => ScalarValue::try_from(&data_type.to_arrow()).ok(),
                other => self.scalar(other, data_type),
            })
            .collect::<Option<Vec<_>>>()?;
        if scalars.iter().all(ScalarValue::is_null) {
            return Some(new_null_array(&data_type.to_arrow(), count));
        }
        ScalarValue::iter_to_array(scalars).ok()
    }

    fn content(&self, cell: Cell, data_type: &DataType) -> Option<Content<'_>> {
        Some(match cell.kind {
            CellKind::Null => Content::Null,
            CellKind::Default => Content::Default,
            CellKind::Bool(value) => Content::Bool(value),
            CellKind::Number => Content::Number(self.rows.written(cell)),
            CellKind::Text(quoting) => Content::Text(self.rows.string(cell, quoting)),
            CellKind::Typed(quoting, number) => {
                (self.rows.data_type(number)? == data_type).then_some(())?;
                Content::Text(self.rows.string(cell, quoting))
            }
            CellKind::Parameter(number) => {
                let (given, value) = self.parameters.get(usize::from(number).checked_sub(1)?)?;
                if matches!(value, Value::Null) { Content::Null } else { Content::Parameter(given, value) }
            }
        })
    }

    /// The value of the column's type that a cell means, as in any other INSERT.
    fn scalar(&self, content: Content<'_>, data_type: &DataType) -> Option<ScalarValue> {
        match content {
            Content::Null | Content::Default => None,
            Content::Bool(value) => (*data_type == DataType::Bool).then_some(ScalarValue::Boolean(Some(value))),
            Content::Number(text) => {
                let digits = text.strip_prefix('-');
                let negative = digits.is_some();
                number_constant(digits.unwrap_or(text), negative, data_type, self.time_zone).ok().flatten()
            }
            Content::Text(text) => text_constant(&text, data_type, self.time_zone).ok(),
            Content::Parameter(given, value) if converts(given, data_type) => value_to_scalar(value, data_type).ok(),
            Content::Parameter(..) => None,
        }
    }
}

/// Whether a value of one type is one of the other just so: integers in a column of integers, checked when they are stored.
fn converts(given: &DataType, wanted: &DataType) -> bool {
    let is_integer = |data_type: &DataType| matches!(data_type, DataType::Int2 | DataType::Int4 | DataType::Int8);
    let is_whole_text = |data_type: &DataType| matches!(data_type, DataType::Text | DataType::Varchar { .. });
    given == wanted
        || (is_integer(given) && is_integer(wanted))
        || (is_whole_text(given) && *wanted == DataType::Text)
        || (*given == DataType::Float4 && *wanted == DataType::Float8)
}

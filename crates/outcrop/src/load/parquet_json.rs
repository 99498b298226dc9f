//! Nested values as JSON.

use std::sync::Arc;

use anyhow::Result;
use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ListArray, MapArray, StructArray};
use arrow_schema::{DataType as ArrowType, Field, FieldRef};
use outcrop_ingest::{Cells, TextSettings};
use outcrop_types::jsonb;

use super::parquet::sql_type;

/// The same nesting with lists of one kind, and with the leaves that [`Cells`] reads.
pub(super) fn normal_type(data_type: &ArrowType) -> Result<ArrowType> {
    let normal = |field: &FieldRef| -> Result<FieldRef> {
        let data_type = normal_type(field.data_type())?;
        Ok(Arc::new(Field::new(field.name(), data_type, field.is_nullable())))
    };
    if let ArrowType::List(item) | ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) = data_type {
        Ok(ArrowType::List(normal(item)?))
    } else if let ArrowType::Struct(fields) = data_type {
        Ok(ArrowType::Struct(fields.iter().map(normal).collect::<Result<_>>()?))
    } else if let ArrowType::Map(entries, is_ordered) = data_type {
        Ok(ArrowType::Map(normal(entries)?, *is_ordered))
    } else {
        Ok(sql_type(data_type)?.to_arrow())
    }
}

/// A column of a normal type, to be written as JSON.
pub(super) enum JsonCells<'a> {
    Leaf(Cells<'a>),
    List(&'a ListArray, Box<JsonCells<'a>>),
    Struct(&'a StructArray, Vec<(&'a str, JsonCells<'a>)>),
    Map(&'a MapArray, Box<JsonCells<'a>>, Box<JsonCells<'a>>),
}

impl<'a> JsonCells<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Result<Self> {
        if let Some(list) = array.as_list_opt::<i32>() {
            Ok(Self::List(list, Box::new(Self::new(list.values().as_ref())?)))
        } else if let Some(group) = array.as_struct_opt() {
            let members = group.fields().iter().zip(group.columns());
            let members = members.map(|(field, column)| Ok((field.name().as_str(), Self::new(column.as_ref())?)));
            Ok(Self::Struct(group, members.collect::<Result<_>>()?))
        } else if let Some(map) = array.as_map_opt() {
            let (keys, values) = (Self::new(map.keys().as_ref())?, Self::new(map.values().as_ref())?);
            Ok(Self::Map(map, Box::new(keys), Box::new(values)))
        } else {
            Ok(Self::Leaf(Cells::try_new(array)?))
        }
    }

    /// Writes a value.
    pub(super) fn write(&self, row: usize, settings: &TextSettings, out: &mut Vec<u8>) {
        match self {
            Self::Leaf(cells) => cells.write_json(row, settings, out),
            Self::List(list, _) if list.is_null(row) => out.extend_from_slice(b"null"),
            Self::Struct(group, _) if group.is_null(row) => out.extend_from_slice(b"null"),
            Self::Map(map, ..) if map.is_null(row) => out.extend_from_slice(b"null"),
            Self::List(list, items) => {
                let range = range(list.value_offsets(), row);
                write_all(out, b'[', range, b']', |item, out| items.write(item, settings, out));
            }
            Self::Struct(_, members) => write_all(out, b'{', members, b'}', |(name, member), out| {
                write_string(name, out);
                out.push(b':');
                member.write(row, settings, out);
            }),
            Self::Map(map, keys, values) => {
                let range = range(map.value_offsets(), row);
                write_all(out, b'{', range, b'}', |entry, out| {
                    keys.write_name(entry, settings, out);
                    out.push(b':');
                    values.write(entry, settings, out);
                });
            }
        }
    }

    /// Writes a value as the name of a member: what is no string is its JSON in quotes.
    fn write_name(&self, row: usize, settings: &TextSettings, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        self.write(row, settings, &mut value);
        if value.starts_with(b"\"") {
            out.extend_from_slice(&value);
        } else {
            write_string(&String::from_utf8_lossy(&value), out);
        }
    }
}

/// Writes items with commas between them.
fn write_all<T>(
    out: &mut Vec<u8>,
    open: u8,
    items: impl IntoIterator<Item = T>,
    close: u8,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(open);
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(close);
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    let mut quoted = String::new();
    jsonb::write_string(&mut quoted, text);
    out.extend_from_slice(quoted.as_bytes());
}

/// The items of a row.
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |position: usize| offsets.get(position).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

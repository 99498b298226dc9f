//! Table schemas (architecture F5): sections, so that columns, keys and tables can gain properties.
//!
//! | section | payload |
//! |---|---|
//! | 1 identity | table id, version, schema name, table name |
//! | 2 column, one each | id, name, type, collation, nullable, initial default, write default (presence byte, text) |
//! | 3 key, one each | id, name, column count, column ids; section 1, if it is not zero: secret (16 bytes) |
//! | 4 options | bit 0: append only |
//! | 5 sort key, if there is one | column count, column ids |
//! | 6 retention, if there is one | column id, period in µs |
//! | 8 columns that are gone, if there are any | id below which no column is new |
//! | 9 comment, one each, may be skipped | 0 or 1 + column id (the table, or a column), text |

use outcrop_types::schema::COLUMNS_MAX;
use outcrop_types::{
    Column, ColumnId, Comments, IndexId, KeyIndex, KeySecret, Retention, SchemaVersion, TableId, TableName,
    TableOptions, TableSchema,
};

use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};
use crate::section::WhenUnknown;
use crate::value::{decode_data_type, decode_value, encode_data_type, encode_value};

const IDENTITY: u16 = 1;
const COLUMN: u16 = 2;
const KEY: u16 = 3;
const OPTIONS: u16 = 4;
const SORT_KEY: u16 = 5;
const RETENTION: u16 = 6;

const GONE: u16 = 8;
const COMMENT: u16 = 9;
const KEY_SECRET: u16 = 1;

const OPTION_APPEND_ONLY: u64 = 1;
const OPTIONS_KNOWN: u64 = OPTION_APPEND_ONLY;

const TABLE_SCHEMA: &str = "table schema";

/// Appends a table schema.
pub fn encode_table_schema(schema: &TableSchema, out: &mut Encoder<'_>) {
    out.put_section(IDENTITY, WhenUnknown::Refuse, |out| {
        out.put_varint(u64::from(schema.id.get()));
        out.put_varint(u64::from(schema.version.get()));
        out.put_text(&schema.name.schema);
        out.put_text(&schema.name.table);
    });
    for column in &schema.columns {
        out.put_section(COLUMN, WhenUnknown::Refuse, |out| encode_column(column, out));
    }
    for key in &schema.keys {
        out.put_section(KEY, WhenUnknown::Refuse, |out| encode_key(key, out));
    }
    if schema.next_column != ColumnId::default() {
        out.put_section(GONE, WhenUnknown::Refuse, |out| out.put_varint(u64::from(schema.next_column.get())));
    }
    let Comments { table, columns } = &schema.comments;
    let of_columns = columns.iter().map(|(column, text)| (Some(*column), text));
    for (column, text) in table.iter().map(|text| (None, text)).chain(of_columns) {
        out.put_section(COMMENT, WhenUnknown::Skip, |out| {
            out.put_varint(column.map_or(0, |column| u64::from(column.get()) + 1));
            out.put_text(text);
        });
    }
    let TableOptions { append_only, sort_key, retention } = &schema.options;
    if !sort_key.is_empty() {
        out.put_section(SORT_KEY, WhenUnknown::Refuse, |out| {
            out.put_count(sort_key.len());
            sort_key.iter().for_each(|column| out.put_varint(u64::from(column.get())));
        });
    }
    if let Some(Retention { column, period_us }) = retention {
        out.put_section(RETENTION, WhenUnknown::Refuse, |out| {
            out.put_varint(u64::from(column.get()));
            out.put_varint(period_us.unsigned_abs());
        });
    }
    // The last section is always there: a schema that is cut off is never taken for whole.
    out.put_section(OPTIONS, WhenUnknown::Refuse, |out| {
        out.put_varint(if *append_only { OPTION_APPEND_ONLY } else { 0 });
    });
}

/// Reads a table schema that fills all of `bytes`.
///
/// # Errors
/// Any [`DecodeProblem`] of its parts; `RepeatedColumn`; `Inconsistent` for a key over a column that is not there.
pub fn decode_table_schema(bytes: &mut Decoder<'_>) -> Result<TableSchema, DecodeError> {
    let (mut identity, mut options, mut next_column) = (None, None, None);
    let (mut sort_key, mut retention) = (None, None);
    let (mut columns, mut keys, mut comments) = (Vec::new(), Vec::new(), Comments::default());
    while let Some(mut section) = bytes.section()? {
        match section.tag {
            IDENTITY => {
                let value = decode_identity(&mut section.payload)?;
                section.set(&mut identity, TABLE_SCHEMA, value)?;
            }
            COLUMN => columns.push(decode_column(&mut section.payload)?),
            KEY => keys.push(decode_key(&mut section.payload)?),
            OPTIONS => {
                let value = decode_options(&mut section.payload)?;
                section.set(&mut options, TABLE_SCHEMA, value)?;
            }
            GONE => {
                let value = ColumnId::new(section.payload.varint_u32("column id")?);
                section.payload.extensions("columns that are gone")?;
                section.set(&mut next_column, TABLE_SCHEMA, value)?;
            }
            COMMENT => decode_comment(&mut section.payload, &mut comments)?,
            SORT_KEY => {
                let value = decode_sort_key(&mut section.payload)?;
                section.set(&mut sort_key, TABLE_SCHEMA, value)?;
            }
            RETENTION => {
                let value = decode_retention(&mut section.payload)?;
                section.set(&mut retention, TABLE_SCHEMA, value)?;
            }
            _ => section.unknown(TABLE_SCHEMA)?,
        }
    }
    let (id, version, name) = bytes.required(identity, TABLE_SCHEMA, IDENTITY)?;
    let append_only = bytes.required(options, TABLE_SCHEMA, OPTIONS)?;
    let options = TableOptions { append_only, sort_key: sort_key.unwrap_or_default(), retention };
    let next_column = next_column.unwrap_or_default();
    let schema = TableSchema { id, version, name, columns, keys, options, next_column, comments };
    check(&schema).map_err(|what| bytes.error(what))?;
    Ok(schema)
}

/// What the rest of the engine takes for granted about a schema.
fn check(schema: &TableSchema) -> Result<(), DecodeProblem> {
    if schema.columns.len() > COLUMNS_MAX {
        let (found, max) = (schema.columns.len() as u64, COLUMNS_MAX as u64);
        return Err(DecodeProblem::Limit { what: "columns", found, max });
    }
    let mut ids: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    ids.sort_unstable();
    if let Some(column) = ids.windows(2).find_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    }) {
        return Err(DecodeProblem::RepeatedColumn { column });
    }
    let has_all = schema.keys.iter().flat_map(|key| &key.columns).all(|column| ids.binary_search(column).is_ok());
    if !has_all {
        return Err(DecodeProblem::Inconsistent("key over a column that the table does not have"));
    }
    let TableOptions { append_only: _, sort_key, retention } = &schema.options;
    let mut of_options = sort_key.iter().chain(retention.as_ref().map(|retention| &retention.column));
    if !of_options.all(|column| ids.binary_search(column).is_ok()) {
        return Err(DecodeProblem::Inconsistent("option over a column that the table does not have"));
    }
    Ok(())
}

fn decode_identity(bytes: &mut Decoder<'_>) -> Result<(TableId, SchemaVersion, TableName), DecodeError> {
    let id = TableId::new(bytes.varint_u32("table id")?);
    let version = SchemaVersion::new(bytes.varint_u32("schema version")?);
    let name = TableName::new(bytes.text()?, bytes.text()?);
    bytes.extensions(TABLE_SCHEMA)?;
    Ok((id, version, name))
}

fn encode_column(column: &Column, out: &mut Encoder<'_>) {
    let Column { id, name, data_type, collation, nullable, initial_default, write_default } = column;
    out.put_varint(u64::from(id.get()));
    out.put_text(name);
    encode_data_type(data_type, out);
    out.put_varint(u64::from(*collation));
    out.put_u8(u8::from(*nullable));
    encode_value(initial_default, out);
    out.put_u8(u8::from(write_default.is_some()));
    if let Some(text) = write_default {
        out.put_text(text);
    }
}

fn decode_column(bytes: &mut Decoder<'_>) -> Result<Column, DecodeError> {
    let column = Column {
        id: ColumnId::new(bytes.varint_u32("column id")?),
        name: bytes.text()?.to_owned(),
        data_type: decode_data_type(bytes)?,
        collation: bytes.varint_u32("collation")?,
        nullable: decode_flag(bytes, "nullable")?,
        initial_default: decode_value(bytes)?,
        write_default: if decode_flag(bytes, "write default")? { Some(bytes.text()?.to_owned()) } else { None },
    };
    bytes.extensions("column")?;
    Ok(column)
}

fn encode_key(key: &KeyIndex, out: &mut Encoder<'_>) {
    let KeyIndex { id, name, columns, secret } = key;
    out.put_varint(u64::from(id.get()));
    out.put_text(name);
    out.put_count(columns.len());
    columns.iter().for_each(|column| out.put_varint(u64::from(column.get())));
    if *secret != KeySecret::default() {
        out.put_section(KEY_SECRET, WhenUnknown::Refuse, |out| out.put_raw(secret.as_bytes()));
    }
}

fn decode_key(bytes: &mut Decoder<'_>) -> Result<KeyIndex, DecodeError> {
    let id = IndexId::new(bytes.varint_u32("index id")?);
    let name = bytes.text()?.to_owned();
    let columns = (0..bytes.count("key columns", 1)?)
        .map(|_| bytes.varint_u32("column id").map(ColumnId::new))
        .collect::<Result<_, _>>()?;
    let mut secret = None;
    while let Some(mut section) = bytes.section()? {
        if section.tag == KEY_SECRET {
            let value = KeySecret::from_bytes(section.payload.take_array()?);
            section.payload.extensions("key secret")?;
            section.set(&mut secret, "key", value)?;
        } else {
            section.unknown("key")?;
        }
    }
    Ok(KeyIndex { id, name, columns, secret: secret.unwrap_or_default() })
}

/// Whether the table is append-only.
fn decode_options(bytes: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    let at = bytes.offset();
    let bits = bytes.varint()?;
    if bits & !OPTIONS_KNOWN != 0 {
        return Err(DecodeError::new(at, DecodeProblem::Features(bits & !OPTIONS_KNOWN)));
    }
    bytes.extensions("table options")?;
    Ok(bits & OPTION_APPEND_ONLY != 0)
}

fn decode_sort_key(bytes: &mut Decoder<'_>) -> Result<Vec<ColumnId>, DecodeError> {
    let columns = (0..bytes.count("sort key columns", 1)?)
        .map(|_| bytes.varint_u32("column id").map(ColumnId::new))
        .collect::<Result<_, _>>()?;
    bytes.extensions("sort key")?;
    Ok(columns)
}

fn decode_retention(bytes: &mut Decoder<'_>) -> Result<Retention, DecodeError> {
    let column = ColumnId::new(bytes.varint_u32("column id")?);
    let at = bytes.offset();
    let found = bytes.varint()?;
    let max = i64::MAX.unsigned_abs();
    let period_us = i64::try_from(found)
        .map_err(|_too_large| DecodeError::new(at, DecodeProblem::Limit { what: "retention", found, max }))?;
    bytes.extensions("retention")?;
    Ok(Retention { column, period_us })
}

fn decode_comment(bytes: &mut Decoder<'_>, comments: &mut Comments) -> Result<(), DecodeError> {
    let column = bytes.varint_u32("column id")?;
    let text = bytes.text()?.to_owned();
    bytes.extensions("comment")?;
    match column.checked_sub(1) {
        None => comments.table = Some(text),
        Some(column) => drop(comments.columns.insert(ColumnId::new(column), text)),
    }
    Ok(())
}

fn decode_flag(bytes: &mut Decoder<'_>, what: &'static str) -> Result<bool, DecodeError> {
    let at = bytes.offset();
    match bytes.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(DecodeError::new(at, DecodeProblem::Tag { what, found })),
    }
}

#[cfg(test)]
mod tests;

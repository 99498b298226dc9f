//! From the definition of a table to its schema: names, limits, key columns.

use std::collections::HashSet;

use outcrop_types::schema::{COLUMNS_MAX, NAME_BYTES_MAX};
use outcrop_types::{
    Column, ColumnId, Comments, Condition, DataType, Error, IndexId, KeyIndex, KeySecret, Result, SchemaVersion,
    TableId, TableOptions, TableSchema,
};

use super::NewTable;
use crate::rewrite::is_sortable;

/// Makes the schema of a new table. Pure; whether the name is free is judged by [`super::plan`].
pub(crate) fn define_table(new: &NewTable, id: TableId) -> Result<TableSchema> {
    check_name(&new.name.table)?;
    if new.columns.len() > COLUMNS_MAX {
        let count = new.columns.len();
        return Err(Error::new(Condition::TooManyColumns, format!("tables can have at most {COLUMNS_MAX} columns"))
            .with_detail(format!("The table would have {count} columns.")));
    }
    if new.columns.is_empty() {
        return Err(Error::new(Condition::FeatureNotSupported, "a table needs at least one column"));
    }
    let mut names = HashSet::new();
    let mut columns = Vec::with_capacity(new.columns.len());
    for (number, column) in (1_u32..).zip(&new.columns) {
        check_name(&column.name)?;
        check_type(&column.name, &column.data_type)?;
        if !names.insert(column.name.as_str()) {
            return Err(Error::new(
                Condition::DuplicateColumn,
                format!("column \"{}\" specified more than once", column.name),
            ));
        }
        columns.push(Column {
            id: ColumnId::new(number),
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            collation: 0,
            nullable: column.nullable,
            initial_default: column.initial_default.clone(),
            write_default: column.write_default.clone(),
        });
    }
    let keys = match &new.primary_key {
        Some((name, key_columns)) => {
            if new.options.append_only {
                return Err(Error::new(
                    Condition::InvalidTableDefinition,
                    format!("append-only table \"{}\" cannot have a primary key", new.name.table),
                )
                .with_detail("An append-only table keeps no key index."));
            }
            check_name(name)?;
            vec![define_key(&mut columns, name, key_columns)?]
        }
        None => Vec::new(),
    };
    check_options(&new.options, &columns)?;
    Ok(TableSchema {
        id,
        version: SchemaVersion::new(1),
        name: new.name.clone(),
        columns,
        keys,
        options: new.options.clone(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    })
}

/// 42P01.
pub(crate) fn undefined_table(name: impl std::fmt::Display) -> Error {
    Error::new(Condition::UndefinedTable, format!("table \"{name}\" does not exist"))
}

fn define_key(columns: &mut [Column], name: &str, key_columns: &[String]) -> Result<KeyIndex> {
    if key_columns.is_empty() {
        return Err(Error::new(Condition::InvalidTableDefinition, "a primary key needs at least one column"));
    }
    let mut ids = Vec::with_capacity(key_columns.len());
    for key_column in key_columns {
        let Some(column) = columns.iter_mut().find(|column| column.name == *key_column) else {
            return Err(Error::new(
                Condition::UndefinedColumn,
                format!("column \"{key_column}\" named in key does not exist"),
            ));
        };
        if ids.contains(&column.id) {
            return Err(Error::new(
                Condition::DuplicateColumn,
                format!("column \"{key_column}\" appears twice in primary key constraint"),
            ));
        }
        if !column.data_type.is_key_type() {
            return Err(Error::new(
                Condition::InvalidTableDefinition,
                format!("column \"{key_column}\" of type {} cannot be part of a key", column.data_type),
            ));
        }
        column.nullable = false;
        ids.push(column.id);
    }
    Ok(KeyIndex { id: IndexId::new(1), name: name.to_owned(), columns: ids, secret: KeySecret::default() })
}

/// The sort key has an order, and the time that retention goes by is a time.
pub(super) fn check_options(options: &TableOptions, columns: &[Column]) -> Result<()> {
    let named = |id: ColumnId| {
        let found = columns.iter().find(|column| column.id == id);
        found.ok_or_else(|| Error::new(Condition::UndefinedColumn, "an option names a column that does not exist"))
    };
    for (position, id) in options.sort_key.iter().enumerate() {
        let Column { name, data_type, .. } = named(*id)?;
        if options.sort_key.iter().take(position).any(|other| other == id) {
            return Err(Error::new(
                Condition::DuplicateColumn,
                format!("column \"{name}\" appears twice in the sort key"),
            ));
        }
        if !is_sortable(data_type) {
            return Err(Error::new(
                Condition::FeatureNotSupported,
                format!("column \"{name}\" of type {data_type} cannot be part of a sort key"),
            ));
        }
    }
    let Some(retention) = options.retention else { return Ok(()) };
    let Column { name, data_type, .. } = named(retention.column)?;
    if retention.limit(data_type, 0).is_none() {
        return Err(Error::new(
            Condition::InvalidTableDefinition,
            format!("column \"{name}\" of type {data_type} cannot be the time_column"),
        )
        .with_hint("Retention goes by a timestamp, a timestamptz or a date."));
    }
    if retention.period_us < 0 {
        return Err(Error::new(Condition::InvalidParameterValue, "retention cannot be negative"));
    }
    Ok(())
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::new(Condition::InvalidTableDefinition, "a name is empty or contains a null character"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::new(Condition::NameTooLong, format!("name \"{name}\" is too long"))
            .with_detail(format!("Names have at most {NAME_BYTES_MAX} bytes, this one has {}.", name.len())));
    }
    Ok(())
}

/// 42P16 for a type that no column can have.
pub(super) fn check_type(column: &str, data_type: &DataType) -> Result<()> {
    let mut inner = data_type;
    if let DataType::Array(item) = inner {
        inner = item;
    }
    let problem = match inner {
        DataType::Numeric { precision, scale } => {
            let valid = (1..=76).contains(precision) && u8::try_from(*scale).is_ok_and(|scale| scale <= *precision);
            (!valid).then(|| format!("numeric({precision},{scale}) is out of range"))
        }
        DataType::Varchar { length: 0 } => Some("length of varchar must be at least 1".to_owned()),
        DataType::Array(_) => Some("arrays have one dimension".to_owned()),
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Text
        | DataType::Varchar { .. }
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Jsonb => None,
    };
    match problem {
        Some(problem) => Err(Error::new(Condition::InvalidTableDefinition, problem)
            .with_detail(format!("Column \"{column}\" has this type."))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

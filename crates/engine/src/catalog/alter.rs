//! What `ALTER TABLE` makes of a schema. Pure: which rows there are is judged by [`crate::commit`].

use outcrop_types::schema::COLUMNS_MAX;
use outcrop_types::{Column, ColumnId, Condition, DataType, Error, Result, TableSchema, Value};

use super::define::{check_name, check_options, check_type};
use super::{AlterAction, NewColumn};

/// A table after `ALTER TABLE`.
#[derive(Clone, Debug)]
pub(crate) struct Altered {
    /// Its schema, one version on.
    pub(crate) schema: TableSchema,
    /// Columns that allow no NULL any more, or are new and allow none: 23502 if a row has one.
    pub(crate) without_nulls: Vec<ColumnId>,
}

/// Applies actions in order; each sees what the ones before it leave.
///
/// # Errors
/// As the variants of [`AlterAction`] say; the first one that fails fails all.
pub(crate) fn alter_table(schema: &TableSchema, actions: &[AlterAction]) -> Result<Altered> {
    let version = schema.version.next().ok_or_else(|| exhausted("schema versions"))?;
    let mut altered = Altered { schema: TableSchema { version, ..schema.clone() }, without_nulls: Vec::new() };
    for action in actions {
        match action {
            AlterAction::AddColumn { column, if_not_exists } => altered.add_column(column, *if_not_exists)?,
            AlterAction::DropColumn { name, if_exists } => altered.drop_column(name, *if_exists)?,
            AlterAction::RenameColumn { from, to } => altered.rename_column(from, to)?,
            AlterAction::RenameTable(name) => {
                check_name(name)?;
                altered.schema.name.table.clone_from(name);
            }
            AlterAction::SetType { column, data_type } => altered.set_type(column, data_type)?,
            AlterAction::SetDefault { column, default } => {
                altered.column_mut(column)?.write_default.clone_from(default);
            }
            AlterAction::SetNullable { column, nullable } => altered.set_nullable(column, *nullable)?,
            AlterAction::Comment { column, text } => altered.comment(column.as_deref(), text.as_deref())?,
        }
    }
    check_options(&altered.schema.options, &altered.schema.columns)?;
    Ok(altered)
}

impl Altered {
    fn add_column(&mut self, new: &NewColumn, if_not_exists: bool) -> Result<()> {
        check_name(&new.name)?;
        check_type(&new.name, &new.data_type)?;
        if self.schema.column_named(&new.name).is_some() {
            return if if_not_exists { Ok(()) } else { Err(self.duplicate(&new.name)) };
        }
        if self.schema.columns.len() >= COLUMNS_MAX {
            let message = format!("tables can have at most {COLUMNS_MAX} columns");
            return Err(Error::new(Condition::TooManyColumns, message));
        }
        let id = self.schema.free_column_id().ok_or_else(|| {
            exhausted("numbers for columns")
                .with_hint("Columns that were dropped count; create a new table and fill it with INSERT … SELECT.")
        })?;
        if !new.nullable && new.initial_default == Value::Null {
            self.without_nulls.push(id);
        }
        self.schema.columns.push(Column {
            id,
            name: new.name.clone(),
            data_type: new.data_type.clone(),
            collation: 0,
            nullable: new.nullable,
            initial_default: stored(&new.initial_default),
            write_default: new.write_default.clone(),
        });
        Ok(())
    }

    fn drop_column(&mut self, name: &str, if_exists: bool) -> Result<()> {
        let Some(id) = self.schema.column_named(name).map(|column| column.id) else {
            return if if_exists { Ok(()) } else { Err(self.undefined(name)) };
        };
        if self.schema.is_key_column(id) {
            let table = &self.schema.name.table;
            let message = format!("cannot drop column \"{name}\" of table \"{table}\": it is part of the primary key");
            return Err(Error::new(Condition::FeatureNotSupported, message)
                .with_hint("Create a table with another key and fill it with INSERT … SELECT."));
        }
        if self.schema.options.needs(id) {
            let table = &self.schema.name.table;
            let message =
                format!("cannot drop column \"{name}\" of table \"{table}\": its sort key or retention needs it");
            return Err(Error::new(Condition::FeatureNotSupported, message)
                .with_hint("Create a table without that option and fill it with INSERT … SELECT."));
        }
        if self.schema.columns.len() == 1 {
            return Err(Error::new(Condition::FeatureNotSupported, "a table needs at least one column"));
        }
        self.schema.next_column = self.schema.next_column.max(id.next().unwrap_or(id));
        self.schema.columns.retain(|column| column.id != id);
        self.schema.comments.columns.remove(&id);
        self.without_nulls.retain(|column| *column != id);
        Ok(())
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        // The column must exist before its new name can be taken.
        self.column_mut(from)?;
        if self.schema.column_named(to).is_some() {
            return Err(self.duplicate(to));
        }
        to.clone_into(&mut self.column_mut(from)?.name);
        Ok(())
    }

    fn set_type(&mut self, name: &str, to: &DataType) -> Result<()> {
        check_type(name, to)?;
        let column = self.column_mut(name)?;
        let from = column.data_type.clone();
        if from == *to {
            return Ok(());
        }
        let initial_default = column.initial_default.widened(to).filter(|_| from.widens_to(to));
        let Some(initial_default) = initial_default else { return Err(not_a_widening(name, &from, to)) };
        column.initial_default = initial_default;
        column.data_type = to.clone();
        let id = column.id;
        if self.schema.is_key_column(id) && !from.keeps_keys_as(to) {
            let message = format!("cannot change the type of key column \"{name}\" from {from} to {to}");
            return Err(Error::new(Condition::FeatureNotSupported, message)
                .with_detail("Keys of whole numbers are stored in another form than those of numeric.")
                .with_hint("Create a table with a key of the new type and fill it with INSERT … SELECT."));
        }
        Ok(())
    }

    fn set_nullable(&mut self, name: &str, nullable: bool) -> Result<()> {
        let id = self.column_mut(name)?.id;
        if nullable && self.schema.is_key_column(id) {
            let message = format!("column \"{name}\" is in a primary key");
            return Err(Error::new(Condition::InvalidTableDefinition, message));
        }
        let column = self.column_mut(name)?;
        let changed = column.nullable != nullable;
        column.nullable = nullable;
        self.without_nulls.retain(|column| *column != id || !nullable);
        if changed && !nullable {
            self.without_nulls.push(id);
        }
        Ok(())
    }

    fn comment(&mut self, column: Option<&str>, text: Option<&str>) -> Result<()> {
        let text = text.map(str::to_owned);
        let Some(name) = column else {
            self.schema.comments.table = text;
            return Ok(());
        };
        let id = self.column_mut(name)?.id;
        match text {
            Some(text) => drop(self.schema.comments.columns.insert(id, text)),
            None => drop(self.schema.comments.columns.remove(&id)),
        }
        Ok(())
    }

    fn column_mut(&mut self, name: &str) -> Result<&mut Column> {
        match self.schema.columns.iter().position(|column| column.name == name) {
            Some(position) => self.schema.columns.get_mut(position).ok_or_else(|| Error::internal("a column is lost")),
            None => Err(self.undefined(name)),
        }
    }

    fn undefined(&self, name: &str) -> Error {
        let table = &self.schema.name.table;
        Error::new(Condition::UndefinedColumn, format!("column \"{name}\" of relation \"{table}\" does not exist"))
    }

    fn duplicate(&self, name: &str) -> Error {
        let table = &self.schema.name.table;
        Error::new(Condition::DuplicateColumn, format!("column \"{name}\" of relation \"{table}\" already exists"))
    }
}

/// A value as rows hold it: one NaN, no -0.0 (Q9).
fn stored(value: &Value) -> Value {
    match value {
        Value::Float(number) => Value::Float(if number.is_nan() { f64::NAN } else { number + 0.0 }),
        Value::Array(items) => Value::Array(items.iter().map(stored).collect()),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Decimal(..)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Uuid(_) => value.clone(),
    }
}

/// 0A000 where PostgreSQL would rewrite the rows, 42804 where it would ask for USING.
fn not_a_widening(name: &str, from: &DataType, to: &DataType) -> Error {
    let error = if family(from) == family(to) {
        let message = format!("cannot change the type of column \"{name}\" from {from} to {to}");
        Error::new(Condition::FeatureNotSupported, message)
            .with_detail("Some values of the old type would not be values of the new one, or would change.")
    } else {
        let message = format!("column \"{name}\" cannot be cast automatically to type {to}");
        Error::new(Condition::DatatypeMismatch, message)
    };
    error.with_hint("Add a column of the new type, fill it with UPDATE, drop the old one and rename the new one.")
}

/// Types between which PostgreSQL converts by itself.
fn family(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Bool => 0,
        DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric { .. } => 1,
        DataType::Text | DataType::Varchar { .. } => 2,
        DataType::Bytea => 3,
        DataType::Date | DataType::Timestamp | DataType::TimestampTz => 4,
        DataType::Time => 5,
        DataType::Uuid => 6,
        DataType::Jsonb => 7,
        DataType::Array(item) => 8_u8.saturating_add(family(item)),
    }
}

fn exhausted(what: &str) -> Error {
    Error::new(Condition::ProgramLimitExceeded, format!("the table has no {what} left"))
}

#[cfg(test)]
mod tests;

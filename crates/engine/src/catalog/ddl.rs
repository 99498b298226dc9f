//! Changes of the catalog, as callers ask for them.

use outcrop_types::{DataType, TableName, TableOptions, Value};

/// A column of a table to be created; ids are given by the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct NewColumn {
    /// Name in SQL.
    pub name: String,
    /// Type.
    pub data_type: DataType,
    /// Whether NULL is allowed. Key columns are never nullable.
    pub nullable: bool,
    /// SQL text of the DEFAULT expression.
    pub write_default: Option<String>,
    /// What rows older than the column hold (`ALTER TABLE ADD COLUMN`); NULL at `CREATE TABLE`.
    pub initial_default: Value,
}

/// A table to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTable {
    /// Its name; the schema must exist.
    pub name: TableName,
    /// Its columns, in order.
    pub columns: Vec<NewColumn>,
    /// Constraint name and column names of the primary key.
    pub primary_key: Option<(String, Vec<String>)>,
    /// Storage choices. Columns of a new table are counted from 1 in the order of `columns`: these are the ids here.
    pub options: TableOptions,
}

/// A change of the catalog. Existence is judged against the tail, in the turn of the change (W3).
#[derive(Clone, Debug, PartialEq)]
pub enum Ddl {
    /// `CREATE SCHEMA`: 42P06 if it exists.
    CreateSchema(String),
    /// `DROP SCHEMA`: 3F000 if it does not exist; 2BP01 for `commons`, and if it holds tables.
    DropSchema(String),
    /// `DROP SCHEMA … CASCADE`: its tables go too. 3F000 if it does not exist; 2BP01 for `commons`.
    DropSchemaCascade(String),
    /// `CREATE TABLE`: 42P07 if it exists, 3F000 without the schema, 42701, 54011, 42622, 42P16 for bad definitions.
    CreateTable(NewTable),
    /// `DROP TABLE`: 42P01 if it does not exist.
    DropTable(TableName),
    /// `DROP TABLE IF EXISTS`.
    DropTableIfExists(TableName),
    /// `TRUNCATE`, several tables at once: 42P01 if one does not exist.
    Truncate(Vec<TableName>),
}

/// One change is a list of one: [`crate::Engine::ddl`] takes lists.
impl From<Ddl> for Vec<Ddl> {
    fn from(change: Ddl) -> Self {
        vec![change]
    }
}

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

/// One action of `ALTER TABLE`. Columns are named as the actions before leave them.
#[derive(Clone, Debug, PartialEq)]
pub enum AlterAction {
    /// `ADD COLUMN`: 42701 if there is one of that name; 23502 if it allows no NULL, has no initial default, and there are rows.
    AddColumn {
        /// The column, with what it holds in rows that are there.
        column: NewColumn,
        /// A column of that name is left as it is.
        if_not_exists: bool,
    },
    /// `DROP COLUMN`: 42703 if there is none; 0A000 for a key column and for the last one.
    DropColumn {
        /// The column.
        name: String,
        /// None is no error.
        if_exists: bool,
    },
    /// `RENAME COLUMN`: 42703, 42701.
    RenameColumn {
        /// Its name before.
        from: String,
        /// Its name after.
        to: String,
    },
    /// `RENAME TO`, within the schema: 42P07 if the name is taken.
    RenameTable(String),
    /// `ALTER COLUMN … TYPE`: 42703; 0A000 and 42804 for anything but a widening.
    SetType {
        /// The column.
        column: String,
        /// Its new type.
        data_type: DataType,
    },
    /// `SET DEFAULT`, `DROP DEFAULT`: what rows to come hold. 42703.
    SetDefault {
        /// The column.
        column: String,
        /// SQL text of the expression.
        default: Option<String>,
    },
    /// `SET NOT NULL`, `DROP NOT NULL`: 42703; 23502 if a row has NULL there; 42P16 for a key column.
    SetNullable {
        /// The column.
        column: String,
        /// Whether NULL is allowed.
        nullable: bool,
    },
    /// `COMMENT ON TABLE`, `COMMENT ON COLUMN`: 42703.
    Comment {
        /// The column; `None` for the table.
        column: Option<String>,
        /// What to say; `None` takes it away.
        text: Option<String>,
    },
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
    /// `ALTER TABLE`: 42P01 if it does not exist. All actions or none.
    AlterTable {
        /// The table.
        table: TableName,
        /// In order.
        actions: Vec<AlterAction>,
    },
    /// `TRUNCATE`, several tables at once: 42P01 if one does not exist.
    Truncate(Vec<TableName>),
}

/// One change is a list of one: [`crate::Engine::ddl`] takes lists.
impl From<Ddl> for Vec<Ddl> {
    fn from(change: Ddl) -> Self {
        vec![change]
    }
}

//! Numbers of objects, as clients of PostgreSQL expect them.

use std::sync::Arc;

use outcrop_engine::Snapshot;
use outcrop_types::{Column, KeyIndex, TableSchema};

/// Schemas get numbers from here, in order of their names.
const SCHEMA_BASE: i64 = 16_000_000;
/// A table's number is this plus its id.
const TABLE_BASE: i64 = 20_000_000;
/// The index of a table's primary key.
const INDEX_BASE: i64 = 40_000_000;
/// The constraint of a table's primary key.
const CONSTRAINT_BASE: i64 = 60_000_000;
/// The default of a column: this plus table and position.
const DEFAULT_BASE: i64 = 80_000_000;

/// Number of `pg_catalog`.
pub(super) const PG_CATALOG: i64 = 11;
/// Number of `pg_class` itself.
pub(super) const PG_CLASS: i64 = 1_259;
/// Number of `information_schema`.
pub(super) const INFORMATION_SCHEMA: i64 = 13_000;
/// Number of `outcrop`.
pub(super) const OUTCROP: i64 = 13_001;
/// The only role that there is.
pub(super) const OWNER: i64 = 10;
/// The database.
pub(super) const DATABASE: i64 = 16_384;

/// Schemas and tables of a snapshot with their numbers.
pub(crate) struct Objects {
    schemas: Vec<(i64, String)>,
    tables: Vec<Arc<TableSchema>>,
}

impl Objects {
    /// The objects of a snapshot; none without one.
    pub(crate) fn new(snapshot: Option<&Snapshot>) -> Self {
        let Some(snapshot) = snapshot else {
            return Self { schemas: Vec::new(), tables: Vec::new() };
        };
        let catalog = snapshot.catalog();
        let schemas = (SCHEMA_BASE..).zip(catalog.schemas().map(str::to_owned)).collect();
        Self { schemas, tables: catalog.tables().map(Arc::clone).collect() }
    }

    /// User schemas.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = (i64, &str)> {
        self.schemas.iter().map(|(oid, name)| (*oid, name.as_str()))
    }

    /// User tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableSchema> {
        self.tables.iter().map(|table| &**table)
    }

    /// The number of a schema.
    pub(crate) fn schema_oid(&self, name: &str) -> i64 {
        match name {
            "pg_catalog" => PG_CATALOG,
            "information_schema" => INFORMATION_SCHEMA,
            "outcrop" => OUTCROP,
            _ => self.schemas.iter().find(|(_, schema)| schema == name).map_or(0, |(oid, _)| *oid),
        }
    }

    /// The table with a number.
    pub(crate) fn table_by_oid(&self, oid: i64) -> Option<&TableSchema> {
        self.tables().find(|table| table_oid(table) == oid)
    }

    /// The table whose primary key has this index number.
    pub(crate) fn table_by_index(&self, oid: i64) -> Option<(&TableSchema, &KeyIndex)> {
        self.tables().find(|table| index_oid(table) == oid).and_then(|table| Some((table, table.primary_key()?)))
    }

    /// The table whose primary key has this constraint number.
    pub(crate) fn table_by_constraint(&self, oid: i64) -> Option<(&TableSchema, &KeyIndex)> {
        self.tables().find(|table| constraint_oid(table) == oid).and_then(|table| Some((table, table.primary_key()?)))
    }
}

/// The name of a schema that is always there.
pub(crate) fn schema_of_oid(objects: &Objects, oid: i64) -> Option<String> {
    match oid {
        PG_CATALOG => Some("pg_catalog".to_owned()),
        INFORMATION_SCHEMA => Some("information_schema".to_owned()),
        OUTCROP => Some("outcrop".to_owned()),
        _ => objects.schemas().find(|(known, _)| *known == oid).map(|(_, name)| name.to_owned()),
    }
}

pub(crate) fn table_oid(table: &TableSchema) -> i64 {
    TABLE_BASE + i64::from(table.id.get())
}

pub(crate) fn index_oid(table: &TableSchema) -> i64 {
    INDEX_BASE + i64::from(table.id.get())
}

pub(super) fn constraint_oid(table: &TableSchema) -> i64 {
    CONSTRAINT_BASE + i64::from(table.id.get())
}

/// The number of a column in its table: that of one that is gone is never given again.
pub(crate) fn column_number(column: &Column) -> i64 {
    i64::from(column.id.get())
}

pub(super) fn default_oid(table: &TableSchema, position: i64) -> i64 {
    DEFAULT_BASE + i64::from(table.id.get()) * 32_768 + position
}

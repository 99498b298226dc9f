//! What exists at one `CommitSeq`.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use outcrop_types::schema::DEFAULT_SCHEMA;
use outcrop_types::{TableId, TableName, TableSchema};

/// Schemas and tables at one `CommitSeq`. Cheap to clone: versions share what they have in common.
#[derive(Clone, Debug)]
pub struct Catalog {
    schemas: OrdSet<Arc<str>>,
    names: OrdMap<TableName, TableId>,
    tables: OrdMap<TableId, Arc<TableSchema>>,
}

impl Default for Catalog {
    /// The catalog of a new database: the schema `commons` and no table.
    fn default() -> Self {
        Self { schemas: OrdSet::unit(Arc::from(DEFAULT_SCHEMA)), names: OrdMap::new(), tables: OrdMap::new() }
    }
}

impl Catalog {
    /// Names of all schemas, sorted. `commons` always exists.
    pub fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas.iter().map(|name| &**name)
    }

    /// Whether a schema exists.
    pub fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains(name)
    }

    /// The table of this name.
    pub fn table(&self, name: &TableName) -> Option<&Arc<TableSchema>> {
        self.tables.get(self.names.get(name)?)
    }

    /// The table with this id.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableSchema>> {
        self.tables.get(&id)
    }

    /// All tables, sorted by name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.names.values().filter_map(|id| self.tables.get(id))
    }

    /// The tables of a schema, sorted by name.
    pub(crate) fn tables_of<'a>(&'a self, schema: &'a str) -> impl Iterator<Item = &'a Arc<TableSchema>> {
        self.tables().filter(move |table| table.name.schema == schema)
    }

    pub(crate) fn put_schema(&mut self, name: &str) {
        self.schemas.insert(Arc::from(name));
    }

    pub(crate) fn drop_schema(&mut self, name: &str) {
        self.schemas.remove(name);
    }

    /// Adds a table, or a newer version of one, whose name may have changed.
    pub(crate) fn put_table(&mut self, schema: Arc<TableSchema>) {
        if let Some(old) = self.tables.get(&schema.id) {
            self.names.remove(&old.name);
        }
        self.names.insert(schema.name.clone(), schema.id);
        self.tables.insert(schema.id, schema);
    }

    pub(crate) fn drop_table(&mut self, id: TableId) {
        if let Some(schema) = self.tables.remove(&id) {
            self.names.remove(&schema.name);
        }
    }
}

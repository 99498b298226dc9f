//! What a list of changes does to a catalog: judged in order, each on what the ones before it leave. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use outcrop_types::schema::DEFAULT_SCHEMA;
use outcrop_types::{ColumnId, Condition, Error, KeySecret, Result, TableId, TableName, TableSchema};

use super::alter::{Altered, alter_table};
use super::define::{check_name, define_table, undefined_table};
use super::{AlterAction, Catalog, Ddl, NewTable};

/// The changes of one commit, resolved.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In order.
    pub(crate) steps: Vec<Step>,
    /// The catalog after them.
    pub(crate) catalog: Catalog,
    /// Tables that were there before and change: the plan holds only as long as their writers wait.
    pub(crate) affected: BTreeSet<TableId>,
    /// Those of them whose rows go.
    pub(crate) emptied: BTreeSet<TableId>,
    /// What the rows of altered tables must not have.
    pub(crate) without_nulls: Vec<WithoutNulls>,
}

/// A column that must have no NULL in any row of its table.
#[derive(Clone, Debug)]
pub(crate) struct WithoutNulls {
    /// The table as it will be.
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) column: ColumnId,
}

/// One change, as the log says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    CreateSchema(String),
    DropSchema(String),
    CreateTable(Arc<TableSchema>),
    AlterTable(Arc<TableSchema>),
    DropTable(TableId),
    Truncate(TableId),
}

/// Resolves `changes` on `catalog`; new tables get their ids from `next_table` on, and secrets for their keys.
///
/// # Errors
/// As the variants of [`Ddl`] say; the first one that fails fails all.
pub(crate) fn plan(
    changes: &[Ddl],
    catalog: &Catalog,
    mut next_table: TableId,
    new_secret: &mut dyn FnMut() -> KeySecret,
) -> Result<Plan> {
    let mut plan = Plan {
        steps: Vec::new(),
        catalog: catalog.clone(),
        affected: BTreeSet::new(),
        emptied: BTreeSet::new(),
        without_nulls: Vec::new(),
    };
    for change in changes {
        match change {
            Ddl::CreateSchema(name) => plan.create_schema(name)?,
            Ddl::DropSchema(name) => {
                let first = plan.catalog.tables_of(name).next().map(|schema| schema.name.clone());
                if let Some(table) = first {
                    return Err(schema_in_use(name)
                        .with_detail(format!("table {table} depends on schema {name}"))
                        .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                plan.drop_schema(name)?;
            }
            Ddl::DropSchemaCascade(name) => plan.drop_schema(name)?,
            Ddl::CreateTable(new) => {
                plan.create_table(new, next_table, new_secret)?;
                next_table = TableId::new(next_table.get().saturating_add(1));
            }
            Ddl::DropTable(name) => {
                let id = plan.resolve(name)?;
                plan.drop_table(id, catalog);
            }
            Ddl::DropTableIfExists(name) => {
                if let Ok(id) = plan.resolve(name) {
                    plan.drop_table(id, catalog);
                }
            }
            Ddl::Truncate(names) => {
                for name in names {
                    let id = plan.resolve(name)?;
                    plan.steps.push(Step::Truncate(id));
                    plan.note_emptied(id, catalog);
                }
            }
            Ddl::AlterTable { table, actions } => plan.alter_table(table, actions, catalog)?,
        }
    }
    Ok(plan)
}

impl Plan {
    /// Whether the same tables change, and the same is asked of their rows.
    pub(crate) fn is_about_the_same(&self, other: &Self) -> bool {
        let asked = |plan: &Self| -> Vec<_> {
            plan.without_nulls.iter().map(|of| (of.schema.id, of.schema.version, of.column)).collect()
        };
        self.affected == other.affected && asked(self) == asked(other)
    }

    fn create_schema(&mut self, name: &str) -> Result<()> {
        check_name(name)?;
        if self.catalog.has_schema(name) {
            return Err(Error::new(Condition::DuplicateSchema, format!("schema \"{name}\" already exists")));
        }
        self.catalog.put_schema(name);
        self.steps.push(Step::CreateSchema(name.to_owned()));
        Ok(())
    }

    /// A schema with whatever is in it.
    fn drop_schema(&mut self, name: &str) -> Result<()> {
        self.require_schema(name)?;
        if name == DEFAULT_SCHEMA {
            return Err(schema_in_use(name).with_hint(format!("The schema {DEFAULT_SCHEMA} always stays.")));
        }
        let tables: Vec<TableId> = self.catalog.tables_of(name).map(|schema| schema.id).collect();
        let before = self.catalog.clone();
        tables.into_iter().for_each(|table| self.drop_table(table, &before));
        self.catalog.drop_schema(name);
        self.steps.push(Step::DropSchema(name.to_owned()));
        Ok(())
    }

    fn create_table(&mut self, new: &NewTable, id: TableId, new_secret: &mut dyn FnMut() -> KeySecret) -> Result<()> {
        self.require_schema(&new.name.schema)?;
        if self.catalog.table(&new.name).is_some() {
            let name = &new.name.table;
            return Err(Error::new(Condition::DuplicateTable, format!("relation \"{name}\" already exists")));
        }
        let mut schema = define_table(new, id)?;
        schema.keys.iter_mut().for_each(|key| key.secret = new_secret());
        let schema = Arc::new(schema);
        self.catalog.put_table(Arc::clone(&schema));
        self.steps.push(Step::CreateTable(schema));
        Ok(())
    }

    fn drop_table(&mut self, id: TableId, before: &Catalog) {
        self.catalog.drop_table(id);
        self.steps.push(Step::DropTable(id));
        self.note_emptied(id, before);
    }

    fn alter_table(&mut self, name: &TableName, actions: &[AlterAction], before: &Catalog) -> Result<()> {
        let old = self.catalog.table(name).map(Arc::clone).ok_or_else(|| undefined_relation(name))?;
        let Altered { schema, without_nulls } = alter_table(&old, actions)?;
        if schema.name != old.name && self.catalog.table(&schema.name).is_some() {
            let name = &schema.name.table;
            return Err(Error::new(Condition::DuplicateTable, format!("relation \"{name}\" already exists")));
        }
        let schema = Arc::new(schema);
        let column = |column| WithoutNulls { schema: Arc::clone(&schema), column };
        self.without_nulls.extend(without_nulls.into_iter().map(column));
        self.catalog.put_table(Arc::clone(&schema));
        if before.table_by_id(schema.id).is_some() {
            self.affected.insert(schema.id);
        }
        self.steps.push(Step::AlterTable(schema));
        Ok(())
    }

    fn note_emptied(&mut self, id: TableId, before: &Catalog) {
        if before.table_by_id(id).is_some() {
            self.affected.insert(id);
            self.emptied.insert(id);
        }
    }

    fn resolve(&self, name: &TableName) -> Result<TableId> {
        self.catalog.table(name).map(|schema| schema.id).ok_or_else(|| undefined_table(name))
    }

    fn require_schema(&self, name: &str) -> Result<()> {
        if self.catalog.has_schema(name) {
            Ok(())
        } else {
            Err(Error::new(Condition::InvalidSchemaName, format!("schema \"{name}\" does not exist")))
        }
    }
}

/// 42P01, in the words of `ALTER TABLE`.
fn undefined_relation(name: &TableName) -> Error {
    Error::new(Condition::UndefinedTable, format!("relation \"{}\" does not exist", name.table))
}

fn schema_in_use(name: &str) -> Error {
    Error::new(
        Condition::DependentObjectsStillExist,
        format!("cannot drop schema {name} because other objects depend on it"),
    )
}

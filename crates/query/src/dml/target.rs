//! The table that a statement writes.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, Error, Result, TableSchema};

use super::syntax::column_of;
use crate::planning::Relation;
use crate::session::Work;
use crate::statement::{WrittenName, name_of};

/// A table and the name by which the statement's expressions mean it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) alias: String,
}

impl Target {
    /// The table of this name, at the work's snapshot.
    pub(crate) fn resolve(work: &Work, name: &ast::ObjectName, alias: Option<&ast::Ident>) -> Result<Self> {
        let written = WrittenName::read(name, &work.view().database)?;
        let schema = written.resolve(work.snapshot.catalog(), work.search_path())?;
        let alias = alias.map_or_else(|| schema.name.table.clone(), name_of);
        Ok(Self { schema: Arc::clone(schema), alias })
    }

    /// The table of an `UPDATE` or `DELETE`.
    pub(crate) fn of_factor(work: &Work, table: &ast::TableWithJoins) -> Result<Self> {
        match (&table.relation, table.joins.as_slice()) {
            (ast::TableFactor::Table { name, alias, args: None, .. }, []) => {
                Self::resolve(work, name, alias.as_ref().map(|alias| &alias.name))
            }
            (other, _) => Err(Error::new(Condition::SyntaxError, format!("syntax error at or near \"{other}\""))
                .with_detail("One table is changed; others are named in FROM or USING.")),
        }
    }

    /// Position of a column in the table.
    pub(crate) fn position(&self, name: &str) -> Result<usize> {
        self.schema.columns.iter().position(|column| column.name == name).ok_or_else(|| {
            Error::new(
                Condition::UndefinedColumn,
                format!("column \"{name}\" of relation \"{}\" does not exist", self.schema.name.table),
            )
        })
    }

    /// Positions of columns in the table: of those named, each once, or of all.
    pub(crate) fn positions(&self, names: &[String]) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Ok((0..self.schema.columns.len()).collect());
        }
        let mut positions = Vec::with_capacity(names.len());
        for name in names {
            let position = self.position(name)?;
            if positions.contains(&position) {
                return Err(Error::new(
                    Condition::DuplicateColumn,
                    format!("column \"{name}\" specified more than once"),
                ));
            }
            positions.push(position);
        }
        Ok(positions)
    }

    /// Its columns as expressions, in order.
    pub(crate) fn column_expressions(&self) -> impl Iterator<Item = ast::Expr> {
        self.schema.columns.iter().map(|column| column_of(&self.alias, &column.name))
    }

    /// The table's columns under its alias.
    pub(crate) fn relation(&self) -> Relation<'_> {
        Relation { name: self.alias.clone(), schema: &self.schema }
    }

    /// The table's columns under another name.
    pub(crate) fn relation_as(&self, name: &str) -> Relation<'_> {
        Relation { name: name.to_owned(), schema: &self.schema }
    }
}

//! `CREATE TABLE`.

use datafusion::sql::sqlparser::ast;
use outcrop_engine::{Ddl, NewColumn, NewTable};
use outcrop_types::schema::COLUMNS_MAX;
use outcrop_types::{Condition, Error, Result, TableOptions};

use super::column::{ReadColumn, read_column, unsupported};
use super::table_options::read_options;
use crate::result::{CommandTag, Execution};
use crate::session::{Notice, Work};
use crate::statement::{Outcome, WrittenName, name_of, new_name};

/// Creates a table; with `IF NOT EXISTS` a table of that name is left as it is.
pub(crate) async fn create_table(work: &Work, create: &ast::CreateTable) -> Result<Outcome> {
    refuse_variants(create)?;
    let written = WrittenName::read(&create.name, &work.view().database)?;
    if let Some(ident) = create.name.0.last().and_then(|part| part.as_ident()) {
        new_name(ident)?;
    }
    let name = written.create_in(work.snapshot.catalog(), work.search_path())?;
    let mut outcome = Outcome::new(Execution::Done(CommandTag::new("CREATE TABLE")));
    let exists = Notice::new("42P07", format!("relation \"{}\" already exists, skipping", name.table));
    if create.if_not_exists && work.snapshot.catalog().table(&name).is_some() {
        outcome.notices.push(exists);
        return Ok(outcome);
    }
    let mut definition = Definition::default();
    for column in &create.columns {
        definition.add_column(work, column)?;
    }
    for constraint in &create.constraints {
        definition.add_constraint(constraint)?;
    }
    let options = read_options(&create.table_options, &definition.columns)?;
    let table = definition.finish(name, options)?;
    let engine = work.engine().clone();
    match work.commit(move || engine.ddl(Ddl::CreateTable(table))).await {
        Err(error) if create.if_not_exists && error.condition() == Condition::DuplicateTable => {
            outcome.notices.push(exists);
        }
        other => {
            other?;
        }
    }
    Ok(outcome)
}

#[derive(Debug, Default)]
struct Definition {
    columns: Vec<NewColumn>,
    /// Constraint name, if given, and columns.
    key: Option<(Option<String>, Vec<String>)>,
}

impl Definition {
    fn add_column(&mut self, work: &Work, column: &ast::ColumnDef) -> Result<()> {
        let name = new_name(&column.name)?;
        if self.columns.iter().any(|other| other.name == name) {
            return Err(duplicate_column(&name));
        }
        if self.columns.len() >= COLUMNS_MAX {
            return Err(Error::new(
                Condition::TooManyColumns,
                format!("tables can have at most {COLUMNS_MAX} columns"),
            ));
        }
        let ReadColumn { column, primary_key, .. } = read_column(work, column)?;
        if let Some(constraint) = primary_key {
            self.set_key(constraint.as_ref(), vec![column.name.clone()])?;
        }
        self.columns.push(column);
        Ok(())
    }

    fn add_constraint(&mut self, constraint: &ast::TableConstraint) -> Result<()> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused")]
        match constraint {
            ast::TableConstraint::PrimaryKey(key) => {
                let columns = key
                    .columns
                    .iter()
                    .map(|column| match &column.column.expr {
                        ast::Expr::Identifier(ident) => Ok(name_of(ident)),
                        other => Err(Error::new(
                            Condition::SyntaxError,
                            format!("syntax error in PRIMARY KEY: \"{other}\" is not a column"),
                        )),
                    })
                    .collect::<Result<Vec<_>>>()?;
                self.set_key(key.name.as_ref(), columns)
            }
            ast::TableConstraint::Unique(_) => Err(unsupported("UNIQUE constraints are not supported")
                .with_hint("Make the columns the primary key, if they identify the row.")),
            ast::TableConstraint::ForeignKey(_) => Err(unsupported("foreign keys are not supported")
                .with_hint("Leave REFERENCES out; joins need no declaration.")),
            ast::TableConstraint::Check(_) => Err(unsupported("CHECK constraints are not supported")
                .with_hint("Check the values before they are written.")),
            other => Err(unsupported(format!("table constraint {other} is not supported"))),
        }
    }

    fn set_key(&mut self, name: Option<&ast::Ident>, columns: Vec<String>) -> Result<()> {
        if self.key.is_some() {
            return Err(Error::new(
                Condition::InvalidTableDefinition,
                "multiple primary keys for a table are not allowed",
            ));
        }
        self.key = Some((name.map(new_name).transpose()?, columns));
        Ok(())
    }

    fn finish(mut self, name: outcrop_types::TableName, options: TableOptions) -> Result<NewTable> {
        let primary_key = match self.key.take() {
            None => None,
            Some((constraint, columns)) => {
                for (at, key_column) in columns.iter().enumerate() {
                    if columns.iter().take(at).any(|other| other == key_column) {
                        return Err(Error::new(
                            Condition::DuplicateColumn,
                            format!("column \"{key_column}\" appears twice in primary key constraint"),
                        ));
                    }
                    let column =
                        self.columns.iter_mut().find(|column| column.name == *key_column).ok_or_else(|| {
                            Error::new(
                                Condition::UndefinedColumn,
                                format!("column \"{key_column}\" named in key does not exist"),
                            )
                        })?;
                    if !column.data_type.is_key_type() {
                        return Err(unsupported(format!(
                            "column \"{key_column}\" of type {} cannot be part of a key",
                            column.data_type
                        )));
                    }
                    column.nullable = false;
                }
                Some((constraint.unwrap_or_else(|| format!("{}_pkey", name.table)), columns))
            }
        };
        Ok(NewTable { name, columns: self.columns, primary_key, options })
    }
}

fn refuse_variants(create: &ast::CreateTable) -> Result<()> {
    if create.temporary {
        return Err(unsupported("temporary tables are not supported")
            .with_hint("Create a table in a schema of its own and drop it afterwards."));
    }
    if create.query.is_some() {
        return Err(
            unsupported("CREATE TABLE … AS is not supported").with_hint("Use CREATE TABLE and INSERT … SELECT.")
        );
    }
    if create.like.is_some() || create.clone.is_some() {
        return Err(unsupported("CREATE TABLE … LIKE is not supported").with_hint("List the columns."));
    }
    if create.inherits.is_some() || create.partition_by.is_some() || create.partition_of.is_some() {
        return Err(unsupported("partitions and inheritance are not supported")
            .with_hint("One table holds any number of rows; pruning needs no partitions."));
    }
    if create.or_replace || create.external {
        return Err(unsupported("OR REPLACE and EXTERNAL tables are not supported"));
    }
    Ok(())
}

fn duplicate_column(name: &str) -> Error {
    Error::new(Condition::DuplicateColumn, format!("column \"{name}\" specified more than once"))
}

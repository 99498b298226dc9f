//! `ALTER TABLE` and `COMMENT ON`.

use datafusion::arrow::array::ArrayRef;
use datafusion::sql::sqlparser::ast;
use outcrop_engine::{AlterAction, Ddl, Fill, FillColumns};
use outcrop_types::{Condition, DataType, Error, Result, TableName, TableSchema};

use super::column::{ReadColumn, check_default, initial_default, read_column, unsupported};
use crate::planning::{BindExpression, BoundExpressions};
use crate::result::{CommandTag, Execution};
use crate::session::{Cancellation, Notice, Work, rows_without_columns};
use crate::statement::{Outcome, WrittenName, name_of, new_name};
use crate::types::sql_data_type;

/// `ALTER TABLE [IF EXISTS] name action, …`: all of them in one commit.
pub(crate) async fn alter_table(work: &Work, alter: &ast::AlterTable) -> Result<Outcome> {
    if alter.table_type.is_some() || alter.location.is_some() || alter.on_cluster.is_some() {
        return Err(unsupported(format!("{alter} is not supported")));
    }
    let mut outcome = Outcome::new(Execution::Done(CommandTag::new("ALTER TABLE")));
    let written = WrittenName::read(&alter.name, &work.view().database)?;
    let skipped = Notice::new(SUCCESS, format!("relation \"{written}\" does not exist, skipping"));
    if alter.if_exists && written.find(work.snapshot.catalog(), work.search_path()).is_none() {
        outcome.notices.push(skipped);
        return Ok(outcome);
    }
    let table = written.resolve(work.snapshot.catalog(), work.search_path())?;
    let renames = |action: &ast::AlterTableOperation| {
        matches!(action, ast::AlterTableOperation::RenameColumn { .. } | ast::AlterTableOperation::RenameTable { .. })
    };
    if alter.operations.len() > 1 && alter.operations.iter().any(renames) {
        return Err(Error::new(Condition::SyntaxError, "RENAME cannot be combined with other actions of ALTER TABLE"));
    }
    let mut actions = Actions::of(table);
    for action in &alter.operations {
        actions.read(work, action)?;
    }
    let Actions { read, notices, filled, .. } = actions;
    let committed = match filled.as_slice() {
        [] => commit(work, table.name.clone(), read).await,
        filled => commit_filling(work, table.name.clone(), read, filled).await,
    };
    match committed {
        Err(error) if alter.if_exists && error.condition() == Condition::UndefinedTable => {
            outcome.notices.push(skipped);
        }
        other => {
            other?;
            outcome.notices.extend(notices);
        }
    }
    Ok(outcome)
}

/// `COMMENT ON { TABLE | COLUMN } name IS { 'text' | NULL }`
pub(crate) async fn comment(work: &Work, sql: &ast::Statement) -> Result<Outcome> {
    let ast::Statement::Comment { object_type, object_name, comment: text, .. } = sql else {
        return Err(Error::internal("COMMENT expected"));
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused by name")]
    let (table, column) = match object_type {
        ast::CommentObject::Table => (object_name.clone(), None),
        ast::CommentObject::Column => {
            let mut parts = object_name.0.clone();
            let column = parts.pop().filter(|_| !parts.is_empty());
            let column = column.as_ref().and_then(|part| part.as_ident()).map(name_of);
            let column = column.ok_or_else(|| Error::new(Condition::SyntaxError, "column name must be qualified"))?;
            (ast::ObjectName(parts), Some(column))
        }
        other => return Err(unsupported(format!("COMMENT ON {other} is not supported"))),
    };
    let written = WrittenName::read(&table, &work.view().database)?;
    let table = written.resolve(work.snapshot.catalog(), work.search_path())?;
    // An empty comment is none.
    let text = text.clone().filter(|text| !text.is_empty());
    commit(work, table.name.clone(), vec![AlterAction::Comment { column, text }]).await?;
    Ok(Outcome::new(Execution::Done(CommandTag::new("COMMENT"))))
}

async fn commit(work: &Work, table: TableName, actions: Vec<AlterAction>) -> Result<()> {
    let engine = work.engine().clone();
    work.commit(move || engine.ddl(Ddl::AlterTable { table, actions })).await.map(drop)
}

/// The same with a value of its own for each row that is there.
async fn commit_filling(
    work: &Work,
    table: TableName,
    actions: Vec<AlterAction>,
    filled: &[(String, BindExpression)],
) -> Result<()> {
    let (columns, expressions): (Vec<String>, Vec<BindExpression>) = filled.iter().cloned().unzip();
    let defaults = work.context()?.bind(&expressions, &[], &[])?;
    let values = Box::new(Defaults { defaults, cancellation: work.cancellation.clone() });
    let engine = work.engine().clone();
    let alter = move || engine.alter_filling(&table, &actions, Fill { columns, values });
    work.commit_asking(alter).await.map(drop)
}

/// DEFAULTs, evaluated for each row, as long as the statement is not cancelled.
struct Defaults {
    defaults: BoundExpressions,
    cancellation: Cancellation,
}

impl FillColumns for Defaults {
    fn fill(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        self.cancellation.check()?;
        self.defaults.evaluate(&rows_without_columns(rows)?)
    }

    fn last_word(&mut self) -> Result<()> {
        self.cancellation.commit_begins()
    }
}

/// Actions read so far, and the columns that they leave, as far as later ones need to know.
struct Actions<'a> {
    table: &'a TableSchema,
    columns: Vec<(String, DataType)>,
    read: Vec<AlterAction>,
    notices: Vec<Notice>,
    /// New columns whose DEFAULT is another for each row.
    filled: Vec<(String, BindExpression)>,
}

impl<'a> Actions<'a> {
    fn of(table: &'a TableSchema) -> Self {
        let columns = table.columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect();
        Self { table, columns, read: Vec::new(), notices: Vec::new(), filled: Vec::new() }
    }

    fn read(&mut self, work: &Work, action: &ast::AlterTableOperation) -> Result<()> {
        use ast::AlterTableOperation as Action;
        #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused by name")]
        let action = match action {
            Action::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
                self.add_column(work, column_def, *if_not_exists)?
            }
            Action::DropColumn { column_names, if_exists, .. } => {
                for name in column_names {
                    self.drop_column(&name_of(name), *if_exists);
                }
                return Ok(());
            }
            Action::RenameColumn { old_column_name, new_column_name } => {
                AlterAction::RenameColumn { from: name_of(old_column_name), to: new_name(new_column_name)? }
            }
            Action::RenameTable { table_name: ast::RenameTableNameKind::To(name) } => {
                let [ast::ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
                    return Err(Error::new(Condition::SyntaxError, format!("improper new name of a table: {name}"))
                        .with_hint("A table stays in its schema; write the new name alone."));
                };
                AlterAction::RenameTable(new_name(ident)?)
            }
            Action::AlterColumn { column_name, op } => self.alter_column(work, name_of(column_name), op)?,
            Action::AddConstraint { .. } | Action::DropConstraint { .. } | Action::RenameConstraint { .. } => {
                return Err(unsupported("constraints of a table cannot be changed")
                    .with_hint("Create a table with the key that it needs and fill it with INSERT … SELECT."));
            }
            other => return Err(unsupported(format!("ALTER TABLE … {other} is not supported"))),
        };
        self.read.push(action);
        Ok(())
    }

    fn add_column(&mut self, work: &Work, column: &ast::ColumnDef, if_not_exists: bool) -> Result<AlterAction> {
        let ReadColumn { mut column, default, primary_key } = read_column(work, column)?;
        if primary_key.is_some() {
            return Err(unsupported("a primary key cannot be added to a table")
                .with_hint("Create a table with that key and fill it with INSERT … SELECT."));
        }
        if self.columns.iter().any(|(name, _)| *name == column.name) && if_not_exists {
            let (name, table) = (&column.name, &self.table.name.table);
            let text = format!("column \"{name}\" of relation \"{table}\" already exists, skipping");
            self.notices.push(Notice::new("42701", text));
        } else if let Some(expr) = default {
            match initial_default(work, &expr, &column.data_type)? {
                Some(value) => column.initial_default = value,
                None => {
                    let bind = BindExpression { expr, target: Some(column.data_type.clone()) };
                    self.filled.push((column.name.clone(), bind));
                }
            }
        }
        self.columns.push((column.name.clone(), column.data_type.clone()));
        Ok(AlterAction::AddColumn { column, if_not_exists })
    }

    fn drop_column(&mut self, name: &str, if_exists: bool) {
        if if_exists && !self.columns.iter().any(|(other, _)| other == name) {
            let table = &self.table.name.table;
            let text = format!("column \"{name}\" of relation \"{table}\" does not exist, skipping");
            self.notices.push(Notice::new(SUCCESS, text));
        }
        self.columns.retain(|(other, _)| other != name);
        self.filled.retain(|(other, _)| other != name);
        self.read.push(AlterAction::DropColumn { name: name.to_owned(), if_exists });
    }

    fn alter_column(&mut self, work: &Work, column: String, op: &ast::AlterColumnOperation) -> Result<AlterAction> {
        use ast::AlterColumnOperation as Op;
        Ok(match op {
            Op::SetNotNull => AlterAction::SetNullable { column, nullable: false },
            Op::DropNotNull => AlterAction::SetNullable { column, nullable: true },
            Op::DropDefault => AlterAction::SetDefault { column, default: None },
            Op::SetDefault { value } => {
                // A column that is not there is refused by whoever knows the newest columns.
                let known = self.columns.iter().find(|(name, _)| *name == column);
                let default = match known {
                    Some((_, data_type)) => check_default(work, value, data_type)?,
                    None => value.to_string(),
                };
                AlterAction::SetDefault { column, default: Some(default) }
            }
            Op::SetDataType { data_type, using: None, .. } => {
                let data_type = sql_data_type(data_type)?;
                if let Some((_, known)) = self.columns.iter_mut().find(|(name, _)| *name == column) {
                    known.clone_from(&data_type);
                }
                AlterAction::SetType { column, data_type }
            }
            Op::SetDataType { .. } => {
                return Err(unsupported("USING in ALTER COLUMN … TYPE is not supported").with_hint(
                    "Add a column of the new type, fill it with UPDATE, drop the old one and rename the new one.",
                ));
            }
            Op::AddGenerated { .. } => {
                return Err(unsupported("generated columns are not supported")
                    .with_hint("Use a DEFAULT, or compute the value in the query."));
            }
        })
    }
}

/// The SQLSTATE of notices that report no problem.
const SUCCESS: &str = "00000";

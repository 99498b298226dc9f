//! Statements about the session itself: blocks and settings.

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use std::sync::Arc;

use outcrop_types::{Condition, DataType, Error, Result};

use crate::error::from_arrow;
use crate::result::{CommandTag, Execution, ResultColumn, ResultType, RowStream};
use crate::session::{Notice, Session, Transaction, TransactionStatus};
use crate::settings::{SetScope, SetValue, SettingCommand};
use crate::statement::{Body, Plan, Prepared, Statement, StatementKind};

impl Session {
    /// Prepares what needs no plan; `None` for the rest.
    pub(super) fn prepare_here(&self, statement: &Statement, types: &[Option<DataType>]) -> Result<Option<Prepared>> {
        let columns = match statement.body() {
            Body::Setting(SettingCommand::Show(name)) => Some(text_columns(&[&self.settings.show(name)?.0])),
            Body::Setting(SettingCommand::ShowAll) => Some(text_columns(&["name", "setting", "description"])),
            Body::Setting(SettingCommand::Set { .. } | SettingCommand::Reset(_) | SettingCommand::ResetAll) => None,
            Body::Sql(sql) => match statement.kind() {
                StatementKind::Transaction | StatementKind::Session => None,
                StatementKind::Execute => self.executed(statement)?.columns().map(<[ResultColumn]>::to_vec),
                StatementKind::Query if set_config(sql).is_some() => Some(text_columns(&["set_config"])),
                StatementKind::Query
                | StatementKind::Change
                | StatementKind::CopyIn
                | StatementKind::CopyOut
                | StatementKind::Definition => return Ok(None),
            },
            Body::Copy(_) | Body::Literal(_) => return Ok(None),
        };
        // Parameters of EXECUTE are constants; a PREPARE's own parameters are its statement's.
        if statement.parameter_count() > 0 && !matches!(statement.body(), Body::Sql(ast::Statement::Prepare { .. })) {
            return Err(Error::new(
                Condition::UndefinedParameter,
                format!("{} takes no parameters", statement.command()),
            ));
        }
        let given = types.iter().flatten().cloned().collect();
        Ok(Some(Prepared::new(statement.clone(), given, columns, Plan::Direct)))
    }

    /// Executes what needs no snapshot; `None` for the rest.
    pub(super) async fn execute_here(
        &mut self,
        statement: &Statement,
        prepared: &Prepared,
    ) -> Result<Option<Execution>> {
        let sql = match statement.body() {
            Body::Setting(command) => return self.execute_setting(command).map(Some),
            Body::Copy(_) | Body::Literal(_) => return Ok(None),
            Body::Sql(sql) => sql,
        };
        match statement.kind() {
            StatementKind::Transaction => self.execute_transaction(sql).map(done),
            StatementKind::Session => self.execute_session(statement, sql).await.map(done),
            StatementKind::Query => match set_config(sql) {
                Some((name, value, scope)) => {
                    let value = match value {
                        Some(value) => {
                            self.set(&name, SetValue::Text(value), scope)?;
                            self.settings.show(&name)?.1
                        }
                        None => {
                            self.set(&name, SetValue::Default, scope)?;
                            String::new()
                        }
                    };
                    text_rows("SELECT", prepared.columns().unwrap_or_default(), &[vec![value]]).map(Some)
                }
                None => Ok(None),
            },
            StatementKind::Execute
            | StatementKind::Change
            | StatementKind::CopyIn
            | StatementKind::CopyOut
            | StatementKind::Definition => Ok(None),
        }
    }

    fn execute_setting(&mut self, command: &SettingCommand) -> Result<Execution> {
        match command {
            SettingCommand::Set { scope, name, value } => {
                self.set(name, value.clone(), *scope)?;
                Ok(Execution::Done(CommandTag::new("SET")))
            }
            SettingCommand::Reset(name) => {
                self.settings.reset(name)?;
                Ok(Execution::Done(CommandTag::new("RESET")))
            }
            SettingCommand::ResetAll => {
                self.settings.reset_all();
                Ok(Execution::Done(CommandTag::new("RESET")))
            }
            SettingCommand::Show(name) => {
                self.note_position();
                let (name, value) = self.settings.show(name)?;
                text_rows("SHOW", &text_columns(&[&name]), &[vec![value]])
            }
            SettingCommand::ShowAll => {
                self.note_position();
                let columns = text_columns(&["name", "setting", "description"]);
                let rows: Vec<Vec<String>> = self
                    .settings
                    .all()
                    .map(|(name, value, description)| vec![name.to_owned(), value.to_owned(), description.to_owned()])
                    .collect();
                text_rows("SHOW", &columns, &rows)
            }
        }
    }

    fn set(&mut self, name: &str, value: SetValue, scope: SetScope) -> Result<()> {
        if name.eq_ignore_ascii_case("session_authorization") {
            return self.set_user(&value);
        }
        // `transaction_…` settings are of the block, whatever the statement says.
        let of_block = name.to_ascii_lowercase().starts_with("transaction_");
        if of_block || scope == SetScope::Local {
            if self.transaction.status() == TransactionStatus::Idle {
                let what = if of_block { "SET TRANSACTION" } else { "SET LOCAL" };
                self.notices.push(Notice::warning("25P01", format!("{what} can only be used in transaction blocks")));
                return Ok(());
            }
            return match value {
                SetValue::Text(value) => self.settings.set_local(name, &value),
                SetValue::Default => self.settings.reset(name),
            };
        }
        match value {
            SetValue::Text(value) => self.settings.set(name, &value),
            SetValue::Default => self.settings.reset(name),
        }
    }

    /// There are no roles yet: a session stays who it is.
    fn set_user(&self, value: &SetValue) -> Result<()> {
        match value {
            SetValue::Default => Ok(()),
            SetValue::Text(user) if *user == self.info.user || user.eq_ignore_ascii_case("none") => Ok(()),
            SetValue::Text(user) => Err(Error::new(
                Condition::InsufficientPrivilege,
                format!("permission denied to set session authorization \"{user}\""),
            )),
        }
    }

    fn execute_transaction(&mut self, sql: &ast::Statement) -> Result<CommandTag> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "StatementKind::Transaction lists them all")]
        match sql {
            ast::Statement::StartTransaction { modes, begin, statements, .. } => {
                if !statements.is_empty() {
                    return Err(Error::new(Condition::SyntaxError, "BEGIN takes no statements"));
                }
                self.begin(modes)?;
                Ok(CommandTag::new(if *begin { "BEGIN" } else { "START TRANSACTION" }))
            }
            ast::Statement::Commit { chain: true, .. } | ast::Statement::Rollback { chain: true, .. } => {
                Err(Error::new(Condition::FeatureNotSupported, "AND CHAIN is not supported")
                    .with_hint("Begin the next block with BEGIN."))
            }
            ast::Statement::Commit { .. } => Ok(self.commit()),
            ast::Statement::Rollback { savepoint: None, .. } => {
                self.warn_outside();
                self.settings.rollback();
                self.transaction = Transaction::Idle;
                Ok(CommandTag::new("ROLLBACK"))
            }
            _ if self.transaction.status() == TransactionStatus::Idle => {
                Err(Error::new(Condition::NoActiveTransaction, "savepoints can only be used in transaction blocks"))
            }
            _ => Err(Error::new(Condition::FeatureNotSupported, "savepoints are not supported")
                .with_hint("Blocks only read: there is nothing to roll back to.")),
        }
    }

    fn begin(&mut self, modes: &[ast::TransactionMode]) -> Result<()> {
        match self.transaction.status() {
            TransactionStatus::Idle => {
                self.settings.begin();
                self.transaction =
                    Transaction::Block { snapshot: None, started_us: self.database.env().clock.wall_us() };
            }
            TransactionStatus::InBlock | TransactionStatus::Failed => {
                self.notices.push(Notice::warning("25001", "there is already a transaction in progress"));
            }
        }
        self.set_modes("", modes)
    }

    /// `prefix` is empty for the block, `default_` for the session.
    fn set_modes(&mut self, prefix: &str, modes: &[ast::TransactionMode]) -> Result<()> {
        for mode in modes {
            let (name, value) = match mode {
                ast::TransactionMode::AccessMode(ast::TransactionAccessMode::ReadOnly) => {
                    ("transaction_read_only", "on".to_owned())
                }
                ast::TransactionMode::AccessMode(ast::TransactionAccessMode::ReadWrite) => {
                    ("transaction_read_only", "off".to_owned())
                }
                ast::TransactionMode::IsolationLevel(level) => {
                    ("transaction_isolation", level.to_string().to_lowercase())
                }
            };
            self.set(&format!("{prefix}{name}"), SetValue::Text(value), SetScope::Session)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> CommandTag {
        self.warn_outside();
        let failed = self.transaction.status() == TransactionStatus::Failed;
        self.transaction = Transaction::Idle;
        if failed {
            self.settings.rollback();
            return CommandTag::new("ROLLBACK");
        }
        self.settings.commit();
        CommandTag::new("COMMIT")
    }

    fn warn_outside(&mut self) {
        if self.transaction.status() == TransactionStatus::Idle {
            self.notices.push(Notice::warning("25P01", "there is no transaction in progress"));
        }
    }

    async fn execute_session(&mut self, statement: &Statement, sql: &ast::Statement) -> Result<CommandTag> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused by name")]
        match sql {
            ast::Statement::Set(ast::Set::SetTransaction { modes, snapshot: None, session }) => {
                self.set_modes(if *session { "default_" } else { "" }, modes)?;
                Ok(CommandTag::new("SET"))
            }
            ast::Statement::Discard { object_type } => self.discard(*object_type),
            ast::Statement::Prepare { name, data_types, statement: inner } => {
                self.prepare_named(statement, name, data_types, inner).await?;
                Ok(CommandTag::new("PREPARE"))
            }
            ast::Statement::Deallocate { name, .. } => self.deallocate(name),
            // Pools of connections say both before they give one to somebody else. There are no cursors and no channels.
            ast::Statement::Close { cursor: ast::CloseCursor::All } => Ok(CommandTag::new("CLOSE CURSOR ALL")),
            ast::Statement::UNLISTEN { .. } => Ok(CommandTag::new("UNLISTEN")),
            _ => Err(unsupported(statement)),
        }
    }

    fn discard(&mut self, object: ast::DiscardObject) -> Result<CommandTag> {
        match object {
            ast::DiscardObject::ALL => {
                if self.transaction.status() != TransactionStatus::Idle {
                    return Err(Error::new(
                        Condition::InvalidTransactionState,
                        "DISCARD ALL cannot run inside a transaction block",
                    ));
                }
                self.settings.reset_all();
                self.statements.clear();
                Ok(CommandTag::new("DISCARD ALL"))
            }
            ast::DiscardObject::PLANS => Ok(CommandTag::new("DISCARD PLANS")),
            ast::DiscardObject::SEQUENCES => Ok(CommandTag::new("DISCARD SEQUENCES")),
            ast::DiscardObject::TEMP => Ok(CommandTag::new("DISCARD TEMP")),
        }
    }
}

/// 0A000 for a statement of PostgreSQL that Outcrop does not have, with what to do instead.
pub(crate) fn unsupported(statement: &Statement) -> Error {
    let command = statement.command();
    let error = Error::new(Condition::FeatureNotSupported, format!("{command} is not supported"));
    match command.split(' ').next().unwrap_or_default() {
        "LISTEN" | "NOTIFY" => error.with_hint("Poll for changes with outcrop.min_commit_seq."),
        "GRANT" | "REVOKE" => error.with_hint("Users are managed with `outcrop user`."),
        "VACUUM" | "ANALYZE" | "REINDEX" | "CLUSTER" => error.with_hint("Outcrop does this by itself."),
        "DECLARE" | "FETCH" | "MOVE" => {
            error.with_hint("Results are streamed; read a large one in pieces with a portal of the extended protocol.")
        }
        "LOCK" => error.with_hint("Readers never wait for writers; no lock is needed."),
        _ if command == "CREATE INDEX" => error.with_hint("Every column is indexed as it is stored."),
        _ => error,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "used as a function of map")]
fn done(tag: CommandTag) -> Option<Execution> {
    Some(Execution::Done(tag))
}

fn text_columns(names: &[&str]) -> Vec<ResultColumn> {
    names.iter().map(|name| ResultColumn::new(*name, ResultType::Data(DataType::Text))).collect()
}

/// Rows of text that are there already.
pub(crate) fn text_rows(command: &'static str, columns: &[ResultColumn], rows: &[Vec<String>]) -> Result<Execution> {
    let fields: Vec<Field> = columns.iter().map(|column| DataType::Text.to_field(&column.name, false)).collect();
    let arrays = (0..columns.len())
        .map(|at| {
            let values = rows.iter().map(|row| row.get(at).map(String::as_str).unwrap_or_default());
            Arc::new(StringViewArray::from_iter_values(values)) as ArrayRef
        })
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(from_arrow)?;
    let batches = futures::stream::once(std::future::ready(Ok(batch))).boxed();
    Ok(Execution::Rows(RowStream::new(command, columns.to_vec(), batches)))
}

/// `SELECT set_config(name, value, is_local)` of constants alone, as drivers and dumps send it.
fn set_config(sql: &ast::Statement) -> Option<(String, Option<String>, SetScope)> {
    let ast::Statement::Query(query) = sql else { return None };
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [ast::SelectItem::UnnamedExpr(ast::Expr::Function(function))] = select.projection.as_slice() else {
        return None;
    };
    let name = function.name.0.last()?.as_ident()?;
    if !name.value.eq_ignore_ascii_case("set_config") || !select.from.is_empty() {
        return None;
    }
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let constants = list
        .args
        .iter()
        .map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(value))) => Some(&value.value),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()?;
    match constants.as_slice() {
        [ast::Value::SingleQuotedString(name), value, ast::Value::Boolean(local)] => {
            let value = match value {
                ast::Value::SingleQuotedString(value) => Some(value.clone()),
                ast::Value::Null => None,
                _ => return None,
            };
            Some((name.clone(), value, if *local { SetScope::Local } else { SetScope::Session }))
        }
        _ => None,
    }
}

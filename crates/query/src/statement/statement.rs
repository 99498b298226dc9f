//! A parsed statement.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;

use crate::copy::CopyStatement;
use crate::literal::LiteralInsert;
use crate::settings::SettingCommand;

/// A statement that parsed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Statement {
    text: Arc<str>,
    /// The whole message, which positions in the syntax tree refer to.
    source: Arc<str>,
    body: Arc<Body>,
    parameters: u16,
}

/// What was parsed.
#[derive(Debug)]
pub(crate) enum Body {
    /// What sqlparser knows.
    Sql(ast::Statement),
    /// `COPY`
    Copy(CopyStatement),
    /// `SET`, `SHOW`, `RESET`
    Setting(SettingCommand),
    /// `INSERT … VALUES` of literals.
    Literal(LiteralInsert),
}

/// What a statement is, as far as a protocol must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Returns rows and changes nothing: `SELECT`, `VALUES`, `SHOW`, `EXPLAIN`.
    Query,
    /// Changes rows: `INSERT`, `UPDATE`, `DELETE`.
    Change,
    /// `COPY … FROM STDIN`.
    CopyIn,
    /// `COPY … TO STDOUT`.
    CopyOut,
    /// Changes the catalog, or all rows of tables: `CREATE`, `ALTER`, `COMMENT`, `DROP`, `TRUNCATE`.
    Definition,
    /// `BEGIN`, `COMMIT`, `ROLLBACK` and relatives.
    Transaction,
    /// `EXECUTE`: what the prepared statement is.
    Execute,
    /// Changes the session: `SET`, `RESET`, `DISCARD`, `PREPARE`, `DEALLOCATE`; also what Outcrop does not have.
    Session,
}

impl Statement {
    pub(crate) fn new(text: &str, source: &Arc<str>, body: Body, parameters: u16) -> Self {
        let text = if text.len() == source.len() { Arc::clone(source) } else { text.into() };
        Self { text, source: Arc::clone(source), body: Arc::new(body), parameters }
    }

    /// The statement inside a PREPARE, which has its parameters.
    pub(crate) fn inner(&self, sql: ast::Statement) -> Self {
        Self { body: Arc::new(Body::Sql(sql)), ..self.clone() }
    }

    /// Its text, without the semicolon.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is.
    pub fn kind(&self) -> StatementKind {
        match &*self.body {
            Body::Sql(statement) => kind_of(statement),
            Body::Copy(copy) if copy.is_input() => StatementKind::CopyIn,
            Body::Copy(_) => StatementKind::CopyOut,
            Body::Setting(SettingCommand::Show(_) | SettingCommand::ShowAll) => StatementKind::Query,
            Body::Setting(SettingCommand::Set { .. } | SettingCommand::Reset(_) | SettingCommand::ResetAll) => {
                StatementKind::Session
            }
            Body::Literal(_) => StatementKind::Change,
        }
    }

    /// Whether it changes tables or the catalog. `EXECUTE` answers no: [`crate::Session::check_batch`] looks it up.
    pub fn writes(&self) -> bool {
        writes(self.kind())
    }

    /// Whether it ends a block: the only statements that a failed block takes.
    pub fn ends_transaction(&self) -> bool {
        matches!(
            &*self.body,
            Body::Sql(ast::Statement::Commit { .. } | ast::Statement::Rollback { savepoint: None, .. })
        )
    }

    /// The command as its tag names it: `INSERT`, `CREATE TABLE`.
    pub fn command(&self) -> String {
        let mut words = self.text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default().to_ascii_uppercase();
        match first.as_str() {
            "WITH" => match &*self.body {
                Body::Sql(ast::Statement::Insert(_)) => "INSERT".to_owned(),
                Body::Sql(ast::Statement::Update(_)) => "UPDATE".to_owned(),
                Body::Sql(ast::Statement::Delete(_)) => "DELETE".to_owned(),
                Body::Sql(_) | Body::Copy(_) | Body::Setting(_) | Body::Literal(_) => "SELECT".to_owned(),
            },
            "CREATE" | "DROP" | "ALTER" | "TRUNCATE" => {
                let second = words.map(str::to_ascii_uppercase).find(|word| {
                    !matches!(word.as_str(), "OR" | "REPLACE" | "UNIQUE" | "TEMP" | "TEMPORARY" | "UNLOGGED")
                });
                match second {
                    Some(second) if first != "TRUNCATE" => format!("{first} {second}"),
                    _ => format!("{first} TABLE"),
                }
            }
            _ => first,
        }
    }

    /// The name that an EXECUTE gives.
    pub(crate) fn executed_name(&self) -> Option<String> {
        match &*self.body {
            Body::Sql(ast::Statement::Execute { name: Some(name), .. }) => {
                name.0.first().and_then(|part| part.as_ident()).map(crate::statement::name_of)
            }
            Body::Sql(_) | Body::Copy(_) | Body::Setting(_) | Body::Literal(_) => None,
        }
    }

    /// The name of a PREPARE of a write.
    pub(crate) fn prepared_write(&self) -> Option<String> {
        match &*self.body {
            Body::Sql(ast::Statement::Prepare { name, statement, .. }) if writes(kind_of(statement)) => {
                Some(crate::statement::name_of(name))
            }
            Body::Sql(_) | Body::Copy(_) | Body::Setting(_) | Body::Literal(_) => None,
        }
    }

    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The highest `$n` in it.
    pub(crate) fn parameter_count(&self) -> u16 {
        self.parameters
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// What was parsed, if nobody else has the statement.
    pub(super) fn into_body(self) -> Option<Body> {
        Arc::into_inner(self.body)
    }
}

fn writes(kind: StatementKind) -> bool {
    match kind {
        StatementKind::Change | StatementKind::CopyIn | StatementKind::Definition => true,
        StatementKind::Query
        | StatementKind::CopyOut
        | StatementKind::Transaction
        | StatementKind::Execute
        | StatementKind::Session => false,
    }
}

fn kind_of(statement: &ast::Statement) -> StatementKind {
    use ast::Statement as S;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "sqlparser knows a hundred statements that Outcrop does not have"
    )]
    match statement {
        S::Query(_) | S::Explain { .. } | S::ExplainTable { .. } => StatementKind::Query,
        S::Insert(_) | S::Update(_) | S::Delete(_) => StatementKind::Change,
        S::CreateTable(_)
        | S::CreateSchema { .. }
        | S::AlterTable(_)
        | S::Comment { .. }
        | S::Drop { .. }
        | S::Truncate(_) => StatementKind::Definition,
        S::StartTransaction { .. }
        | S::Commit { .. }
        | S::Rollback { .. }
        | S::Savepoint { .. }
        | S::ReleaseSavepoint { .. } => StatementKind::Transaction,
        S::Execute { .. } => StatementKind::Execute,
        _ => StatementKind::Session,
    }
}

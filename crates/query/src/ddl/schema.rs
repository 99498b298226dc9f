//! `CREATE SCHEMA`.

use datafusion::sql::sqlparser::ast;
use outcrop_engine::Ddl;
use outcrop_types::{Condition, Error, Result};

use crate::catalog::SYSTEM_SCHEMAS;
use crate::result::{CommandTag, Execution};
use crate::session::{Notice, Work};
use crate::statement::{Outcome, new_name, schema_name};

/// `CREATE SCHEMA [IF NOT EXISTS] name`
pub(crate) async fn create_schema(work: &Work, sql: &ast::Statement) -> Result<Outcome> {
    let ast::Statement::CreateSchema { schema_name: name, if_not_exists, with, options, .. } = sql else {
        return Err(Error::internal("CREATE SCHEMA expected"));
    };
    if with.is_some() || options.is_some() {
        return Err(Error::new(Condition::FeatureNotSupported, "options of CREATE SCHEMA are not supported"));
    }
    let ast::SchemaName::Simple(name) = name else {
        return Err(Error::new(Condition::FeatureNotSupported, "CREATE SCHEMA … AUTHORIZATION is not supported")
            .with_hint("Leave the clause out; there are no owners yet."));
    };
    let [part] = name.0.as_slice() else {
        return Err(Error::new(Condition::SyntaxError, format!("improper schema name: {name}")));
    };
    let ident = part.as_ident().ok_or_else(|| Error::new(Condition::SyntaxError, "improper schema name"))?;
    let name = schema_name(&new_name(ident)?);
    let mut outcome = Outcome::new(Execution::Done(CommandTag::new("CREATE SCHEMA")));
    if name.starts_with("pg_") || SYSTEM_SCHEMAS.contains(&name.as_str()) {
        return Err(Error::new(Condition::InsufficientPrivilege, format!("unacceptable schema name \"{name}\""))
            .with_detail("The names pg_…, information_schema and outcrop are reserved."));
    }
    let ddl = Ddl::CreateSchema(name.clone());
    let engine = work.engine().clone();
    match work.commit(move || engine.ddl(ddl)).await {
        Err(error) if *if_not_exists && error.condition() == Condition::DuplicateSchema => {
            outcome.notices.push(Notice::new("42P06", format!("schema \"{name}\" already exists, skipping")));
        }
        other => {
            other?;
        }
    }
    Ok(outcome)
}

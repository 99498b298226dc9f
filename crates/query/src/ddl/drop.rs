//! `DROP TABLE`, `DROP SCHEMA`, `TRUNCATE`.

use datafusion::sql::sqlparser::ast;
use outcrop_engine::Ddl;
use outcrop_types::{Condition, Error, Result, TableName};

use crate::result::{CommandTag, Execution};
use crate::session::{Notice, Work};
use crate::statement::{Outcome, WrittenName, name_of, schema_name, undefined_schema};

/// `DROP { TABLE | SCHEMA } [IF EXISTS] name, …`
pub(crate) async fn drop_objects(work: &Work, sql: &ast::Statement) -> Result<Outcome> {
    let ast::Statement::Drop { object_type, if_exists, names, .. } = sql else {
        return Err(Error::internal("DROP expected"));
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused by name")]
    match object_type {
        ast::ObjectType::Table => drop_tables(work, names, *if_exists).await,
        ast::ObjectType::Schema => drop_schemas(work, names, *if_exists).await,
        other => Err(Error::new(Condition::FeatureNotSupported, format!("DROP {other} is not supported"))),
    }
}

async fn drop_tables(work: &Work, names: &[ast::ObjectName], if_exists: bool) -> Result<Outcome> {
    let mut outcome = Outcome::new(Execution::Done(CommandTag::new("DROP TABLE")));
    let mut found = Vec::new();
    for name in names {
        let written = WrittenName::read(name, &work.view().database)?;
        if if_exists && written.find(work.snapshot.catalog(), work.search_path()).is_none() {
            outcome.notices.push(skipped("table", &written.table, "00000"));
            continue;
        }
        let table = written.resolve(work.snapshot.catalog(), work.search_path()).map_err(|error| {
            if error.condition() == Condition::UndefinedTable {
                Error::new(Condition::UndefinedTable, format!("table \"{written}\" does not exist"))
            } else {
                error
            }
        })?;
        if !found.contains(&table.name) {
            found.push(table.name.clone());
        }
    }
    // Names were all checked before the first is dropped; each drop is a commit of its own.
    for name in found {
        let (engine, ddl) = (work.engine().clone(), Ddl::DropTable(name.clone()));
        match work.commit(move || engine.ddl(ddl)).await {
            Err(error) if if_exists && error.condition() == Condition::UndefinedTable => {
                outcome.notices.push(skipped("table", &name.table, "00000"));
            }
            other => {
                other?;
            }
        }
    }
    Ok(outcome)
}

async fn drop_schemas(work: &Work, names: &[ast::ObjectName], if_exists: bool) -> Result<Outcome> {
    let mut outcome = Outcome::new(Execution::Done(CommandTag::new("DROP SCHEMA")));
    for name in names {
        let [part] = name.0.as_slice() else {
            return Err(Error::new(Condition::SyntaxError, format!("improper schema name: {name}")));
        };
        let name = part.as_ident().map(name_of).map(|name| schema_name(&name)).unwrap_or_default();
        if !work.snapshot.catalog().has_schema(&name) {
            if if_exists {
                outcome.notices.push(skipped("schema", &name, "00000"));
                continue;
            }
            return Err(undefined_schema(&name));
        }
        let (engine, ddl) = (work.engine().clone(), Ddl::DropSchema(name));
        work.commit(move || engine.ddl(ddl)).await?;
    }
    Ok(outcome)
}

/// `TRUNCATE [TABLE] name, …`: all of them at once.
pub(crate) async fn truncate(work: &Work, truncate: &ast::Truncate) -> Result<Outcome> {
    let mut tables: Vec<TableName> = Vec::new();
    for target in &truncate.table_names {
        let written = WrittenName::read(&target.name, &work.view().database)?;
        let table = written.resolve(work.snapshot.catalog(), work.search_path())?;
        if !tables.contains(&table.name) {
            tables.push(table.name.clone());
        }
    }
    let engine = work.engine().clone();
    work.commit(move || engine.ddl(Ddl::Truncate(tables))).await?;
    Ok(Outcome::new(Execution::Done(CommandTag::new("TRUNCATE TABLE"))))
}

fn skipped(what: &str, name: &str, code: &'static str) -> Notice {
    Notice::new(code, format!("{what} \"{name}\" does not exist, skipping"))
}

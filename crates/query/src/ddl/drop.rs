//! `DROP TABLE`, `DROP SCHEMA`, `TRUNCATE`.

use datafusion::sql::sqlparser::ast;
use outcrop_engine::Ddl;
use outcrop_types::{Condition, Error, Result, TableName};

use crate::result::{CommandTag, Execution};
use crate::session::{Notice, Work};
use crate::statement::{Outcome, WrittenName, name_of, schema_name, undefined_schema};

/// `DROP { TABLE | SCHEMA } [IF EXISTS] name, … [CASCADE | RESTRICT]`: all of them at once.
pub(crate) async fn drop_objects(work: &Work, sql: &ast::Statement) -> Result<Outcome> {
    let ast::Statement::Drop { object_type, if_exists, names, cascade, .. } = sql else {
        return Err(Error::internal("DROP expected"));
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused by name")]
    match object_type {
        ast::ObjectType::Table => drop_tables(work, names, *if_exists).await,
        ast::ObjectType::Schema => {
            drop_schemas(work, names, *if_exists, if *cascade { Dependents::Dropped } else { Dependents::Refused })
                .await
        }
        other => Err(Error::new(Condition::FeatureNotSupported, format!("DROP {other} is not supported"))),
    }
}

async fn drop_tables(work: &Work, names: &[ast::ObjectName], if_exists: bool) -> Result<Outcome> {
    let mut outcome = Outcome::new(Execution::Done(CommandTag::new("DROP TABLE")));
    let mut found = Vec::new();
    for name in names {
        let written = WrittenName::read(name, &work.view().database)?;
        if if_exists && written.find(work.snapshot.catalog(), work.search_path()).is_none() {
            outcome.notices.push(skipped("table", &written.table));
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
    // One that another session drops meanwhile is as good as dropped, if it need not exist.
    let drop: fn(TableName) -> Ddl = if if_exists { Ddl::DropTableIfExists } else { Ddl::DropTable };
    commit(work, found.into_iter().map(drop).collect()).await?;
    Ok(outcome)
}

async fn drop_schemas(
    work: &Work,
    names: &[ast::ObjectName],
    if_exists: bool,
    dependents: Dependents,
) -> Result<Outcome> {
    let mut outcome = Outcome::new(Execution::Done(CommandTag::new("DROP SCHEMA")));
    let catalog = work.snapshot.catalog();
    let mut found = Vec::new();
    let mut dropped_with_them = Vec::new();
    for name in names {
        let [part] = name.0.as_slice() else {
            return Err(Error::new(Condition::SyntaxError, format!("improper schema name: {name}")));
        };
        let name = part.as_ident().map(name_of).map(|name| schema_name(&name)).unwrap_or_default();
        if !catalog.has_schema(&name) {
            if if_exists {
                outcome.notices.push(skipped("schema", &name));
                continue;
            }
            return Err(undefined_schema(&name));
        }
        if !found.contains(&name) {
            let tables = catalog.tables().filter(|table| table.name.schema == name);
            dropped_with_them.extend(tables.map(|table| table.name.to_string()));
            found.push(name);
        }
    }
    let drop: fn(String) -> Ddl = match dependents {
        Dependents::Dropped => Ddl::DropSchemaCascade,
        Dependents::Refused => Ddl::DropSchema,
    };
    commit(work, found.into_iter().map(drop).collect()).await?;
    if dependents == Dependents::Dropped {
        outcome.notices.extend(cascades(&dropped_with_them));
    }
    Ok(outcome)
}

/// What becomes of the tables in a schema that goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dependents {
    Dropped,
    /// RESTRICT: the schema stays as long as there are any.
    Refused,
}

/// Says what went with a schema.
fn cascades(tables: &[String]) -> Option<Notice> {
    match tables {
        [] => None,
        [table] => Some(Notice::new(SUCCESS, format!("drop cascades to table {table}"))),
        tables => Some(Notice::new(SUCCESS, format!("drop cascades to {} other objects", tables.len()))),
    }
}

/// One commit, unless there is nothing to do.
async fn commit(work: &Work, changes: Vec<Ddl>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let engine = work.engine().clone();
    work.commit(move || engine.ddl(changes)).await.map(drop)
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
    commit(work, vec![Ddl::Truncate(tables)]).await?;
    Ok(Outcome::new(Execution::Done(CommandTag::new("TRUNCATE TABLE"))))
}

fn skipped(what: &str, name: &str) -> Notice {
    Notice::new(SUCCESS, format!("{what} \"{name}\" does not exist, skipping"))
}

/// The SQLSTATE of notices that report no problem.
const SUCCESS: &str = "00000";

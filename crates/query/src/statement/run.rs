//! What runs on the query runtime: planning and executing statements over one snapshot.

use datafusion::sql::sqlparser::ast;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use outcrop_types::{Condition, DataType, Error, Result};
use tokio::sync::mpsc;

use super::repeated::refuse_repeated_volatile;
use super::tables::tables_of;
use crate::copy::{begin_copy_in, copy_columns, plan_copy_out, run_copy_out};
use crate::ddl;
use crate::dml;
use crate::error::from_datafusion;
use crate::explain;
use crate::literal::LiteralInsert;
use crate::lookup::KeyLookup;
use crate::planning::{PlannedQuery, QueryRows};
use crate::result::{Execution, RowStream, changed_result, same_result};
use crate::session::{Notice, Owned, Work, unsupported};
use crate::statement::{Body, Plan, Prepared, Statement, hint_query};

/// Most rows of a statement that is executed on the thread of its connection.
const UNPLANNED_ROWS_MAX: usize = 256;
/// Batches that wait for a slow reader, beside the one that it reads.
const BATCHES_AHEAD: usize = 2;

/// What a run leaves.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) execution: Execution,
    pub(crate) notices: Vec<Notice>,
}

impl Outcome {
    pub(crate) fn new(execution: Execution) -> Self {
        Self { execution, notices: Vec::new() }
    }
}

/// Plans a statement that reads or writes tables. `numeric` without digits, as clients declare parameters, has those of
/// its place.
pub(crate) async fn prepare(work: &Work, statement: Statement, given: &[Option<DataType>]) -> Result<Prepared> {
    let is_open = |data_type: &Option<DataType>| *data_type == Some(DataType::NUMERIC_DEFAULT);
    if !given.iter().any(is_open) {
        return prepare_given(work, statement, given);
    }
    let open: Vec<_> = given.iter().map(|data_type| data_type.clone().filter(|_| !is_open(data_type))).collect();
    let Ok(placed) = prepare_given(work, statement.clone(), &open) else {
        return prepare_given(work, statement, given);
    };
    let types: Vec<_> = given
        .iter()
        .zip(placed.parameters())
        .map(|(given, found)| {
            let found = Some(found.clone()).filter(|found| matches!(found, DataType::Numeric { .. }));
            if is_open(given) { found.or_else(|| given.clone()) } else { given.clone() }
        })
        .collect();
    if types.iter().flatten().eq(placed.parameters()) {
        return Ok(placed);
    }
    prepare_given(work, statement, &types)
}

fn prepare_given(work: &Work, statement: Statement, given: &[Option<DataType>]) -> Result<Prepared> {
    let mut types = given.to_vec();
    types.resize(types.len().max(usize::from(statement.parameter_count())), None);
    match statement.body() {
        Body::Copy(copy) if copy.is_input() => {
            copy_columns(work, copy)?;
            Ok(Prepared::new(statement, Vec::new(), None, Plan::Direct))
        }
        Body::Copy(copy) => {
            let planned = plan_copy_out(work, copy, &types)?;
            Ok(Prepared::new(statement, planned.parameters, None, Plan::Direct))
        }
        Body::Setting(_) => Err(Error::internal("settings have no plan")),
        Body::Sql(sql) => Ok(prepare_sql(work, &statement, sql, &types)?.naming(tables_of(work, sql))),
        Body::Literal(literal) => match prepare_literal(work, &statement, literal, &types) {
            Ok(prepared) => Ok(prepared),
            Err(_to_be_said_the_general_way) => {
                let sql = literal.whole(statement.source())?;
                Ok(prepare_sql(work, &statement, sql, &types)?.naming(tables_of(work, sql)))
            }
        },
    }
}

fn prepare_sql(
    work: &Work,
    statement: &Statement,
    sql: &ast::Statement,
    types: &[Option<DataType>],
) -> Result<Prepared> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused by name")]
    match sql {
        ast::Statement::Query(query) => {
            refuse_writing_query(query)?;
            refuse_repeated_volatile(query)?;
            let mut types = types.to_vec();
            hint_query(work.context()?, query, &mut types)?;
            let planned = work.context()?.plan_query(query, &types)?;
            let (parameters, columns) = (planned.parameters.clone(), planned.columns.clone());
            let lookup = KeyLookup::of_query(work, query, &planned);
            let plan = work.context()?.keep(&planned)?.map_or(Plan::Direct, Plan::Query);
            Ok(Prepared::new(statement.clone(), parameters, Some(columns), plan).looking_up(lookup))
        }
        ast::Statement::Insert(insert) => {
            insert.source.as_deref().map_or(Ok(()), |query| match query.with {
                Some(_) => refuse_repeated_volatile(query),
                None => Ok(()),
            })?;
            let described = dml::describe_insert(work, insert, None, types)?;
            Ok(Prepared::new(statement.clone(), described.parameters, described.columns, Plan::Direct))
        }
        ast::Statement::Update(update) => {
            let described = dml::describe_update(work, update, types)?;
            let plan = described.plan.map_or(Plan::Direct, Plan::Query);
            Ok(Prepared::new(statement.clone(), described.parameters, described.columns, plan))
        }
        ast::Statement::Delete(delete) => {
            let described = dml::describe_delete(work, delete, types)?;
            let plan = described.plan.map_or(Plan::Direct, Plan::Query);
            Ok(Prepared::new(statement.clone(), described.parameters, described.columns, plan))
        }
        ast::Statement::Explain { .. } => {
            let parameters = explain::check(work, sql, types)?;
            Ok(Prepared::new(statement.clone(), parameters, Some(explain::columns()), Plan::Direct))
        }
        ast::Statement::CreateTable(_)
        | ast::Statement::CreateSchema { .. }
        | ast::Statement::AlterTable(_)
        | ast::Statement::Comment { .. }
        | ast::Statement::Drop { .. }
        | ast::Statement::Truncate(_) => {
            if statement.parameter_count() > 0 {
                return Err(Error::new(Condition::UndefinedParameter, "a definition takes no parameters"));
            }
            Ok(Prepared::new(statement.clone(), Vec::new(), None, Plan::Direct))
        }
        _ => Err(unsupported(statement)),
    }
}

/// Prepares a statement that needs no plan; `None` for the rest, and for what is wrong. Quick, on any thread.
pub(crate) fn prepare_unplanned(work: &Work, statement: &Statement, given: &[Option<DataType>]) -> Option<Prepared> {
    let Body::Literal(literal) = statement.body() else { return None };
    if given.contains(&Some(DataType::NUMERIC_DEFAULT)) {
        return None;
    }
    let mut types = given.to_vec();
    types.resize(types.len().max(usize::from(statement.parameter_count())), None);
    prepare_literal(&work.without_plans(), statement, literal, &types).ok()
}

fn prepare_literal(
    work: &Work,
    statement: &Statement,
    literal: &LiteralInsert,
    types: &[Option<DataType>],
) -> Result<Prepared> {
    let described = dml::describe_insert(work, literal.insert()?, Some(literal.rows()), types)?;
    let prepared = Prepared::new(statement.clone(), described.parameters, described.columns, Plan::Direct);
    Ok(prepared.naming(tables_of(work, literal.frame())))
}

/// Executes a statement that needs no plan and little time; `None` for the rest, of which nothing has happened.
///
/// # Cancel safety
/// As [`run`].
pub(crate) async fn run_unplanned(work: &Work, prepared: &Prepared) -> Result<Option<Outcome>> {
    match prepared.statement().body() {
        Body::Literal(literal) if literal.rows().len() <= UNPLANNED_ROWS_MAX => {
            let done = dml::insert_literals(&work.without_plans(), literal, prepared).await?;
            Ok(done.map(Outcome::new))
        }
        Body::Literal(_) | Body::Sql(_) | Body::Copy(_) | Body::Setting(_) => Ok(None),
    }
}

/// Executes a statement that reads or writes tables.
pub(crate) async fn run(work: Work, prepared: &Prepared) -> Result<Outcome> {
    let statement = prepared.statement();
    match statement.body() {
        Body::Copy(copy) if copy.is_input() => {
            begin_copy_in(&work, copy).map(|copy| Outcome::new(Execution::CopyIn(copy)))
        }
        Body::Copy(copy) => run_copy_out(&work, copy).await.map(|copy| Outcome::new(Execution::CopyOut(copy))),
        Body::Setting(_) => Err(Error::internal("settings are not run")),
        Body::Sql(sql) => run_sql(work, prepared, sql).await,
        Body::Literal(literal) => match dml::insert_literals(&work, literal, prepared).await? {
            Some(execution) => Ok(Outcome::new(execution)),
            None => run_sql(work, prepared, literal.whole(statement.source())?).await,
        },
    }
}

async fn run_sql(work: Work, prepared: &Prepared, sql: &ast::Statement) -> Result<Outcome> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused by name")]
    match sql {
        ast::Statement::Query(query) => {
            if let Some(lookup) = prepared.lookup()
                && let Some(rows) = lookup.run(&work).await?
            {
                return Ok(Outcome::new(Execution::Rows(rows)));
            }
            let planned = planned_now(&work, prepared, query)?;
            let rows = work.context()?.execute(&planned, &work.values()).await?;
            Ok(Outcome::new(Execution::Rows(stream("SELECT", &work, rows))))
        }
        ast::Statement::Insert(insert) => dml::insert(&work, insert, prepared).await.map(Outcome::new),
        ast::Statement::Update(update) => dml::update(&work, update, prepared).await.map(Outcome::new),
        ast::Statement::Delete(delete) => dml::delete(&work, delete, prepared).await.map(Outcome::new),
        ast::Statement::Explain { .. } => explain::run(&work, sql).await.map(Outcome::new),
        ast::Statement::CreateTable(create) => ddl::create_table(&work, create).await,
        ast::Statement::CreateSchema { .. } => ddl::create_schema(&work, sql).await,
        ast::Statement::AlterTable(alter) => ddl::alter_table(&work, alter).await,
        ast::Statement::Comment { .. } => ddl::comment(&work, sql).await,
        ast::Statement::Drop { .. } => ddl::drop_objects(&work, sql).await,
        ast::Statement::Truncate(truncate) => ddl::truncate(&work, truncate).await,
        _ => Err(unsupported(prepared.statement())),
    }
}

/// The prepared plan at this snapshot; planned again if something changed, as long as the result stays what it was.
fn planned_now(work: &Work, prepared: &Prepared, query: &ast::Query) -> Result<PlannedQuery> {
    if let Plan::Query(kept) = prepared.plan() {
        match work.context()?.rebind(kept) {
            Err(error) if error.condition() == Condition::ObjectNotInPrerequisiteState => {}
            other => return other,
        }
    }
    let again = work.context()?.plan_query(query, &work.types())?;
    match prepared.columns() {
        Some(described) if !same_result(described, &again.columns) => Err(changed_result()),
        _ => Ok(again),
    }
}

/// Rows of a query as a stream that its reader may leave at any time.
pub(crate) fn stream(command: &'static str, work: &Work, rows: QueryRows) -> RowStream {
    let batches = rows.stream.map_err(from_datafusion).boxed();
    RowStream::new(command, rows.columns, pumped(work, batches))
}

/// Runs a stream on the query runtime, a few batches ahead of its reader. Dropping the result ends it.
pub(crate) fn pumped<T: Send + 'static>(
    work: &Work,
    mut items: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let failed = sender.clone();
    let task = Owned::spawn(work.database.queries(), async move {
        while let Some(item) = items.next().await {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    // A panic of the task must end the stream with an error, not like an end of rows.
    let task = Owned::spawn(work.database.queries(), async move {
        if let Err(error) = task.join().await {
            drop(failed.send(Err(error)).await);
        }
    });
    futures::stream::unfold((receiver, task), |(mut receiver, task)| async move {
        receiver.recv().await.map(|item| (item, (receiver, task)))
    })
    .boxed()
}

/// Writes inside of WITH, and SELECT INTO, would be writes that nobody expects of a query.
fn refuse_writing_query(query: &ast::Query) -> Result<()> {
    let inner = query.with.iter().flat_map(|with| with.cte_tables.iter().map(|cte| cte.query.body.as_ref()));
    for body in std::iter::once(query.body.as_ref()).chain(inner) {
        match body {
            ast::SetExpr::Insert(_) | ast::SetExpr::Update(_) | ast::SetExpr::Delete(_) | ast::SetExpr::Merge(_) => {
                return Err(Error::new(
                    Condition::FeatureNotSupported,
                    "INSERT, UPDATE and DELETE inside of WITH are not supported",
                )
                .with_hint("Send the write as a statement of its own, with RETURNING."));
            }
            ast::SetExpr::Select(select) if select.into.is_some() => {
                return Err(Error::new(Condition::FeatureNotSupported, "SELECT INTO is not supported")
                    .with_hint("Use CREATE TABLE and INSERT … SELECT."));
            }
            ast::SetExpr::Select(_)
            | ast::SetExpr::Query(_)
            | ast::SetExpr::SetOperation { .. }
            | ast::SetExpr::Values(_)
            | ast::SetExpr::Table(_) => {}
        }
    }
    if !query.locks.is_empty() {
        return Err(Error::new(Condition::FeatureNotSupported, "SELECT … FOR UPDATE and FOR SHARE are not supported")
            .with_hint("Readers never wait for writers; drop the clause."));
    }
    Ok(())
}

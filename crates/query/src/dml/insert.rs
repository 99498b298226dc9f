//! `INSERT`.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use outcrop_engine::WriteMode;
use outcrop_types::{Condition, DataType, Error, Result};

use super::conflict::ConflictClause;
use super::returning::{PendingReturning, Returning};
use super::rows::{RowMaker, default_expression, default_values};
use super::syntax::{hint, is_default};
use super::target::Target;
use super::values::{check_width, check_widths, constant_rows, evaluate, query_cells};
use super::writer::{Keep, Writer};
use crate::error::from_datafusion;
use crate::literal::{LiteralColumns, LiteralInsert, LiteralRows};
use crate::planning::PlannedQuery;
use crate::result::{CommandTag, Execution};
use crate::session::Work;
use crate::statement::{Prepared, name_of};

/// Rows of a VALUES that become one batch.
const VALUES_ROWS: usize = 8192;

/// An INSERT whose names are resolved.
#[derive(Clone, Debug)]
pub(super) struct InsertPlan {
    pub(super) target: Target,
    /// Positions in the table of the columns that the source gives.
    pub(super) positions: Vec<usize>,
    pub(super) source: Source,
    pub(super) conflict: ConflictClause,
    pub(super) returning: Option<Returning>,
}

/// Where the rows come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// `DEFAULT VALUES`: one row.
    Defaults,
    /// `VALUES` of constants and expressions.
    Constants(Box<ast::Query>),
    /// `VALUES` of literals.
    Literals(Arc<LiteralRows>),
    /// Any other query.
    Query(Box<ast::Query>),
}

impl InsertPlan {
    /// Resolves the names. If the rows are literals, `insert` is the frame around them.
    pub(super) fn read(work: &Work, insert: &ast::Insert, literals: Option<&Arc<LiteralRows>>) -> Result<Self> {
        refuse_variants(insert)?;
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(Error::new(Condition::SyntaxError, "INSERT INTO needs a table"));
        };
        let target = Target::resolve(work, name, insert.table_alias.as_ref().map(|alias| &alias.alias))?;
        let names = insert
            .columns
            .iter()
            .map(|column| match column.0.as_slice() {
                [part] => Ok(part.as_ident().map(name_of).unwrap_or_default()),
                _ => Err(Error::new(Condition::SyntaxError, format!("improper column name: {column}"))),
            })
            .collect::<Result<Vec<_>>>()?;
        let mut positions = target.positions(&names)?;
        let source = match (&insert.source, literals) {
            (_, Some(rows)) => {
                check_width(rows.width(), positions.len(), !names.is_empty())?;
                positions.truncate(rows.width());
                Source::Literals(Arc::clone(rows))
            }
            (None, None) => {
                positions.clear();
                Source::Defaults
            }
            (Some(query), None) => match constant_rows(query) {
                Some(rows) => {
                    check_widths(&rows, positions.len(), !names.is_empty())?;
                    positions.truncate(rows.first().map_or(0, |row| row.len()));
                    Source::Constants(query.clone())
                }
                None => Source::Query(Box::new(with_defaults(query, &target, &positions)?)),
            },
        };
        let conflict = ConflictClause::read(&target, insert.on.as_ref())?;
        let returning = Returning::read(&target, insert.returning.as_deref())?;
        Ok(Self { target, positions, source, conflict, returning })
    }

    /// Bare parameters take the types of their columns.
    pub(super) fn hint(&self, types: &mut [Option<DataType>]) {
        let mut take = |row: &mut dyn Iterator<Item = &ast::Expr>| {
            for (expr, position) in row.zip(&self.positions) {
                if let Some(column) = self.target.schema.columns.get(*position) {
                    hint(expr, &column.data_type, types);
                }
            }
        };
        match &self.source {
            Source::Defaults => {}
            Source::Literals(rows) => {
                for (parameter, place) in rows.parameter_places() {
                    let position = self.positions.get(place);
                    let column = position.and_then(|position| self.target.schema.columns.get(*position));
                    if let (Some(unknown @ None), Some(column)) = (types.get_mut(parameter), column) {
                        *unknown = Some(column.data_type.clone());
                    }
                }
            }
            Source::Constants(query) | Source::Query(query) => match query.body.as_ref() {
                ast::SetExpr::Values(values) => {
                    values.rows.iter().for_each(|row| take(&mut row.content.iter()));
                }
                ast::SetExpr::Select(select) => take(&mut select.projection.iter().map_while(|item| match item {
                    ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => Some(expr),
                    _ => None,
                })),
                _ => {}
            },
        }
        if let ConflictClause::Update { assignments, .. } = &self.conflict {
            assignments.hint(&self.target, types);
        }
    }

    /// The plan of a source that is a query, with assignment casts; the columns that it gives.
    pub(super) fn plan_source(
        &self,
        work: &Work,
        query: &ast::Query,
        types: &[Option<DataType>],
    ) -> Result<PlannedQuery> {
        let planned = work.context()?.plan_query(query, types)?;
        let given = planned.columns.len().min(self.positions.len());
        let columns: Vec<(String, DataType)> = self
            .positions
            .iter()
            .take(given)
            .filter_map(|position| self.target.schema.columns.get(*position))
            .map(|column| (column.name.clone(), column.data_type.clone()))
            .collect();
        work.context()?.coerce_assignment(&planned, 0, &columns)
    }
}

/// Executes an INSERT.
pub(crate) async fn insert(work: &Work, insert: &ast::Insert, prepared: &Prepared) -> Result<Execution> {
    let plan = InsertPlan::read(work, insert, None)?;
    let mut ready = Ready::begin(work, &plan, prepared)?;
    match &plan.source {
        Source::Defaults => {
            let rows = RowMaker::new(work, &plan.target, &[])?.make(&[], 1)?;
            ready.writer.insert(rows).await?;
        }
        Source::Constants(query) => write_constants(work, &plan, query, &mut ready.writer).await?,
        Source::Query(query) => {
            write_query(work, &plan, query, &mut ready.writer, insert.columns.is_empty()).await?;
        }
        Source::Literals(_) => return Err(Error::internal("literals without their statement")),
    }
    ready.commit(work).await
}

/// Executes an INSERT of literals; `None` if it must go the general way. Nothing has happened then.
///
/// # Errors
/// What the engine says, and cancellation. What is wrong with the statement itself is said the general way.
pub(crate) async fn insert_literals(
    work: &Work,
    literal: &LiteralInsert,
    prepared: &Prepared,
) -> Result<Option<Execution>> {
    match stage_literals(work, literal, prepared).await? {
        Some(ready) => ready.commit(work).await.map(Some),
        None => Ok(None),
    }
}

/// Everything of an INSERT of literals but its commit. If it must go the general way, the writer and what it was given are
/// dropped here.
async fn stage_literals(work: &Work, literal: &LiteralInsert, prepared: &Prepared) -> Result<Option<Ready>> {
    let rows = literal.rows();
    let Ok(plan) = InsertPlan::read(work, literal.insert()?, Some(rows)) else { return Ok(None) };
    let Ok(maker) = RowMaker::new(work, &plan.target, &plan.positions) else { return Ok(None) };
    let Ok(mut ready) = Ready::begin(work, &plan, prepared) else { return Ok(None) };
    for start in (0..rows.len()).step_by(VALUES_ROWS) {
        work.cancellation.check()?;
        let chunk = start..rows.len().min(start + VALUES_ROWS);
        let time_zone = &work.view().time_zone;
        let columns = LiteralColumns::new(rows, &plan.target.schema, &plan.positions, time_zone, &work.parameters);
        let defaults = |position, count| default_values(work, &plan.target, position, count).ok();
        let Some(given) = columns.read(&chunk, defaults) else { return Ok(None) };
        let Ok(made) = maker.make(&given, chunk.len()) else { return Ok(None) };
        ready.writer.insert(made).await?;
    }
    Ok(Some(ready))
}

/// An INSERT whose rows may come.
struct Ready {
    writer: Writer,
    returning: Option<PendingReturning>,
}

impl Ready {
    fn begin(work: &Work, plan: &InsertPlan, prepared: &Prepared) -> Result<Self> {
        let on_conflict = plan.conflict.bind(work, &plan.target, prepared.change())?;
        let returning = plan.returning.clone();
        let returning = returning.map(|returning| returning.begin(work, &plan.target, prepared.columns()));
        let returning = returning.transpose()?;
        let keep = if returning.is_some() { Keep::Rows } else { Keep::Counts };
        Ok(Self { writer: Writer::begin(work, &plan.target, WriteMode::Insert(on_conflict), keep)?, returning })
    }

    async fn commit(self, work: &Work) -> Result<Execution> {
        if let Some(returning) = self.returning {
            return returning.commit(self.writer, "INSERT").await.map(Execution::Rows);
        }
        let commit = self.writer.commit(work).await?;
        Ok(Execution::Done(CommandTag::with_rows("INSERT", commit.inserted + commit.updated)))
    }
}

async fn write_constants(work: &Work, plan: &InsertPlan, query: &ast::Query, writer: &mut Writer) -> Result<()> {
    let maker = RowMaker::new(work, &plan.target, &plan.positions)?;
    let rows = constant_rows(query).unwrap_or_default();
    for chunk in rows.chunks(VALUES_ROWS) {
        let queried = query_cells(work, &plan.target.schema, &plan.positions, chunk).await?;
        let given = evaluate(work, &plan.target.schema, &plan.positions, chunk, &queried)?;
        writer.insert(maker.make(&given, chunk.len())?).await?;
    }
    Ok(())
}

async fn write_query(
    work: &Work,
    plan: &InsertPlan,
    query: &ast::Query,
    writer: &mut Writer,
    unlisted: bool,
) -> Result<()> {
    let planned = plan.plan_source(work, query, &work.types())?;
    let width = planned.columns.len();
    if width < plan.positions.len() && !unlisted {
        return Err(Error::new(Condition::SyntaxError, "INSERT has more target columns than expressions"));
    }
    let positions: Vec<usize> = plan.positions.iter().copied().take(width).collect();
    let maker = RowMaker::new(work, &plan.target, &positions)?;
    let mut rows = work.context()?.execute(&planned, &work.values()).await?;
    while let Some(batch) = rows.stream.try_next().await.map_err(from_datafusion)? {
        if batch.num_rows() > 0 {
            writer.insert(maker.make(batch.columns(), RecordBatch::num_rows(&batch))?).await?;
        }
    }
    Ok(())
}

/// DEFAULT in a VALUES that must be planned, spelled out.
pub(super) fn with_defaults(query: &ast::Query, target: &Target, positions: &[usize]) -> Result<ast::Query> {
    let mut query = query.clone();
    if let ast::SetExpr::Values(values) = query.body.as_mut() {
        for row in &mut values.rows {
            for (expr, position) in row.content.iter_mut().zip(positions) {
                if is_default(expr) {
                    *expr = default_expression(&target.schema, *position)?;
                }
            }
        }
    }
    Ok(query)
}

fn refuse_variants(insert: &ast::Insert) -> Result<()> {
    let foreign = insert.or.is_some()
        || insert.ignore
        || insert.overwrite
        || insert.partitioned.is_some()
        || insert.replace_into
        || insert.priority.is_some()
        || insert.insert_alias.is_some()
        || insert.settings.is_some()
        || insert.format_clause.is_some()
        || insert.output.is_some()
        || !insert.assignments.is_empty()
        || insert.multi_table_insert_type.is_some();
    if foreign {
        return Err(Error::new(Condition::SyntaxError, "this form of INSERT is not PostgreSQL's"));
    }
    Ok(())
}

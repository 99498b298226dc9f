//! `RETURNING`.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use outcrop_engine::AppliedRows;
use outcrop_types::{Condition, DataType, Error, Result, TableId};

use super::returned::ReturnedRows;
use super::syntax::{column_of, exactly, has_subquery, named, target_query};
use super::target::Target;
use super::writer::Writer;
use crate::dialect::output_name;
use crate::error::from_datafusion;
use crate::planning::{BindExpression, BoundExpressions, result_batch};
use crate::result::{ResultColumn, RowStream, changed_result, same_result};
use crate::session::{Work, blocking};
use crate::statement::{name_of, pumped};

/// The `RETURNING` list, with `*` spelled out.
#[derive(Clone, Debug)]
pub(super) struct Returning {
    items: Vec<(ast::Expr, String)>,
}

impl Returning {
    pub(super) fn read(target: &Target, items: Option<&[ast::SelectItem]>) -> Result<Option<Self>> {
        let Some(given) = items else {
            return Ok(None);
        };
        let mut items = Vec::new();
        for item in given {
            match item {
                ast::SelectItem::UnnamedExpr(expr) => items.push((expr.clone(), output_name(expr))),
                ast::SelectItem::ExprWithAlias { expr, alias } => items.push((expr.clone(), name_of(alias))),
                ast::SelectItem::Wildcard(_) => items.extend(all_columns(target)),
                ast::SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let written = name.0.last().and_then(|part| part.as_ident()).map(name_of).unwrap_or_default();
                    if written != target.alias {
                        return Err(Error::new(
                            Condition::UndefinedTable,
                            format!("missing FROM-clause entry for table \"{written}\""),
                        )
                        .with_hint("RETURNING sees the columns of the changed table only."));
                    }
                    items.extend(all_columns(target));
                }
                other => {
                    return Err(Error::new(Condition::SyntaxError, format!("syntax error at or near \"{other}\"")));
                }
            }
        }
        Ok(Some(Self { items }))
    }

    /// The list as a query over the target's rows, to learn the types of parameters.
    pub(super) fn query(&self, target: &Target) -> Result<ast::Query> {
        target_query(&target.alias, self.projection(), &[], None)
    }

    /// What rows of the list have.
    pub(super) fn columns(
        &self,
        work: &Work,
        target: &Target,
        types: &[Option<DataType>],
    ) -> Result<Vec<ResultColumn>> {
        let context = work.context()?.clone().with_addresses_of(target.schema.id);
        let mut columns = context.plan_query(&self.query(target)?, types)?.columns;
        for (column, (_, name)) in columns.iter_mut().zip(&self.items) {
            column.name.clone_from(name);
        }
        Ok(columns)
    }

    /// The list, ready to be computed. `described` is what the client was told of its columns.
    ///
    /// # Errors
    /// `FeatureNotSupported` if the columns are others now; all that names and types can do wrong.
    pub(super) fn begin(
        self,
        work: &Work,
        target: &Target,
        described: Option<&[ResultColumn]>,
    ) -> Result<PendingReturning> {
        let columns = self.columns(work, target, &work.types())?;
        if described.is_some_and(|described| !same_result(described, &columns)) {
            return Err(changed_result());
        }
        let list = match self.positions(target) {
            Some(positions) => List::Columns(positions),
            None if self.items.iter().any(|(expr, _)| has_subquery(expr)) => {
                List::Query(Box::new(self.ordered(target)?))
            }
            None => {
                let expressions: Vec<_> =
                    self.items.iter().map(|(expr, _)| BindExpression { expr: expr.clone(), target: None }).collect();
                List::Bound(work.context()?.bind(&expressions, &[target.relation()], &work.parameters)?)
            }
        };
        Ok(PendingReturning { columns: columns.into(), list, table: target.schema.id, work: work.clone() })
    }

    /// The positions in the table, if the list is columns alone.
    fn positions(&self, target: &Target) -> Option<Vec<usize>> {
        let position = |ident: &ast::Ident| {
            // Words such as CURRENT_DATE are functions.
            let plain = ident.quote_style.is_some() || !super::bound::is_function_name(&ident.value);
            target.position(&name_of(ident)).ok().filter(|_| plain)
        };
        self.items
            .iter()
            .map(|(expr, _)| match expr {
                ast::Expr::Identifier(ident) => position(ident),
                ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                    [relation, column] if name_of(relation) == target.alias => position(column),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    /// The list as a query that keeps the order of the rows: there are queries in it.
    fn ordered(&self, target: &Target) -> Result<ast::Query> {
        let mut query = self.query(target)?;
        query.order_by = super::syntax::parse_query("SELECT 1 ORDER BY 1")?.order_by;
        if let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(orders), .. }) = &mut query.order_by
            && let Some(order) = orders.first_mut()
        {
            order.expr = column_of(&target.alias, "__row");
        }
        Ok(query)
    }

    fn projection(&self) -> Vec<ast::SelectItem> {
        self.items.iter().enumerate().map(|(at, (expr, _))| named(expr.clone(), &format!("column{at}"))).collect()
    }
}

fn all_columns(target: &Target) -> impl Iterator<Item = (ast::Expr, String)> {
    let columns = target.schema.columns.iter();
    columns.map(|column| {
        let expr = ast::Expr::CompoundIdentifier(vec![exactly(&target.alias), exactly(&column.name)]);
        (expr, column.name.clone())
    })
}

/// A list that waits for the rows of its statement.
#[derive(Clone, Debug)]
pub(super) struct PendingReturning {
    columns: Arc<[ResultColumn]>,
    list: List,
    table: TableId,
    work: Work,
}

#[derive(Clone, Debug)]
enum List {
    /// Columns of the table: nothing that could fail, read when the client takes it.
    Columns(Vec<usize>),
    /// Expressions of the row.
    Bound(BoundExpressions),
    /// Expressions with queries inside.
    Query(Box<ast::Query>),
}

impl PendingReturning {
    /// Commits the rows of `writer`. What could fail is computed before, once for each row: a failure leaves the table as
    /// it was.
    pub(super) async fn commit(self, writer: Writer, command: &'static str) -> Result<RowStream> {
        let work = self.work.clone();
        let columns = Arc::clone(&self.columns);
        let (commit, batches) = match &self.list {
            List::Columns(positions) => {
                let positions = positions.clone();
                let mut commit = writer.commit(&work).await?;
                let batches = applied_batches(std::mem::take(&mut commit.rows));
                let columns = Arc::clone(&columns);
                let batches = batches.map(move |batch| picked(&columns, &positions, &batch?)).boxed();
                (commit, batches)
            }
            List::Bound(_) | List::Query(_) => {
                let (give, computed) = std::sync::mpsc::sync_channel(1);
                let commit = writer
                    .commit_after(&work, move |rows| {
                        // The receiver lives as long as anybody waits for the answer.
                        drop(give.send(self.compute(rows)?));
                        Ok(AppliedRows::default())
                    })
                    .await?;
                let computed = computed.try_recv();
                let rows =
                    computed.map_err(|error| Error::internal("RETURNING was not computed").with_source(error))?;
                (commit, rows.into_stream())
            }
        };
        let count = commit.inserted + commit.updated + commit.deleted;
        Ok(RowStream::new(command, columns.to_vec(), pumped(&work, batches)).with_count(count))
    }

    /// All rows through the list, on a thread that may block.
    fn compute(self, rows: AppliedRows) -> Result<ReturnedRows> {
        let mut returned = ReturnedRows::new(self.work.context()?.runtime());
        match &self.list {
            List::Columns(_) => Err(Error::internal("columns of RETURNING are not computed")),
            List::Bound(bound) => {
                for batch in rows {
                    self.work.cancellation.check()?;
                    let batch = batch?;
                    returned.push(result_batch(&self.columns, bound.evaluate(&batch)?, batch.num_rows())?)?;
                }
                Ok(returned)
            }
            List::Query(_) => {
                let (give, computed) = std::sync::mpsc::sync_channel(1);
                let queries = self.work.database.queries().clone();
                let task = queries.spawn(async move {
                    let cancellation = self.work.cancellation.clone();
                    // The receiver waits as long as this task lives.
                    drop(give.send(cancellation.run(self.query(rows, returned)).await));
                });
                let answer = computed.recv();
                task.abort();
                answer.map_err(|error| Error::internal("computing RETURNING failed").with_source(error))?
            }
        }
    }

    async fn query(self, rows: AppliedRows, mut returned: ReturnedRows) -> Result<ReturnedRows> {
        let List::Query(query) = &self.list else {
            return Err(Error::internal("RETURNING has no query"));
        };
        let mut applied = applied_batches(rows);
        while let Some(batch) = applied.try_next().await? {
            let context = self.work.context()?.clone().with_rows_of(self.table, batch);
            let planned = context.plan_query(query, &self.work.types())?;
            let mut rows = context.execute(&planned, &self.work.values()).await?;
            while let Some(batch) = rows.stream.try_next().await.map_err(from_datafusion)? {
                self.work.cancellation.check()?;
                returned.push(batch)?;
            }
        }
        Ok(returned)
    }
}

/// Columns of stored rows as result columns.
fn picked(columns: &[ResultColumn], positions: &[usize], rows: &RecordBatch) -> Result<RecordBatch> {
    let values = positions.iter().map(|position| rows.columns().get(*position).cloned()).collect::<Option<Vec<_>>>();
    let values = values.ok_or_else(|| Error::internal("RETURNING names a column outside of its table"))?;
    result_batch(columns, values, rows.num_rows())
}

/// The rows of a commit; they may come from files.
fn applied_batches(rows: AppliedRows) -> BoxStream<'static, Result<RecordBatch>> {
    futures::stream::try_unfold(rows, |mut rows| {
        blocking(move || match rows.next() {
            Some(batch) => Ok(Some((batch?, rows))),
            None => Ok(None),
        })
    })
    .boxed()
}

//! `RETURNING`.

use datafusion::arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use outcrop_engine::{AppliedRows, Commit};
use outcrop_types::{Condition, DataType, Error, Result};

use super::syntax::{column_of, exactly, has_subquery, named, target_query};
use super::target::Target;
use crate::dialect::output_name;
use crate::error::from_datafusion;
use crate::planning::{BindExpression, BoundExpressions};
use crate::result::{ResultColumn, RowStream};
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

    /// The rows that a commit wrote, through the list.
    pub(super) fn rows(self, work: &Work, target: &Target, command: &'static str, commit: Commit) -> Result<RowStream> {
        let columns = self.columns(work, target, &work.types())?;
        let count = commit.inserted + commit.updated + commit.deleted;
        let applied = applied_batches(commit.rows);
        let batches = if self.items.iter().any(|(expr, _)| has_subquery(expr)) {
            self.planned(work, target, applied)?
        } else {
            self.bound(work, target, applied, &columns)?
        };
        Ok(RowStream::new(command, columns, pumped(work, batches)).with_count(count))
    }

    /// Binds once, evaluates on each batch.
    fn bound(
        &self,
        work: &Work,
        target: &Target,
        applied: BoxStream<'static, Result<RecordBatch>>,
        columns: &[ResultColumn],
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let expressions: Vec<_> =
            self.items.iter().map(|(expr, _)| BindExpression { expr: expr.clone(), target: None }).collect();
        let bound = work.context()?.bind(&expressions, &[target.relation()], &work.parameters)?;
        let columns = columns.to_vec();
        Ok(applied.map(move |batch| returned_batch(&bound, &columns, &batch?)).boxed())
    }

    /// Plans the list as a query over each batch: there are queries in it.
    fn planned(
        &self,
        work: &Work,
        target: &Target,
        applied: BoxStream<'static, Result<RecordBatch>>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let mut query = self.query(target)?;
        query.order_by = super::syntax::parse_query("SELECT 1 ORDER BY 1")?.order_by;
        if let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(orders), .. }) = &mut query.order_by
            && let Some(order) = orders.first_mut()
        {
            order.expr = column_of(&target.alias, "__row");
        }
        let (work, table) = (work.clone(), target.schema.id);
        Ok(applied
            .and_then(move |batch| {
                let (work, query) = (work.clone(), query.clone());
                async move {
                    let context = work.context()?.clone().with_rows_of(table, batch);
                    let planned = context.plan_query(&query, &work.types())?;
                    let rows = context.execute(&planned, &work.values()).await?;
                    Ok(rows.stream.map_err(from_datafusion).boxed())
                }
            })
            .try_flatten()
            .boxed())
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

fn returned_batch(bound: &BoundExpressions, columns: &[ResultColumn], rows: &RecordBatch) -> Result<RecordBatch> {
    crate::planning::result_batch(columns, bound.evaluate(rows)?, rows.num_rows())
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

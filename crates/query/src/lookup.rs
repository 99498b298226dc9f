//! `SELECT … FROM t WHERE key = $1`: straight to the key index, without a plan (architecture Q5).
//!
//! Recognised when the statement is prepared, from its text: one table, every column of its primary key equal to a constant
//! or a parameter, and in the output and the rest of WHERE only expressions that mean the same at any time. The key finds at
//! most one row; WHERE as a whole judges it again, so the answer is that of every other path.

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use outcrop_types::{DataType, Result, Value};

use crate::dml::{
    PARAMETERS, Target, find_row, is_timeless, key_batch, key_expressions, parameter_columns, truth, with_columns,
    with_parameter_values,
};
use crate::error::from_arrow;
use crate::planning::{BindExpression, BoundExpressions, PlannedQuery, Relation, result_batch};
use crate::result::{ResultColumn, RowStream};
use crate::session::{Work, blocking};

/// A read of the row with a key, ready to run with any parameters and snapshot.
#[derive(Debug)]
pub(crate) struct KeyLookup {
    target: Target,
    /// What each column of the key equals, in key order.
    key: Vec<ast::Expr>,
    selection: BoundExpressions,
    items: BoundExpressions,
    columns: Vec<ResultColumn>,
    /// Constants were read in this zone.
    time_zone: String,
}

impl KeyLookup {
    /// The look-up that a query is; `None` for every other query.
    pub(crate) fn of_query(work: &Work, query: &ast::Query, planned: &PlannedQuery) -> Option<Self> {
        let (select, selection) = plain_select(query)?;
        let target = only_table(work, select)?;
        let items = output_items(select, &target)?;
        if items.len() != planned.columns.len() || !items.iter().chain([selection]).all(is_timeless) {
            return None;
        }
        let key = key_expressions(work, &target, Some(selection))?;
        // Names that the binder does not know, such as whole rows, are the planner's.
        let (selection, items) = bind(work, &target, selection, &items, &planned.parameters).ok()?;
        let columns = planned.columns.clone();
        Some(Self { target, key, selection, items, columns, time_zone: work.view().time_zone.clone() })
    }

    /// Reads; `None` where only a plan can tell, such as after a change of the table.
    pub(crate) async fn run(&self, work: &Work) -> Result<Option<RowStream>> {
        let Some(batch) = self.batch(work).await? else {
            return Ok(None);
        };
        let rows = futures::stream::once(std::future::ready(Ok(batch))).boxed();
        Ok(Some(RowStream::new("SELECT", self.columns.clone(), rows)))
    }

    /// The line of EXPLAIN; with `analyze` it is run and the rows are counted. `None` as in [`Self::run`].
    pub(crate) async fn explain(&self, work: &Work, analyze: bool) -> Result<Option<String>> {
        if self.key_now(work)?.is_none() {
            return Ok(None);
        }
        let schema = &self.target.schema;
        let names = schema.primary_key().into_iter().flat_map(|key| &key.columns);
        let names: Vec<&str> = names.filter_map(|id| schema.column(*id)).map(|column| column.name.as_str()).collect();
        let mut line = format!("KeyLookup: table={}, key=[{}]", schema.name, names.join(", "));
        if analyze && let Some(batch) = self.batch(work).await? {
            line.push_str(&format!(", rows={}", batch.num_rows()));
        }
        Ok(Some(line))
    }

    fn key_now(&self, work: &Work) -> Result<Option<RecordBatch>> {
        let table = work.snapshot.table(self.target.schema.id);
        let unchanged = table.is_some_and(|table| table.schema().version == self.target.schema.version);
        if !unchanged || self.time_zone != work.view().time_zone || !work.view().access_path.looks_up() {
            return Ok(None);
        }
        key_batch(work, &self.target.schema, &self.key)
    }

    async fn batch(&self, work: &Work) -> Result<Option<RecordBatch>> {
        let (Some(key), Some(table)) = (self.key_now(work)?, work.snapshot.table(self.target.schema.id)) else {
            return Ok(None);
        };
        let row = blocking(move || find_row(&table, &key)).await?;
        let row = row.map_or_else(|| RecordBatch::new_empty(self.target.schema.to_arrow()), |(_, row)| row);
        let input = with_parameter_values(&row, &work.parameters)?;
        let matches = truth(&self.selection, &input)?;
        // The output must not be computed where WHERE is not true: it may fail there.
        let input = filter_record_batch(&input, &matches).map_err(from_arrow)?;
        let values: Vec<ArrayRef> = self.items.evaluate(&input)?;
        result_batch(&self.columns, values, input.num_rows()).map(Some)
    }
}

fn bind(
    work: &Work,
    target: &Target,
    selection: &ast::Expr,
    items: &[ast::Expr],
    types: &[DataType],
) -> Result<(BoundExpressions, BoundExpressions)> {
    let given: Vec<(DataType, Value)> = types.iter().map(|data_type| (data_type.clone(), Value::Null)).collect();
    let parameters = parameter_columns(&given);
    let mut relations = vec![target.relation()];
    if !given.is_empty() {
        relations.push(Relation { name: PARAMETERS.to_owned(), schema: &parameters });
    }
    // Expressions keep their context: one without snapshot pins no files.
    let context = work.lasting_context()?;
    let bound = |expr: &ast::Expr| BindExpression { expr: with_columns(expr), target: None };
    let items: Vec<_> = items.iter().map(bound).collect();
    Ok((context.bind(&[bound(selection)], &relations, &[])?, context.bind(&items, &relations, &[])?))
}

/// The SELECT of a query that has nothing but an output, one table and a WHERE.
fn plain_select(query: &ast::Query) -> Option<(&ast::Select, &ast::Expr)> {
    let ast::SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let bare = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    let ungrouped = matches!(&select.group_by, ast::GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty());
    let plain = select.distinct.is_none()
        && select.top.is_none()
        && select.into.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.exclude.is_none()
        && select.lateral_views.is_empty()
        && select.named_window.is_empty();
    let selection = select.selection.as_ref()?;
    (bare && ungrouped && plain).then_some((select.as_ref(), selection))
}

fn only_table(work: &Work, select: &ast::Select) -> Option<Target> {
    let [table] = select.from.as_slice() else {
        return None;
    };
    match (&table.relation, table.joins.as_slice()) {
        (ast::TableFactor::Table { name, alias, args: None, sample: None, .. }, [])
            if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) =>
        {
            let target = Target::resolve(work, name, alias.as_ref().map(|alias| &alias.name)).ok()?;
            // System catalogs come first.
            (!target.schema.name.table.starts_with("pg_")).then_some(target)
        }
        _ => None,
    }
}

/// The output, with `*` spelled out.
fn output_items(select: &ast::Select, target: &Target) -> Option<Vec<ast::Expr>> {
    let plain = ast::WildcardAdditionalOptions::default();
    let mut items = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        match item {
            ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                items.push(expr.clone());
            }
            ast::SelectItem::Wildcard(options) if options.opt_exclude == plain.opt_exclude => {
                items.extend(target.column_expressions());
            }
            _ => return None,
        }
    }
    Some(items)
}

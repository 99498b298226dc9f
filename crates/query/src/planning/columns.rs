//! Columns of results: names, types, and the table columns that they are.

use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use outcrop_types::{ColumnId, Condition, DataType, Error, Result, TableId};

use crate::dialect::shown_name;
use crate::error::from_datafusion;
use crate::functions::{CastMode, cast_to};
use crate::provider::SnapshotTable;
use crate::result::ResultColumn;
use crate::types::result_type_of_field;

/// Describes the output of an analyzed plan.
pub(super) fn result_columns(plan: &LogicalPlan) -> Vec<ResultColumn> {
    plan.schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let origin = origin(plan, at);
            ResultColumn {
                name: shown_name(field.name()).to_owned(),
                data_type: result_type_of_field(field),
                table: origin.map(|(table, _)| table),
                column: origin.map(|(_, column)| column),
            }
        })
        .collect()
}

/// A projection that casts each column after the `leading` ones to the one it is assigned to.
pub(super) fn assign_columns(plan: LogicalPlan, leading: usize, columns: &[(String, DataType)]) -> Result<LogicalPlan> {
    let fields = plan.schema().columns();
    let assigned = fields.len().saturating_sub(leading);
    if assigned != columns.len() {
        let what = if assigned > columns.len() {
            "expressions than target columns"
        } else {
            "target columns than expressions"
        };
        return Err(Error::new(Condition::SyntaxError, format!("INSERT has more {what}")));
    }
    let mut fields = fields.into_iter();
    let mut expressions: Vec<Expr> = fields.by_ref().take(leading).map(Expr::Column).collect();
    expressions.extend(fields.zip(columns).map(|(from, (name, data_type))| {
        cast_to(Expr::Column(from), data_type, CastMode::Assignment).alias(name.clone())
    }));
    LogicalPlanBuilder::from(plan).project(expressions).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The table column that an output column is, unchanged.
fn origin(plan: &LogicalPlan, at: usize) -> Option<(TableId, ColumnId)> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let mut expr = projection.expr.get(at)?;
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            let Expr::Column(column) = expr else {
                return None;
            };
            origin(&projection.input, projection.input.schema().index_of_column(column).ok()?)
        }
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, at),
        LogicalPlan::Filter(filter) => origin(&filter.input, at),
        LogicalPlan::Sort(sort) => origin(&sort.input, at),
        LogicalPlan::Limit(limit) => origin(&limit.input, at),
        LogicalPlan::TableScan(scan) => {
            let at = scan.projection.as_ref().map_or(Some(at), |projection| projection.get(at).copied())?;
            let source = scan.source.downcast_ref::<DefaultTableSource>()?;
            let schema = source.table_provider.downcast_ref::<SnapshotTable>()?.table().schema();
            Some((schema.id, schema.columns.get(at)?.id))
        }
        _ => None,
    }
}

//! Types of parameters that the planner does not see from their place: counts, casts, and arrays of ANY and ALL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use outcrop_types::{DataType, Result};

use super::names::parameter_number;
use crate::planning::StatementContext;
use crate::types::sql_data_type;

/// Fills in what the places of bare parameters in `query` tell.
pub(crate) fn hint_query(context: &StatementContext, query: &ast::Query, types: &mut [Option<DataType>]) -> Result<()> {
    if types.iter().all(Option::is_some) {
        return Ok(());
    }
    let _visited: ControlFlow<()> = query.visit(&mut Places { types });
    hint_arrays(context, query, types)
}

/// `LIMIT $1`, `OFFSET $2`, `FETCH FIRST $3 ROWS ONLY` are bigint; `$4::type` is of that type.
struct Places<'a> {
    types: &'a mut [Option<DataType>],
}

impl Visitor for Places<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let fetch = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref());
        let limits = match &query.limit_clause {
            Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                [limit.as_ref(), offset.as_ref().map(|offset| &offset.value)]
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => [Some(offset), Some(limit)],
            None => [None, None],
        };
        for expr in limits.into_iter().chain([fetch]).flatten() {
            if let Some(unknown @ None) = place(expr, self.types) {
                *unknown = Some(DataType::Int8);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Cast { expr, data_type, .. } = expr
            && let Some(unknown @ None) = place(expr, self.types)
        {
            // A type that does not exist is reported when the query is planned.
            *unknown = sql_data_type(data_type).ok();
        }
        ControlFlow::Continue(())
    }
}

/// `x = ANY($1)`: what the parameter would be as `x = $1`, as an array.
fn hint_arrays(context: &StatementContext, query: &ast::Query, types: &mut [Option<DataType>]) -> Result<()> {
    let mut arrays = Vec::new();
    let mut compared = query.clone();
    let _visited: ControlFlow<()> = ast::visit_expressions_mut(&mut compared, |expr| {
        if let ast::Expr::AnyOp { left, compare_op, right, .. } | ast::Expr::AllOp { left, compare_op, right } = expr
            && let Some(None) = place(right, types)
        {
            arrays.extend(parameter_number(right).and_then(|number| number.checked_sub(1)));
            *expr = ast::Expr::BinaryOp { left: left.clone(), op: compare_op.clone(), right: right.clone() };
        }
        ControlFlow::Continue(())
    });
    if arrays.is_empty() {
        return Ok(());
    }
    let items = context.plan_query(&compared, types)?.parameters;
    for at in arrays {
        if let (Some(unknown @ None), Some(item)) = (types.get_mut(at), items.get(at)) {
            *unknown = Some(DataType::Array(Box::new(item.clone())));
        }
    }
    Ok(())
}

fn place<'a>(expr: &ast::Expr, types: &'a mut [Option<DataType>]) -> Option<&'a mut Option<DataType>> {
    types.get_mut(parameter_number(expr)?.checked_sub(1)?)
}

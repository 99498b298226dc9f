//! Pieces of syntax trees: what an expression holds, and the queries that writes become.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use outcrop_types::{DataType, Error, Result};

use super::target::Target;
use crate::planning::TARGET;
use crate::statement::parameter_number;

/// A quoted identifier: exactly this name.
pub(super) fn exactly(name: &str) -> ast::Ident {
    ast::Ident::with_quote('"', name)
}

/// The column `relation.name`.
pub(super) fn column_of(relation: &str, name: &str) -> ast::Expr {
    ast::Expr::CompoundIdentifier(vec![exactly(relation), exactly(name)])
}

/// The word DEFAULT in the place of a value.
pub(super) fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// Whether a query is inside.
pub(super) fn has_subquery<V: ast::Visit>(tree: &V) -> bool {
    ast::visit_expressions(tree, |expr| match expr {
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => ControlFlow::Break(()),
        ast::Expr::Function(function) if matches!(function.args, ast::FunctionArguments::Subquery(_)) => {
            ControlFlow::Break(())
        }
        ast::Expr::AnyOp { right, .. } | ast::Expr::AllOp { right, .. }
            if matches!(right.as_ref(), ast::Expr::Subquery(_)) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// The numbers of the parameters inside, from 0.
pub(super) fn parameters_in<V: ast::Visit>(tree: &V) -> Vec<usize> {
    let mut found = Vec::new();
    let _visited: ControlFlow<()> = ast::visit_expressions(tree, |expr| {
        found.extend(parameter_number(expr).and_then(|number| number.checked_sub(1)));
        ControlFlow::Continue(())
    });
    found
}

/// A bare `$n` that is assigned to a column has the column's type.
pub(super) fn hint(expr: &ast::Expr, data_type: &DataType, types: &mut [Option<DataType>]) {
    let place = parameter_number(expr).and_then(|number| types.get_mut(number.checked_sub(1)?));
    if let Some(unknown @ None) = place {
        *unknown = Some(data_type.clone());
    }
}

/// `SELECT projection FROM "__target" AS alias, others WHERE selection`
pub(super) fn target_query(
    alias: &str,
    projection: Vec<ast::SelectItem>,
    others: &[ast::TableWithJoins],
    selection: Option<ast::Expr>,
) -> Result<ast::Query> {
    let mut query = parse_query(&format!("SELECT 1 FROM \"{TARGET}\" AS target"))?;
    let ast::SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("a SELECT did not parse as one"));
    };
    select.projection = projection;
    select.selection = selection;
    if let Some(ast::TableWithJoins { relation: ast::TableFactor::Table { alias: Some(given), .. }, .. }) =
        select.from.first_mut()
    {
        given.name = exactly(alias);
    }
    select.from.extend(others.iter().cloned());
    Ok(query)
}

/// `SELECT expr` without tables.
pub(super) fn constant_query(expr: &ast::Expr) -> Result<ast::Query> {
    let mut query = parse_query("SELECT 1")?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![item(expr.clone())];
    }
    Ok(query)
}

/// Parses a query of ours.
pub(crate) fn parse_query(sql: &str) -> Result<ast::Query> {
    Parser::new(&PostgreSqlDialect {})
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_query())
        .map(|query| *query)
        .map_err(|error| Error::internal(format!("generated SQL does not parse: {sql}")).with_source(error))
}

/// An output column without a name.
pub(super) fn item(expr: ast::Expr) -> ast::SelectItem {
    ast::SelectItem::UnnamedExpr(expr)
}

/// An output column with a name.
pub(super) fn named(expr: ast::Expr, name: &str) -> ast::SelectItem {
    ast::SelectItem::ExprWithAlias { expr, alias: exactly(name) }
}

/// `CAST("alias"."column" AS bigint)`, for the hidden columns, whose own types SQL does not have.
pub(super) fn address_part(alias: &str, column: &str) -> ast::Expr {
    ast::Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(column_of(alias, column)),
        data_type: ast::DataType::BigInt(None),
        array: false,
        format: None,
    }
}

/// The columns at `positions` of a table, as a query.
pub(crate) fn table_query(target: &Target, positions: &[usize]) -> Result<ast::Query> {
    let projection = positions
        .iter()
        .filter_map(|position| target.schema.columns.get(*position))
        .map(|column| item(column_of(&target.alias, &column.name)))
        .collect();
    let mut query = target_query(&target.alias, projection, &[], None)?;
    if let ast::SetExpr::Select(select) = query.body.as_mut()
        && let Some(ast::TableWithJoins { relation: ast::TableFactor::Table { name, .. }, .. }) =
            select.from.first_mut()
    {
        let written = &target.schema.name;
        *name = ast::ObjectName::from(vec![exactly(&written.schema), exactly(&written.table)]);
    }
    Ok(query)
}

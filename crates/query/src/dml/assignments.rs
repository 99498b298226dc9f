//! `SET a = …, (b, c) = (…, …)`.

use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, DataType, Error, Result};

use super::rows::default_expression;
use super::syntax::{hint, is_default};
use super::target::Target;
use crate::statement::name_of;

/// Which columns of the target get which expressions.
#[derive(Clone, Debug)]
pub(super) struct Assignments {
    /// Position in the table and expression, in the order of the statement.
    pub(super) pairs: Vec<(usize, ast::Expr)>,
}

impl Assignments {
    pub(super) fn read(target: &Target, given: &[ast::Assignment]) -> Result<Self> {
        let mut pairs: Vec<(usize, ast::Expr)> = Vec::new();
        for assignment in given {
            let assigned = match &assignment.target {
                ast::AssignmentTarget::ColumnName(name) => vec![(name, assignment.value.clone())],
                ast::AssignmentTarget::Tuple(names) => {
                    names.iter().zip(tuple_values(&assignment.value, names.len())?).collect()
                }
            };
            for (name, expr) in assigned {
                let position = target.position(&assigned_column(target, name)?)?;
                if pairs.iter().any(|(other, _)| *other == position) {
                    return Err(Error::new(
                        Condition::SyntaxError,
                        format!("multiple assignments to same column \"{}\"", column_name(target, position)),
                    ));
                }
                let expr = if is_default(&expr) { default_expression(&target.schema, position)? } else { expr };
                pairs.push((position, expr));
            }
        }
        Ok(Self { pairs })
    }

    /// The expression that a column gets, if it gets one.
    pub(super) fn of(&self, position: usize) -> Option<&ast::Expr> {
        self.pairs.iter().find(|(at, _)| *at == position).map(|(_, expr)| expr)
    }

    /// Bare parameters take the types of their columns.
    pub(super) fn hint(&self, target: &Target, types: &mut [Option<DataType>]) {
        for (position, expr) in &self.pairs {
            if let Some(column) = target.schema.columns.get(*position) {
                hint(expr, &column.data_type, types);
            }
        }
    }
}

fn tuple_values(value: &ast::Expr, wanted: usize) -> Result<Vec<ast::Expr>> {
    let values = match value {
        ast::Expr::Tuple(values) => values.clone(),
        ast::Expr::Nested(inner) => vec![inner.as_ref().clone()],
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => row_values(function)?,
        ast::Expr::Subquery(query) => return column_queries(query, wanted),
        other => vec![other.clone()],
    };
    if values.len() == wanted {
        return Ok(values);
    }
    Err(Error::new(Condition::SyntaxError, "number of columns does not match number of values"))
}

/// `(a, b) = (SELECT x, y …)`: one query for each column. All of them read the same snapshot.
fn column_queries(query: &ast::Query, wanted: usize) -> Result<Vec<ast::Expr>> {
    let items = match query.body.as_ref() {
        ast::SetExpr::Select(select) if select.distinct.is_none() => select.projection.as_slice(),
        _ => &[],
    };
    let plain = items
        .iter()
        .all(|item| matches!(item, ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::ExprWithAlias { .. }));
    if items.is_empty() || !plain {
        return Err(Error::new(
            Condition::FeatureNotSupported,
            "assigning this form of query to several columns is not supported",
        )
        .with_hint("Name the columns in a plain SELECT, or use UPDATE … FROM."));
    }
    if items.len() != wanted {
        return Err(Error::new(Condition::SyntaxError, "number of columns does not match number of values"));
    }
    (0..wanted).map(|at| column_query(query, at)).collect()
}

/// The query with its column `at` alone. A number in ORDER BY stands for what it means.
fn column_query(query: &ast::Query, at: usize) -> Result<ast::Expr> {
    let mut query = query.clone();
    let ast::SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("a SELECT is not one any more"));
    };
    let expr_of = |item: &ast::SelectItem| match item {
        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    if let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(orders), .. }) = &mut query.order_by {
        for order in orders {
            let place = match &order.expr {
                ast::Expr::Value(value) => match &value.value {
                    ast::Value::Number(number, _) => number.parse::<usize>().ok().and_then(|at| at.checked_sub(1)),
                    _ => None,
                },
                ast::Expr::Identifier(name) => select.projection.iter().position(
                    |item| matches!(item, ast::SelectItem::ExprWithAlias { alias, .. } if alias.value == name.value),
                ),
                _ => None,
            };
            if let Some(expr) = place.and_then(|place| select.projection.get(place)).and_then(expr_of) {
                order.expr = expr;
            }
        }
    }
    select.projection = select.projection.get(at).cloned().into_iter().collect();
    Ok(ast::Expr::Subquery(Box::new(query)))
}

fn row_values(function: &ast::Function) -> Result<Vec<ast::Expr>> {
    let ast::FunctionArguments::List(list) = &function.args else {
        return Ok(Vec::new());
    };
    list.args
        .iter()
        .map(|argument| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
            other => Err(Error::new(Condition::SyntaxError, format!("syntax error at or near \"{other}\""))),
        })
        .collect()
}

/// The column on the left of an assignment. PostgreSQL allows no table name before it.
fn assigned_column(target: &Target, name: &ast::ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [part] => Ok(part.as_ident().map(name_of).unwrap_or_default()),
        [table, ..] => {
            let table = table.as_ident().map(name_of).unwrap_or_default();
            let error = Error::new(
                Condition::UndefinedColumn,
                format!("column \"{table}\" of relation \"{}\" does not exist", target.schema.name.table),
            );
            Err(if table == target.alias {
                error.with_hint("Leave the table name out on the left of SET.")
            } else {
                error
            })
        }
        [] => Err(Error::internal("an assignment without column")),
    }
}

fn column_name(target: &Target, position: usize) -> &str {
    target.schema.columns.get(position).map_or("", |column| &column.name)
}

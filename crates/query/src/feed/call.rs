//! The call in FROM, as a query.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident, SetExpr, TableAlias, TableFactor,
};
use outcrop_types::{Condition, Error, Result};

use crate::dml::parse_query;

/// What `outcrop.read_feed(cursor, max_rows)` means; `None` for any other function. `coalesce` makes a call of that function.
///
/// # Errors
/// `UndefinedFunction` for other arguments.
pub(crate) fn of_call(
    factor: &mut TableFactor,
    coalesce: impl FnOnce(Vec<Expr>) -> Expr,
) -> Result<Option<TableFactor>> {
    let TableFactor::Table { name, alias, args: Some(args), .. } = factor else { return Ok(None) };
    let parts: Option<Vec<&str>> =
        name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect();
    if parts.is_none_or(|parts| parts != ["outcrop", "read_feed"]) {
        return Ok(None);
    }
    let arguments: Option<Vec<Expr>> = args
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    let (cursor, max_rows) = match arguments.as_deref() {
        Some([cursor]) => (cursor.clone(), None),
        Some([cursor, max_rows]) => (cursor.clone(), Some(max_rows.clone())),
        _ => {
            let message = "function outcrop.read_feed has one argument or two: the name of a cursor, and most rows";
            return Err(Error::new(Condition::UndefinedFunction, message));
        }
    };
    let mut query = parse_query(QUERY)?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let is_cursor = equal("cursor", cursor);
        let no_limit = Expr::value(datafusion::sql::sqlparser::ast::Value::Number(i64::MAX.to_string(), false));
        select.selection = Some(match max_rows {
            None => is_cursor,
            Some(max_rows) => Expr::BinaryOp {
                left: Box::new(is_cursor),
                op: BinaryOperator::And,
                right: Box::new(equal("max_rows", coalesce(vec![max_rows, no_limit]))),
            },
        });
    }
    let alias = alias.take().unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::new("read_feed"),
        columns: Vec::new(),
        at: None,
    });
    Ok(Some(TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None }))
}

fn equal(column: &str, value: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(Expr::Identifier(Ident::new(column))),
        op: BinaryOperator::Eq,
        right: Box::new(Expr::Nested(Box::new(value))),
    }
}

const QUERY: &str =
    "SELECT position, committed_at, table_schema, table_name, op, old, new FROM outcrop.feed_changes WHERE true";

//! One pass over a syntax tree.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Fetch, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    LimitClause, ObjectName, ObjectNamePart, Query, Select, SelectItem, TableAlias, TableAliasColumnDef, TableFactor,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};
use outcrop_types::{Condition, Error, Result};

use super::{names, numbers, pg_catalog};
use crate::planning::SessionView;

/// Rewrites a query for the planner.
///
/// # Errors
/// `FeatureNotSupported` for clauses that would be ignored otherwise.
pub(crate) fn rewrite_query(mut query: Query, _view: &SessionView) -> Result<Query> {
    let mut rewriter = Rewriter::default();
    match VisitMut::visit(&mut query, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(query),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Rewrites one expression for the planner.
///
/// # Errors
/// As [`rewrite_query`].
pub(crate) fn rewrite_expr(mut expr: Expr, _view: &SessionView) -> Result<Expr> {
    let mut rewriter = Rewriter::default();
    match VisitMut::visit(&mut expr, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(expr),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The highest `$n` of a query.
pub(crate) fn parameter_count(query: &Query) -> usize {
    let mut search = ParameterSearch(0);
    let _never: ControlFlow<()> = query.visit(&mut search);
    search.0
}

struct ParameterSearch(usize);

impl Visitor for ParameterSearch {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Ok(number) = name.trim_start_matches('$').parse::<usize>()
        {
            self.0 = self.0.max(number);
        }
        ControlFlow::Continue(())
    }
}

#[derive(Debug, Default)]
struct Rewriter {}

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if !query.locks.is_empty() {
            return ControlFlow::Break(
                Error::new(Condition::FeatureNotSupported, "FOR UPDATE and FOR SHARE are not supported")
                    .with_hint("Rows are not locked in Outcrop; a statement reads one snapshot."),
            );
        }
        match query.fetch.take() {
            Some(Fetch { with_ties: false, percent: false, quantity }) if query.limit_clause.is_none() => {
                let limit = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
                query.limit_clause =
                    Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by: Vec::new() });
            }
            Some(Fetch { with_ties: false, percent: false, quantity }) => {
                if let Some(LimitClause::LimitOffset { limit: limit @ None, .. }) = &mut query.limit_clause {
                    *limit = quantity.or_else(|| Some(Expr::value(Value::Number("1".to_owned(), false))));
                }
            }
            Some(_) => {
                return ControlFlow::Break(Error::new(
                    Condition::FeatureNotSupported,
                    "FETCH … WITH TIES and PERCENT are not supported",
                ));
            }
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        numbers::untype_query(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        names::name_outputs(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                unnest_series(expr);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        numbers::untype_select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        name_function_columns(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        numbers::type_integer(expr);
        numbers::untype_window(expr);
        pg_operators(expr);
        match pg_catalog::rewrite(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// `SELECT generate_series(1, 3)` gives rows in PostgreSQL, a list in DataFusion.
fn unnest_series(expr: &mut Expr) {
    let is_series = matches!(expr, Expr::Function(function)
        if function.over.is_none() && simple_name(&function.name).as_deref() == Some("generate_series"));
    if is_series {
        let series = std::mem::replace(expr, Expr::value(Value::Null));
        *expr = call("unnest", vec![series]);
    }
}

/// A function in FROM names its only column after itself, or after its alias.
fn name_function_columns(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args: Some(_), .. } = factor else {
        return;
    };
    let Some(function) = simple_name(name).filter(|name| name == "generate_series") else {
        return;
    };
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::new(function),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn pg_operators(expr: &mut Expr) {
    let Expr::BinaryOp { op, .. } = expr else {
        return;
    };
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else {
        return;
    };
    let plain = match parts.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("~~") => BinaryOperator::PGLikeMatch,
        Some("~~*") => BinaryOperator::PGILikeMatch,
        Some("!~~") => BinaryOperator::PGNotLikeMatch,
        Some("!~~*") => BinaryOperator::PGNotILikeMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>") => BinaryOperator::NotEq,
        Some("<") => BinaryOperator::Lt,
        Some("<=") => BinaryOperator::LtEq,
        Some(">") => BinaryOperator::Gt,
        Some(">=") => BinaryOperator::GtEq,
        Some("+") => BinaryOperator::Plus,
        Some("-") => BinaryOperator::Minus,
        Some("*") => BinaryOperator::Multiply,
        Some("/") => BinaryOperator::Divide,
        Some("||") => BinaryOperator::StringConcat,
        _ => return,
    };
    *op = plain;
}

/// The folded name, without `pg_catalog.` in front.
pub(super) fn simple_name(name: &ObjectName) -> Option<String> {
    let fold = |part: &ObjectNamePart| {
        part.as_ident().map(|ident| {
            if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
        })
    };
    match name.0.as_slice() {
        [only] => fold(only),
        [schema, last] if fold(schema).as_deref() == Some("pg_catalog") => fold(last),
        _ => None,
    }
}

/// A call of a function with plain arguments.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(datafusion::sql::sqlparser::ast::Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

//! One pass over a syntax tree.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Fetch, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, LimitClause, ObjectName, ObjectNamePart, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr,
    SetOperator, SetQuantifier, TableAlias, TableAliasColumnDef, TableFactor, UnaryOperator, Value, Visit, VisitMut,
    Visitor, VisitorMut,
};
use outcrop_types::{Condition, Error, Result};

use super::{clock, names, numbers, pg_catalog, quantified, subqueries, windows};

/// Rewrites a query for the planner.
///
/// # Errors
/// `FeatureNotSupported` for clauses that would be ignored otherwise.
pub(crate) fn rewrite_query(mut query: Query, is_aggregate: &dyn Fn(&str) -> bool) -> Result<Query> {
    let mut rewriter = Rewriter { is_aggregate, quantified: Vec::new() };
    match VisitMut::visit(&mut query, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(query),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Rewrites one expression for the planner.
///
/// # Errors
/// As [`rewrite_query`].
pub(crate) fn rewrite_expr(mut expr: Expr, is_aggregate: &dyn Fn(&str) -> bool) -> Result<Expr> {
    let mut rewriter = Rewriter { is_aggregate, quantified: Vec::new() };
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

/// Whether `$number` is used as a value somewhere, which is text if nothing else says what it is. It is not where the
/// query does not have it, or asks only whether it is NULL.
pub(crate) fn is_valued(query: &Query, number: usize) -> bool {
    let name = format!("${number}");
    let is_parameter = |expr: &Expr| matches!(expr, Expr::Value(value) if matches!(&value.value, Value::Placeholder(found) if *found == name));
    let (mut used, mut judged) = (0_usize, 0_usize);
    let _visited: ControlFlow<()> = datafusion::sql::sqlparser::ast::visit_expressions(query, |expr| {
        match expr {
            Expr::IsNull(inner) | Expr::IsNotNull(inner) if is_parameter(inner) => judged += 1,
            other if is_parameter(other) => used += 1,
            _ => {}
        }
        ControlFlow::Continue(())
    });
    used > judged
}

/// Whether a row may come several times under its key: next to the items of a set, or to the rows of a LATERAL.
pub(crate) fn repeats_rows(query: &Query) -> bool {
    query.visit(&mut RepetitionSearch).is_break()
}

struct RepetitionSearch;

impl Visitor for RepetitionSearch {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if simple_name(&function.name).as_deref() == Some("unnest") => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::UNNEST { .. } | TableFactor::Function { .. } | TableFactor::Derived { lateral: true, .. } => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
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

struct Rewriter<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
    /// Where the subqueries of ANY and ALL stand, which may have any number of rows.
    quantified: Vec<*const Expr>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if !query.locks.is_empty() {
            return ControlFlow::Break(
                Error::new(Condition::FeatureNotSupported, "FOR UPDATE and FOR SHARE are not supported")
                    .with_hint("Rows are not locked in Outcrop; a statement reads one snapshot."),
            );
        }
        type_values(query);
        if counts_duplicates(&query.body) {
            return ControlFlow::Break(Error::new(
                Condition::FeatureNotSupported,
                "EXCEPT ALL and INTERSECT ALL are not supported",
            ));
        }
        if let Err(error) = windows::spell_out(query) {
            return ControlFlow::Break(error);
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
        order_sets_by_name(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        names::name_outputs(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                unnest_series(expr);
                subqueries::count_exists(expr, self.is_aggregate);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        numbers::untype_select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        plain_unnest(factor);
        name_function_columns(factor);
        match crate::feed::of_call(factor, |args| call("coalesce", args)) {
            Ok(None) => {}
            Ok(Some(query)) => *factor = query,
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        pg_catalog::answer_idiom(expr);
        if let Err(error) = subqueries::expect_columns(expr, self.quantified.contains(&std::ptr::from_ref(expr))) {
            return ControlFlow::Break(error);
        }
        subqueries::select_nothing(expr, self.is_aggregate);
        subqueries::gather_array(expr, self.is_aggregate);
        if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = expr {
            self.quantified.push(std::ptr::from_ref(right.as_ref()));
        }
        if !self.quantified.contains(&std::ptr::from_ref(expr)) {
            subqueries::expect_single_row(expr, self.is_aggregate);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        numbers::type_integer(expr);
        numbers::untype_window(expr);
        numbers::untype_digits(expr);
        numbers::type_count(expr);
        pg_operators(expr);
        quantified::rewrite(expr);
        clock::rewrite(expr);
        compare_rows(expr);
        match pg_catalog::rewrite(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// `SELECT generate_series(1, 3)` gives rows in PostgreSQL, a list in DataFusion; `generate_subscripts(list, 1)` is the
/// series of its places.
fn unnest_series(expr: &mut Expr) {
    let Expr::Function(function) = &*expr else { return };
    if function.over.is_some() {
        return;
    }
    match simple_name(&function.name).as_deref() {
        Some("generate_series") => {
            let series = std::mem::replace(expr, Expr::value(Value::Null));
            *expr = call("unnest", vec![series]);
        }
        Some("generate_subscripts") => {
            let FunctionArguments::List(list) = &function.args else { return };
            let [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(array)),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(dimension)),
            ] = list.args.as_slice()
            else {
                return;
            };
            let length = call("array_length", vec![array.clone(), dimension.clone()]);
            let first = Expr::value(Value::Number("1".to_owned(), false));
            let series = call("generate_series", vec![first, length]);
            *expr = call("unnest", vec![series]);
        }
        Some(_) | None => {}
    }
}

/// `SELECT unnest(a) … ORDER BY 1` orders the items, which are there only under the name of the column.
fn order_sets_by_name(query: &mut Query) {
    let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(orders), .. })) =
        (query.body.as_ref(), query.order_by.as_mut())
    else {
        return;
    };
    for order in orders {
        let number = match &order.expr {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => number.parse::<usize>().ok(),
                _ => None,
            },
            _ => None,
        };
        if let Some(SelectItem::ExprWithAlias { expr: Expr::Function(function), alias }) =
            number.and_then(|number| select.projection.get(number.checked_sub(1)?))
            && simple_name(&function.name).as_deref() == Some("unnest")
        {
            order.expr = Expr::Identifier(alias.clone());
        }
    }
}

/// `LATERAL unnest(…)` is the UNNEST that every FROM may have.
fn plain_unnest(factor: &mut TableFactor) {
    let TableFactor::Function { name, args, alias, .. } = factor else {
        return;
    };
    if simple_name(name).as_deref() != Some("unnest") {
        return;
    }
    let array_exprs: Option<Vec<Expr>> = args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    if let Some(array_exprs) = array_exprs {
        *factor = TableFactor::UNNEST {
            alias: alias.take(),
            array_exprs,
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        };
    }
}

/// A function in FROM names its only column after itself, or after its alias.
fn name_function_columns(factor: &mut TableFactor) {
    if let TableFactor::UNNEST { alias, array_exprs, .. } = factor
        && array_exprs.len() == 1
    {
        return name_only_column(alias, "unnest");
    }
    let TableFactor::Table { name, alias, args: Some(_), .. } = factor else {
        return;
    };
    let Some(function) = simple_name(name).filter(|name| name == "generate_series") else {
        return;
    };
    name_only_column(alias, &function);
}

fn name_only_column(alias: &mut Option<TableAlias>, function: &str) {
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

/// `(a, b) = (1, 2)` and `(a, b) IN ((1, 2), …)` column by column, and operators that have no other name here.
fn compare_rows(expr: &mut Expr) {
    let rewritten = match expr {
        Expr::BinaryOp { left, op, right }
            if matches!((left.as_ref(), right.as_ref()), (Expr::Tuple(_), Expr::Tuple(_))) =>
        {
            row_comparison(left, op, right)
        }
        Expr::InList { expr: row, list, negated } => {
            let equalities: Option<Vec<Expr>> = list.iter().map(|item| row_equality(row, item)).collect();
            equalities
                .and_then(|all| all.into_iter().reduce(|left, right| binary(left, BinaryOperator::Or, right)))
                .map(|any| {
                    let any = Expr::Nested(Box::new(any));
                    if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) } } else { any }
                })
        }
        Expr::BinaryOp { left, op: BinaryOperator::PGStartsWith, right } => {
            Some(call("starts_with", vec![left.as_ref().clone(), right.as_ref().clone()]))
        }
        Expr::Function(function) if simple_name(&function.name).as_deref() == Some("mod") => match &function.args {
            FunctionArguments::List(list) => match list.args.as_slice() {
                [
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(left)),
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(right)),
                ] => {
                    let nested = |expr: &Expr| Expr::Nested(Box::new(expr.clone()));
                    Some(Expr::Nested(Box::new(binary(nested(left), BinaryOperator::Modulo, nested(right)))))
                }
                _ => None,
            },
            FunctionArguments::None | FunctionArguments::Subquery(_) => None,
        },
        _ => None,
    };
    if let Some(rewritten) = rewritten {
        *expr = rewritten;
    }
}

fn row_equality(left: &Expr, right: &Expr) -> Option<Expr> {
    let (Expr::Tuple(left), Expr::Tuple(right)) = (left, right) else {
        return None;
    };
    if left.len() != right.len() {
        return None;
    }
    let pairs = left.iter().cloned().zip(right.iter().cloned());
    let all = pairs
        .map(|(left, right)| binary(left, BinaryOperator::Eq, right))
        .reduce(|left, right| binary(left, BinaryOperator::And, right))?;
    Some(Expr::Nested(Box::new(all)))
}

/// `(a, b) < (c, d)` is `a <= c AND (a < c OR (a = c AND b < d))`: the first part says the same again, for those who look
/// for ranges.
fn row_comparison(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (Expr::Tuple(lefts), Expr::Tuple(rights)) = (left, right) else {
        return None;
    };
    let (strict, loose) = match op {
        BinaryOperator::Eq => return row_equality(left, right),
        BinaryOperator::NotEq => {
            let equal = row_equality(left, right)?;
            return Some(Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(equal) })));
        }
        BinaryOperator::Lt | BinaryOperator::LtEq => (BinaryOperator::Lt, BinaryOperator::LtEq),
        BinaryOperator::Gt | BinaryOperator::GtEq => (BinaryOperator::Gt, BinaryOperator::GtEq),
        _ => return None,
    };
    if lefts.len() != rights.len() {
        return None;
    }
    let nested = |expr: Expr| Expr::Nested(Box::new(expr));
    let mut pairs = lefts.iter().zip(rights).rev();
    let (left, right) = pairs.next()?;
    let mut compared = binary(left.clone(), op.clone(), right.clone());
    for (left, right) in pairs {
        let equal = binary(left.clone(), BinaryOperator::Eq, right.clone());
        let rest = nested(binary(equal, BinaryOperator::And, nested(compared)));
        let either = binary(binary(left.clone(), strict.clone(), right.clone()), BinaryOperator::Or, rest);
        let outer = binary(left.clone(), loose.clone(), right.clone());
        compared = binary(outer, BinaryOperator::And, nested(either));
    }
    Some(nested(compared))
}

/// `left op right`.
pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Whether a set operation counts how often a row comes, which DataFusion's joins do not.
fn counts_duplicates(body: &SetExpr) -> bool {
    match body {
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            let counts = matches!(op, SetOperator::Except | SetOperator::Intersect)
                && matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
            counts || counts_duplicates(left) || counts_duplicates(right)
        }
        _ => false,
    }
}

/// In `VALUES (date '2013-01-01'), ('2013-02-01')` the bare strings take the type of the column.
fn type_values(query: &mut Query) {
    let SetExpr::Values(values) = query.body.as_mut() else {
        return;
    };
    let columns = values.rows.first().map_or(0, |row| row.content.len());
    for at in 0..columns {
        let data_type = values.rows.iter().find_map(|row| match row.content.get(at) {
            Some(Expr::Cast { data_type, .. }) => Some(data_type.clone()),
            Some(Expr::TypedString(typed)) => Some(typed.data_type.clone()),
            _ => None,
        });
        let Some(data_type) = data_type else {
            continue;
        };
        for value in values.rows.iter_mut().filter_map(|row| row.content.get_mut(at)) {
            let is_string = matches!(value, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
            if is_string {
                let expr = Box::new(std::mem::replace(value, Expr::value(Value::Null)));
                let data_type = data_type.clone();
                *value = Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None };
            }
        }
    }
}

/// The folded name, without `pg_catalog.` in front.
pub(super) fn simple_name(name: &ObjectName) -> Option<String> {
    let fold = |part: &ObjectNamePart| {
        part.as_ident()
            .map(|ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
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

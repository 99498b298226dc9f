//! Subqueries that DataFusion plans only as aggregates.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArgumentClause, FunctionArguments, GroupByExpr, Ident, OrderBy,
    OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr, TableAlias, TableFactor,
    TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use outcrop_types::{Condition, Error, Result};

use super::rewrite::{call, simple_name};

/// `EXISTS (…)` in an output column becomes a count; DataFusion plans it only in conditions.
pub(super) fn count_exists(expr: &mut Expr, is_aggregate: &dyn Fn(&str) -> bool) {
    let mut counter = ExistsCounter { is_aggregate, inside: 0 };
    let _never: ControlFlow<()> = VisitMut::visit(expr, &mut counter);
}

struct ExistsCounter<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
    inside: usize,
}

impl VisitorMut for ExistsCounter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.inside > 0 {
            return ControlFlow::Continue(());
        }
        let Expr::Exists { subquery, negated } = expr else {
            return ControlFlow::Continue(());
        };
        let count = call("count", vec![Expr::value(Value::Number("1".to_owned(), false))]);
        let op = if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
        let zero = Expr::value(Value::Number("0".to_owned(), false));
        let test = Expr::BinaryOp { left: Box::new(count), op, right: Box::new(zero) };
        let mut query = std::mem::replace(subquery.as_mut(), empty_query());
        match plain_select(&mut query, self.is_aggregate) {
            Some(select) => select.projection = vec![SelectItem::UnnamedExpr(test)],
            None => query = select_from(query, test),
        }
        *expr = Expr::Subquery(Box::new(query));
        ControlFlow::Continue(())
    }
}

/// A SELECT may have no columns at all, but not where a value or a list is wanted: DataFusion takes its first one unseen.
///
/// # Errors
/// `SyntaxError`, as PostgreSQL says it.
pub(super) fn expect_columns(expr: &Expr, is_list: bool) -> Result<()> {
    let (query, is_list) = match expr {
        Expr::Subquery(query) => (query, is_list),
        Expr::InSubquery { subquery, .. } => (subquery, true),
        Expr::Function(function) => match &function.args {
            FunctionArguments::Subquery(query) => (query, false),
            FunctionArguments::None | FunctionArguments::List(_) => return Ok(()),
        },
        _ => return Ok(()),
    };
    if !has_no_columns(&query.body) {
        return Ok(());
    }
    let message = if is_list { "subquery has too few columns" } else { "subquery must return only one column" };
    Err(Error::new(Condition::SyntaxError, message))
}

fn has_no_columns(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.projection.is_empty(),
        SetExpr::Query(query) => has_no_columns(&query.body),
        SetExpr::SetOperation { left, .. } => has_no_columns(left),
        _ => false,
    }
}

/// What EXISTS selects does not matter, and its names are in the way when DataFusion takes conditions out of it.
pub(super) fn select_nothing(expr: &mut Expr, is_aggregate: &dyn Fn(&str) -> bool) {
    if let Expr::Exists { subquery, .. } = expr
        && let Some(select) = plain_select(subquery, is_aggregate)
        && !select.from.is_empty()
    {
        select.projection = vec![SelectItem::UnnamedExpr(Expr::value(Value::Number("1".to_owned(), false)))];
    }
}

/// `ARRAY(SELECT …)` gathers its rows with `array_agg`.
pub(super) fn gather_array(expr: &mut Expr, is_aggregate: &dyn Fn(&str) -> bool) {
    let Expr::Function(function) = expr else {
        return;
    };
    if simple_name(&function.name).as_deref() != Some("array") {
        return;
    }
    let FunctionArguments::Subquery(query) = &mut function.args else {
        return;
    };
    let mut query = std::mem::replace(query.as_mut(), empty_query());
    let order = take_order(&mut query);
    let gathered =
        plain_select(&mut query, is_aggregate).is_some_and(|select| match select.projection.as_mut_slice() {
            [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] => {
                let inner = std::mem::replace(item, Expr::value(Value::Null));
                *item = gather(inner, &order);
                true
            }
            _ => false,
        });
    if !gathered {
        let order = order_of_items(&query, order);
        query = name_first_column(query);
        query = select_from(query, gather(Expr::Identifier(Ident::new(ITEM)), &order));
    }
    // The array of no rows is empty; the aggregate of none is NULL.
    *expr = call("array_or_empty", vec![Expr::Subquery(Box::new(query))]);
}

/// `array_agg(item ORDER BY order)`.
fn gather(item: Expr, order: &[OrderByExpr]) -> Expr {
    let mut gathered = call("array_agg", vec![item]);
    if let Expr::Function(function) = &mut gathered
        && let FunctionArguments::List(list) = &mut function.args
        && !order.is_empty()
    {
        list.clauses.push(FunctionArgumentClause::OrderBy(order.to_vec()));
    }
    gathered
}

/// Takes the ORDER BY of a query without LIMIT, for the aggregate around its only column, with that column spelled out
/// where its number or its name stands.
fn take_order(query: &mut Query) -> Vec<OrderByExpr> {
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return Vec::new();
    }
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Vec::new();
    };
    let (item, alias) = match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(item)] => (item.clone(), None),
        [SelectItem::ExprWithAlias { expr, alias }] => (expr.clone(), Some(alias.value.clone())),
        _ => return Vec::new(),
    };
    match query.order_by.take() {
        Some(OrderBy { kind: OrderByKind::Expressions(mut orders), .. }) => {
            for order in &mut orders {
                let is_item = match &order.expr {
                    Expr::Value(value) => matches!(&value.value, Value::Number(number, _) if number == "1"),
                    Expr::Identifier(name) => Some(&name.value) == alias.as_ref(),
                    _ => false,
                };
                if is_item {
                    order.expr = item.clone();
                }
            }
            orders
        }
        other => {
            query.order_by = other;
            Vec::new()
        }
    }
}

/// The order of the items of a derived table: only that of the items themselves can be kept.
fn order_of_items(query: &Query, order: Vec<OrderByExpr>) -> Vec<OrderByExpr> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Vec::new();
    };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] = select.projection.as_slice()
    else {
        return Vec::new();
    };
    let mut order: Vec<OrderByExpr> = order.into_iter().take_while(|order| order.expr == *item).collect();
    order.iter_mut().for_each(|order| order.expr = Expr::Identifier(Ident::new(ITEM)));
    order
}

/// A scalar subquery of one plain column goes through an aggregate that refuses a second row, because DataFusion plans
/// correlated ones only as aggregates.
pub(super) fn expect_single_row(expr: &mut Expr, is_aggregate: &dyn Fn(&str) -> bool) {
    let Expr::Subquery(query) = expr else {
        return;
    };
    let Some(select) = plain_select(query, is_aggregate) else {
        return;
    };
    if select.from.is_empty() || select.projection.iter().any(expects_single_row) {
        return;
    }
    let outer = take_outer_conditions(select);
    if let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    {
        let inner = std::mem::replace(item, Expr::value(Value::Null));
        *item = call(SINGLE_ROW, vec![inner]);
    }
    if let Some(condition) = outer {
        let result = std::mem::replace(expr, Expr::value(Value::Null));
        let branch = CaseWhen { condition, result };
        *expr = Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![branch],
            else_result: None,
        };
    }
}

/// Whether an output column is wrapped already; a rewritten expression is visited again.
fn expects_single_row(item: &SelectItem) -> bool {
    match item {
        SelectItem::UnnamedExpr(Expr::Function(function))
        | SelectItem::ExprWithAlias { expr: Expr::Function(function), .. } => {
            simple_name(&function.name).as_deref() == Some(SINGLE_ROW)
        }
        SelectItem::UnnamedExpr(_)
        | SelectItem::ExprWithAlias { .. }
        | SelectItem::ExprWithAliases { .. }
        | SelectItem::QualifiedWildcard(..)
        | SelectItem::Wildcard(_) => false,
    }
}

/// Removes the conjuncts of WHERE that name only tables outside of the subquery, and returns them. DataFusion cannot plan
/// them inside.
fn take_outer_conditions(select: &mut Select) -> Option<Expr> {
    let own: Vec<String> = select.from.iter().flat_map(table_names).collect::<Option<_>>()?;
    let mut inner = None;
    let mut outer = None;
    for conjunct in conjuncts(select.selection.take()?) {
        let side = if names_only_others(&conjunct, &own) { &mut outer } else { &mut inner };
        *side = Some(match side.take() {
            None => conjunct,
            Some(left) => Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(conjunct) },
        });
    }
    select.selection = inner;
    outer
}

fn conjuncts(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut parts = conjuncts(*left);
            parts.extend(conjuncts(*right));
            parts
        }
        Expr::Nested(inner) => conjuncts(*inner),
        other => vec![other],
    }
}

/// Names under which the tables of a FROM item are known; `None` inside for one without a plain name.
fn table_names(table: &TableWithJoins) -> Vec<Option<String>> {
    let relations = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    relations
        .map(|relation| match relation {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. } => Some(alias.name.value.to_lowercase()),
            TableFactor::Table { name, alias: None, .. } => {
                name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase())
            }
            _ => None,
        })
        .collect()
}

/// Whether an expression names columns, all of them with tables that are not among `own`, and holds no subquery.
fn names_only_others(expr: &Expr, own: &[String]) -> bool {
    let mut search = QualifierSearch { own, named: false };
    expr.visit(&mut search).is_continue() && search.named
}

struct QualifierSearch<'a> {
    own: &'a [String],
    named: bool,
}

impl Visitor for QualifierSearch<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_) => ControlFlow::Break(()),
            Expr::CompoundIdentifier(parts) => {
                let table = parts.len().checked_sub(2).and_then(|at| parts.get(at));
                match table {
                    Some(table) if !self.own.contains(&table.value.to_lowercase()) => {
                        self.named = true;
                        ControlFlow::Continue(())
                    }
                    _ => ControlFlow::Break(()),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The aggregate that refuses a second row.
const SINGLE_ROW: &str = "single_row_value";
/// Name of the only column of a derived table that we make.
const ITEM: &str = "item";

/// The SELECT of a query in which an aggregate can replace the output: nothing groups, sorts, limits or removes
/// duplicates, and no output column is an aggregate, a window or a set.
fn plain_select<'a>(query: &'a mut Query, is_aggregate: &dyn Fn(&str) -> bool) -> Option<&'a mut Select> {
    let simple =
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let ungrouped = select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(expressions, _) if expressions.is_empty());
    if !simple || !ungrouped {
        return None;
    }
    let mut search = AggregateSearch { is_aggregate, inside: 0 };
    let found = select.projection.iter().any(|item| item.visit(&mut search).is_break());
    if found { None } else { Some(select) }
}

struct AggregateSearch<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
    inside: usize,
}

impl Visitor for AggregateSearch<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let name = simple_name(&function.name).unwrap_or_default();
        let is_set = name == "unnest" || name == "generate_series";
        if self.inside == 0 && (function.over.is_some() || is_set || (self.is_aggregate)(&name)) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// `SELECT output FROM (query)`.
fn select_from(query: Query, output: Expr) -> Query {
    let mut outer = empty_query();
    if let SetExpr::Select(select) = outer.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(output)];
        select.from = vec![TableWithJoins {
            relation: TableFactor::Derived {
                lateral: false,
                subquery: Box::new(query),
                alias: Some(TableAlias { explicit: true, name: Ident::new("subquery"), columns: Vec::new(), at: None }),
                sample: None,
            },
            joins: Vec::new(),
        }];
    }
    outer
}

fn name_first_column(mut query: Query) -> Query {
    if let SetExpr::Select(select) = query.body.as_mut()
        && let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
            select.projection.as_mut_slice()
    {
        let expr = std::mem::replace(item, Expr::value(Value::Null));
        select.projection = vec![SelectItem::ExprWithAlias { expr, alias: Ident::new(ITEM) }];
    }
    query
}

/// `SELECT`, with everything else left out.
fn empty_query() -> Query {
    let select = Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    };
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

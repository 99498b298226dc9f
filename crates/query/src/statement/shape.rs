//! How deep statements go. Everything after the parser walks trees by recursion, so depth is bounded here, once: long chains
//! that may be regrouped become shallow, what is still too deep is refused.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, SetExpr, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use outcrop_types::{Condition, Error, Result};

/// Deepest nesting of expressions, queries, set operations and joins together. Threads that plan have
/// [`crate::QUERY_STACK_BYTES`] for it.
pub(super) const NESTING_MAX: usize = 200;
/// Longest chain that is parsed at all, in operators.
const CHAIN_MAX: usize = 100_000;
/// Chains up to this length stay as they were written.
const CHAIN_SHORT: usize = 8;
/// Most dimensions that the name of an array type spells out.
const DIMENSIONS_MAX: usize = 32;

/// 54001.
pub(super) fn too_complex() -> Error {
    Error::new(Condition::StatementTooComplex, "statement is too complex")
        .with_detail(format!("It nests more than {NESTING_MAX} levels."))
        .with_hint("Write long lists as IN (…) or VALUES, or split the statement.")
}

/// No tree of these tokens is deeper: operators in a row, summed over open parentheses.
///
/// # Errors
/// `StatementTooComplex` if that is more than any statement may have.
pub(super) fn depth_bound(tokens: &[TokenWithSpan]) -> Result<usize> {
    let (mut outer, mut below, mut here, mut deepest) = (Vec::new(), 0, Level::default(), 0);
    let mut dimensions = 0;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                dimensions += usize::from(token.token == Token::LBracket);
                here.open(&mut outer, &mut below);
            }
            Token::Word(word) if word.keyword == Keyword::CASE => here.open(&mut outer, &mut below),
            Token::RParen | Token::RBracket | Token::RBrace => here.close(&mut outer, &mut below),
            Token::Word(word) if word.keyword == Keyword::END => here.close(&mut outer, &mut below),
            Token::Comma => (here.chain, dimensions) = (0, 0),
            Token::SemiColon => (here, dimensions) = (Level::default(), 0),
            Token::Word(word) => match word.keyword {
                Keyword::NoKeyword | Keyword::NULL | Keyword::TRUE | Keyword::FALSE => dimensions = 0,
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE => here.chain = 0,
                // A comma ends an expression, not a set operation.
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => here.sets += 1,
                _ => here.chain += 1,
            },
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period
            | Token::Placeholder(_)
            | Token::EOF => {}
            _ => here.chain += 1,
        }
        deepest = deepest.max(below + here.depth());
        if deepest > CHAIN_MAX || dimensions > DIMENSIONS_MAX {
            return Err(too_complex());
        }
    }
    Ok(deepest)
}

/// What is open at one level of parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    chain: usize,
    sets: usize,
}

impl Level {
    fn depth(self) -> usize {
        self.chain + self.sets
    }

    fn open(&mut self, outer: &mut Vec<Self>, below: &mut usize) {
        self.chain += 1;
        *below += self.depth();
        outer.push(std::mem::take(self));
    }

    fn close(&mut self, outer: &mut Vec<Self>, below: &mut usize) {
        *self = outer.pop().unwrap_or_default();
        *below -= self.depth();
    }
}

/// Regroups the chains of a parsed tree.
///
/// # Errors
/// `StatementTooComplex` for what is too deep after it.
pub(super) fn flatten<T: VisitMut>(tree: &mut T) -> Result<()> {
    match tree.visit(&mut Shape::default()) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Flattens on the way down, so that its own recursion meets no chain.
#[derive(Default)]
struct Shape {
    depth: usize,
    /// What the open queries and selects added to the depth.
    open: Vec<usize>,
}

impl Shape {
    fn enter(&mut self, levels: usize) -> ControlFlow<Error> {
        self.depth += levels;
        self.open.push(levels);
        if self.depth > NESTING_MAX { ControlFlow::Break(too_complex()) } else { ControlFlow::Continue(()) }
    }

    fn leave(&mut self) -> ControlFlow<Error> {
        self.depth -= self.open.pop().unwrap_or_default();
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Shape {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        balance_set(&mut query.body);
        self.enter(1 + set_depth(&query.body))
    }

    fn post_visit_query(&mut self, _query: &mut ast::Query) -> ControlFlow<Error> {
        self.leave()
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<Error> {
        self.enter(select.from.iter().map(|item| 1 + item.joins.len()).sum())
    }

    fn post_visit_select(&mut self, _select: &mut ast::Select) -> ControlFlow<Error> {
        self.leave()
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        balance(expr);
        self.enter(1)
    }

    fn post_visit_expr(&mut self, _expr: &mut Expr) -> ControlFlow<Error> {
        self.leave()
    }
}

/// `a AND b AND c …` and `a OR b OR c …` as a tree of logarithmic depth, in the same order.
fn balance(expr: &mut Expr) {
    let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = &*expr else { return };
    let op = op.clone();
    let mut length = 0;
    let mut next = &*expr;
    while let Expr::BinaryOp { left, op: same, .. } = next
        && *same == op
    {
        length += 1;
        next = left;
    }
    if length <= CHAIN_SHORT {
        return;
    }
    let mut terms = Vec::with_capacity(length + 1);
    let mut rest = std::mem::replace(expr, Expr::Identifier(ast::Ident::new("")));
    loop {
        match rest {
            Expr::BinaryOp { left, op: same, right } if same == op => {
                terms.push(*right);
                rest = *left;
            }
            first => {
                terms.push(first);
                break;
            }
        }
    }
    terms.reverse();
    if op == BinaryOperator::Or {
        terms = equalities_as_lists(terms);
    }
    let joined =
        paired(terms, &|left, right| Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) });
    if let Some(joined) = joined {
        *expr = joined;
    }
}

/// `a = 1 OR a = 2 …` is `a IN (1, 2, …)`.
fn equalities_as_lists(terms: Vec<Expr>) -> Vec<Expr> {
    let mut places: HashMap<(String, bool), usize> = HashMap::new();
    let mut out: Vec<Expr> = Vec::new();
    for term in terms {
        let Some(key) = equality_key(&term) else {
            out.push(term);
            continue;
        };
        let Some(place) = places.get(&key).and_then(|place| out.get_mut(*place)) else {
            places.insert(key, out.len());
            out.push(term);
            continue;
        };
        let Expr::BinaryOp { right, .. } = term else { continue };
        if let Expr::InList { list, .. } = place {
            list.push(*right);
        } else if let Expr::BinaryOp { left, right: first, .. } =
            std::mem::replace(place, Expr::Identifier(ast::Ident::new("")))
        {
            *place = Expr::InList { expr: left, list: vec![*first, *right], negated: false };
        }
    }
    out
}

/// The column and the kind of constant of `column = constant`.
fn equality_key(term: &Expr) -> Option<(String, bool)> {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = term else { return None };
    let (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) = left.as_ref() else { return None };
    let Expr::Value(value) = right.as_ref() else { return None };
    match &value.value {
        ast::Value::Number(digits, false) if digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((left.to_string(), true))
        }
        ast::Value::SingleQuotedString(_) => Some((left.to_string(), false)),
        _ => None,
    }
}

/// Chains of one set operation that may be regrouped: UNION and UNION ALL.
fn balance_set(body: &mut Box<SetExpr>) {
    let mut todo = vec![body];
    while let Some(node) = todo.pop() {
        regroup_set(node);
        if let SetExpr::SetOperation { left, right, .. } = node.as_mut() {
            todo.push(left);
            todo.push(right);
        }
    }
}

fn regroup_set(node: &mut Box<SetExpr>) {
    let SetExpr::SetOperation { op: op @ ast::SetOperator::Union, set_quantifier: kind, .. } = node.as_ref() else {
        return;
    };
    let (op, kind) = (*op, *kind);
    let continues = |node: &SetExpr| matches!(node, SetExpr::SetOperation { op: same, set_quantifier, .. } if *same == op && *set_quantifier == kind);
    let mut length = 0;
    let mut next = node.as_ref();
    while continues(next)
        && let SetExpr::SetOperation { left, .. } = next
    {
        length += 1;
        next = left;
    }
    if length <= CHAIN_SHORT {
        return;
    }
    let empty = || Box::new(SetExpr::Table(Box::new(ast::Table { table_name: None, schema_name: None })));
    let mut branches = Vec::with_capacity(length + 1);
    let mut rest = std::mem::replace(node, empty());
    while continues(&rest)
        && let SetExpr::SetOperation { left, right, .. } = *rest
    {
        branches.push(right);
        rest = left;
    }
    branches.push(rest);
    branches.reverse();
    let joined =
        paired(branches, &|left, right| Box::new(SetExpr::SetOperation { left, op, set_quantifier: kind, right }));
    if let Some(joined) = joined {
        *node = joined;
    }
}

/// Joins neighbours until one is left.
fn paired<T>(mut items: Vec<T>, join: &dyn Fn(T, T) -> T) -> Option<T> {
    while items.len() > 1 {
        let mut joined = Vec::with_capacity(items.len().div_ceil(2));
        let mut rest = items.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        items = joined;
    }
    items.pop()
}

/// Levels of set operations.
fn set_depth(body: &SetExpr) -> usize {
    let (mut deepest, mut todo) = (0, vec![(body, 0)]);
    while let Some((node, depth)) = todo.pop() {
        deepest = deepest.max(depth);
        if let SetExpr::SetOperation { left, right, .. } = node {
            todo.push((left, depth + 1));
            todo.push((right, depth + 1));
        }
    }
    deepest
}

//! Arrays, comparisons with their items, subscripts and slices, as DataFusion's functions have them; and operators that it
//! gets wrong.

use datafusion::sql::sqlparser::ast::{AccessExpr, BinaryOperator, Expr, Subscript, UnaryOperator, Value};

use super::rewrite::{binary, call};
use crate::functions::QUANTIFIED;

/// Rewrites an expression.
pub(super) fn rewrite(expr: &mut Expr) {
    let rewritten = match expr {
        Expr::AnyOp { left, compare_op, right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
            any(left, compare_op, right)
        }
        // All items pass if none fails.
        Expr::AllOp { left, compare_op, right } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
            let Some(failing) = opposite(compare_op) else { return };
            let failed = any(left, &failing, right).or_else(|| {
                let (left, right) = (left.clone(), right.clone());
                Some(Expr::AnyOp { left, compare_op: failing, right, is_some: false })
            });
            failed
                .map(|failed| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(failed))) })
        }
        Expr::Substring { expr: text, substring_from: Some(from), substring_for: None, .. } if is_string(from) => {
            let parts = call("regexp_match", vec![text.as_ref().clone(), from.as_ref().clone()]);
            Some(call("array_element", vec![parts, Expr::value(Value::Number("1".to_owned(), false))]))
        }
        // The planner does not see the columns of outer queries in an array; in a call it does.
        Expr::Array(array) if !array.elem.is_empty() && !array.elem.iter().any(is_string) => {
            Some(call("make_array", std::mem::take(&mut array.elem)))
        }
        // `a # a` is not 0 where `a` is NULL, which DataFusion forgets.
        Expr::BinaryOp { left, op: BinaryOperator::PGBitwiseXor, right } => {
            let with = |op| Expr::Nested(Box::new(binary(left.as_ref().clone(), op, right.as_ref().clone())));
            let difference =
                binary(with(BinaryOperator::BitwiseOr), BinaryOperator::Minus, with(BinaryOperator::BitwiseAnd));
            Some(Expr::Nested(Box::new(difference)))
        }
        Expr::CompoundFieldAccess { access_chain, .. } => {
            access_chain.iter_mut().for_each(bound_slice);
            None
        }
        _ => None,
    };
    if let Some(rewritten) = rewritten {
        *expr = rewritten;
    }
}

/// What the planner has no good answer for; it plans `= ANY` itself.
fn any(left: &Expr, op: &BinaryOperator, array: &Expr) -> Option<Expr> {
    let least = || call("array_min", vec![array.clone()]);
    let most = || call("array_max", vec![array.clone()]);
    let compare = |bound: Expr| binary(Expr::Nested(Box::new(left.clone())), op.clone(), bound);
    let comparison = match op {
        BinaryOperator::Lt | BinaryOperator::LtEq => compare(most()),
        BinaryOperator::Gt | BinaryOperator::GtEq => compare(least()),
        BinaryOperator::NotEq => binary(compare(least()), BinaryOperator::Or, compare(most())),
        _ => return None,
    };
    Some(call(QUANTIFIED, vec![comparison, array.clone()]))
}

fn opposite(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}

fn bound_slice(access: &mut AccessExpr) {
    if let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) = access {
        let number = |digits: &str| Expr::value(Value::Number(digits.to_owned(), false));
        lower_bound.get_or_insert_with(|| number("1"));
        upper_bound.get_or_insert_with(|| number("2147483647"));
    }
}

fn is_string(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

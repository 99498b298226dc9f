//! A bare string constant takes the type of what it is compared with, as in PostgreSQL.

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::dialect::spelled_out;
use crate::error::to_datafusion;
use crate::functions::parse_constant;
use crate::types::{INTERVAL, data_type_of_field, is_text};

/// Types string constants in comparisons, `BETWEEN`, `IN` and `CASE`.
#[derive(Debug)]
pub(super) struct UntypedConstants;

impl AnalyzerRule for UntypedConstants {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = config.execution.time_zone.as_deref().unwrap_or_default();
        rewrite_expressions(plan, &|expr, schema| type_constants(expr, schema, zone))
    }

    fn name(&self) -> &'static str {
        "untyped_constants"
    }
}

/// Rewrites every expression of a plan and of its subqueries, bottom up, and keeps the names of columns.
pub(super) fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: &dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            let source = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
            schema.merge(&source);
        }
        let names = NamePreserver::new(&plan);
        let mapped = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|expr| rewrite(expr, &schema))?.update_data(|expr| name.restore(expr)))
        })?;
        if mapped.transformed { mapped.map_data(LogicalPlan::recompute_schema) } else { Ok(mapped) }
    })?;
    Ok(rewritten.data)
}

fn type_constants(expr: Expr, schema: &DFSchema, zone: &str) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let (left, right, changed) = match (text_constant(&left), text_constant(&right)) {
                (None, Some(text)) => {
                    let typed = typed(&text, &left, schema, zone)?;
                    (left, typed.clone().map_or(right, Box::new), typed.is_some())
                }
                (Some(text), None) => {
                    let typed = typed(&text, &right, schema, zone)?;
                    (typed.clone().map_or(left, Box::new), right, typed.is_some())
                }
                _ => (left, right, false),
            };
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        Expr::Between(mut between) => {
            let mut changed = false;
            for bound in [&mut between.low, &mut between.high] {
                if let Some(text) = text_constant(bound)
                    && let Some(typed) = typed(&text, &between.expr, schema, zone)?
                {
                    **bound = typed;
                    changed = true;
                }
            }
            let expr = Expr::Between(between);
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        Expr::InList(mut list) => {
            let mut changed = false;
            for item in &mut list.list {
                if let Some(text) = text_constant(item)
                    && let Some(typed) = typed(&text, &list.expr, schema, zone)?
                {
                    *item = typed;
                    changed = true;
                }
            }
            let expr = Expr::InList(list);
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        Expr::Case(case) => type_whens(case, schema, zone),
        other => Ok(Transformed::no(other)),
    }
}

/// In `CASE x WHEN '…'` the constants take the type of `x`.
fn type_whens(mut case: Case, schema: &DFSchema, zone: &str) -> Result<Transformed<Expr>> {
    let mut changed = false;
    if let Some(subject) = &case.expr {
        for (when, _) in &mut case.when_then_expr {
            if let Some(text) = text_constant(when)
                && let Some(typed) = typed(&text, subject, schema, zone)?
            {
                **when = typed;
                changed = true;
            }
        }
    }
    let expr = Expr::Case(case);
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// Bare constants beside what has a type that DataFusion does not compare with text. A timestamptz waits for the session's
/// zone, which is known later.
pub(super) fn type_sides(left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    let typed = |expr: Expr, other: &Expr| -> Result<Expr> {
        match (text_constant(&expr), other.get_type(schema)) {
            (Some(text), Ok(arrow)) if !matches!(arrow, ArrowType::Timestamp(_, Some(_))) => {
                Ok(typed(&text, other, schema, "UTC")?.unwrap_or(expr))
            }
            _ => Ok(expr),
        }
    };
    let left = typed(left, &right)?;
    let right = typed(right, &left)?;
    Ok((left, right))
}

/// In an array whose other items have a type, bare constants take it.
pub(super) fn type_items(mut items: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    let other = items.iter().find(|item| {
        text_constant(item).is_none() && item.get_type(schema).is_ok_and(|arrow| arrow != ArrowType::Null)
    });
    let Some(other) = other.cloned() else {
        return Ok(items);
    };
    for item in &mut items {
        if let Some(text) = text_constant(item)
            && let Some(typed) = typed(&text, &other, schema, "UTC")?
        {
            *item = typed;
        }
    }
    Ok(items)
}

/// The constant as the other side's type; `None` where that is text or a type without text input here.
fn typed(text: &str, other: &Expr, schema: &DFSchema, zone: &str) -> Result<Option<Expr>> {
    let field = other.to_field(schema)?.1;
    if is_text(field.data_type()) || *field.data_type() == ArrowType::Null {
        return Ok(None);
    }
    if let ArrowType::Interval(_) = field.data_type() {
        let text = spelled_out(text).unwrap_or_else(|| text.to_owned());
        return Ok(Some(Expr::Literal(ScalarValue::Utf8(Some(text)).cast_to(&INTERVAL)?, None)));
    }
    let Some(data_type) = data_type_of_field(&field) else {
        return Ok(None);
    };
    // The Arrow type of the other side may be a variant that tables do not hold; then coercion decides.
    if data_type.to_arrow() != *field.data_type() {
        return Ok(None);
    }
    let scalar = parse_constant(text, &data_type, zone).map_err(to_datafusion)?;
    Ok(Some(Expr::Literal(scalar, None)))
}

fn text_constant(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)),
            _,
        ) => Some(text.clone()),
        _ => None,
    }
}

pub(super) fn is_comparison(op: datafusion::logical_expr::Operator) -> bool {
    use datafusion::logical_expr::Operator;
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

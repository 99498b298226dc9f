//! Functions that PostgreSQL has for more types than DataFusion, and expressions that DataFusion plans for fewer.

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::functions::encoding;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;

use outcrop_types::DataType;

use super::constants::rewrite_expressions;
use crate::functions::{document, octet_length};
use crate::types::{data_type_of_field, is_text};

/// `length(bytea)`, base64 with its padding, CASE over types that are bytes, and jsonb that is chosen.
#[derive(Debug)]
pub(super) struct Overloads;

impl AnalyzerRule for Overloads {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| match expr {
            Expr::ScalarFunction(call) => function(call, schema)?.transform_data(|expr| typed_json(expr, schema)),
            Expr::Case(case) => searched(case, schema)?.transform_data(|expr| typed_json(expr, schema)),
            other => Ok(Transformed::no(other)),
        })
    }

    fn name(&self) -> &'static str {
        "overloads"
    }
}

fn function(mut call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let replaced = match (call.func.name(), call.args.as_mut_slice()) {
        ("character_length", [value]) if is_bytes(&value.get_type(schema)?) => {
            Some(octet_length().call(vec![std::mem::take(value)]))
        }
        ("encode", [value, format]) if text_of(format) == Some("base64") => {
            Some(encoding::encode().call(vec![std::mem::take(value), lit("base64pad")]))
        }
        _ => None,
    };
    Ok(replaced.map_or_else(|| Transformed::no(Expr::ScalarFunction(call)), Transformed::yes))
}

/// `CASE x WHEN a` as `CASE WHEN x = a`: DataFusion looks up values of other types only.
fn searched(mut case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(subject) = case.expr.take() else {
        return Ok(Transformed::no(Expr::Case(case)));
    };
    if subject.is_volatile() || !is_bytes(&subject.get_type(schema)?) {
        case.expr = Some(subject);
        return Ok(Transformed::no(Expr::Case(case)));
    }
    for (when, _) in &mut case.when_then_expr {
        **when = subject.as_ref().clone().eq(std::mem::take(&mut **when));
    }
    Ok(Transformed::yes(Expr::Case(case)))
}

/// Whether an expression is jsonb. What one of several values becomes does not say so in its field.
pub(super) fn is_json(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    let any = |exprs: &mut dyn Iterator<Item = &Expr>| -> Result<bool> {
        for expr in exprs {
            if is_json(expr, schema)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match expr {
        Expr::Case(case) => {
            any(&mut case.when_then_expr.iter().map(|(_, then)| &**then).chain(case.else_expr.as_deref()))
        }
        Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "nullif") => any(&mut call.args.iter()),
        other => Ok(data_type_of_field(&other.to_field(schema)?.1) == Some(DataType::Jsonb)),
    }
}

/// Gives such an expression its type.
fn typed_json(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let chooses = match &expr {
        Expr::Case(_) => true,
        Expr::ScalarFunction(call) => matches!(call.func.name(), "coalesce" | "nullif"),
        _ => false,
    };
    let is_typed = || Ok::<_, DataFusionError>(data_type_of_field(&expr.to_field(schema)?.1) == Some(DataType::Jsonb));
    if !chooses || !is_json(&expr, schema)? || is_typed()? {
        return Ok(Transformed::no(expr));
    }
    Ok(Transformed::yes(document(expr)))
}

fn is_bytes(arrow: &ArrowType) -> bool {
    matches!(arrow, ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_))
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(scalar, _) if is_text(&scalar.data_type()) => ScalarValue::try_as_str(scalar).flatten(),
        _ => None,
    }
}

//! Casts that Arrow would do otherwise than PostgreSQL.

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::constants::rewrite_expressions;
use crate::functions::{ArithmeticOp, CastMode, arithmetic, cast_to, is_arrow_cast};
use crate::types::data_type_of_field;

/// Replaces casts and negations whose errors, rounding or text differ.
#[derive(Debug)]
pub(super) struct PostgresCasts;

impl AnalyzerRule for PostgresCasts {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| rewrite(expr, schema))
    }

    fn name(&self) -> &'static str {
        "postgres_casts"
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(cast) => {
            let from = cast.expr.to_field(schema)?.1;
            let Some(target) = data_type_of_field(&cast.field) else {
                return Ok(Transformed::no(Expr::Cast(cast)));
            };
            if target.to_arrow() != *cast.field.data_type() || is_arrow_cast(from.data_type(), &target) {
                return Ok(Transformed::no(Expr::Cast(cast)));
            }
            Ok(Transformed::yes(cast_to(*cast.expr, &target, CastMode::Explicit)))
        }
        Expr::Negative(inner) => {
            let zero = match inner.get_type(schema)? {
                ArrowType::Int16 => ScalarValue::Int16(Some(0)),
                ArrowType::Int32 => ScalarValue::Int32(Some(0)),
                ArrowType::Int64 => ScalarValue::Int64(Some(0)),
                // A NaN with a sign would have another place in orders.
                ArrowType::Float32 => ScalarValue::Float32(Some(0.0)),
                ArrowType::Float64 => ScalarValue::Float64(Some(0.0)),
                _ => return Ok(Transformed::no(Expr::Negative(inner))),
            };
            Ok(Transformed::yes(arithmetic(ArithmeticOp::Subtract, Expr::Literal(zero, None), *inner)))
        }
        other => Ok(Transformed::no(other)),
    }
}

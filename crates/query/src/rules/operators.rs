//! Operators as PostgreSQL has them.

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_nested::expr_fn::{array_element, array_has_all};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, GetFieldAccess, Operator, lit, when};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use outcrop_types::{Condition, DataType, Error};

use super::constants::{type_items, type_sides};
use super::overloads::is_json;
use crate::dialect::spelled_out;
use crate::error::to_datafusion;
use crate::functions::{ArithmeticOp, CastMode, arithmetic, cast_to, contained, extract, json_operator, moved_moment};
use crate::types::{INTERVAL, data_type_of_arrow, is_text};

/// Arithmetic that never wraps, dates, `||`, and the operators of jsonb.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => ArithmeticOp::Add,
            BinaryOperator::Minus => ArithmeticOp::Subtract,
            BinaryOperator::Multiply => ArithmeticOp::Multiply,
            BinaryOperator::Divide => ArithmeticOp::Divide,
            BinaryOperator::Modulo => ArithmeticOp::Modulo,
            BinaryOperator::StringConcat => return concat(expr, schema),
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => {
                let RawBinaryExpr { op, left, right } = expr;
                let (left, right) = type_sides(left, right, schema)?;
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::AtArrow | BinaryOperator::ArrowAt if has_lists(&expr, schema)? => {
                return Ok(contains(expr));
            }
            _ => return json(expr, schema),
        };
        plan_arithmetic(op, expr, schema)
    }

    fn plan_array_literal(&self, exprs: Vec<Expr>, schema: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Original(type_items(exprs, schema)?))
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        // There are no items before the first; DataFusion counts from the end there.
        let at_end = |key: &Expr| !matches!(key, Expr::Literal(ScalarValue::Int64(Some(at)), _) if *at > 0);
        match expr.field_access {
            GetFieldAccess::ListIndex { key } if at_end(&key) && expr.expr.get_type(schema)?.is_list() => {
                let key = when(key.as_ref().clone().gt(lit(0_i64)), *key).end()?;
                Ok(PlannerResult::Planned(array_element(expr.expr, key)))
            }
            // DataFusion would make another aggregate of both.
            GetFieldAccess::ListIndex { key } if matches!(expr.expr, Expr::AggregateFunction(_)) => {
                Ok(PlannerResult::Planned(array_element(expr.expr, *key)))
            }
            field_access => Ok(PlannerResult::Original(RawFieldAccessExpr { field_access, expr: expr.expr })),
        }
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let [Expr::Literal(field, _), source] = args.as_slice() else {
            return Ok(PlannerResult::Original(args));
        };
        let Some(Some(field)) = field.try_as_str() else {
            return Ok(PlannerResult::Original(args));
        };
        Ok(PlannerResult::Planned(extract(field, source.clone())))
    }
}

fn has_lists(expr: &RawBinaryExpr, schema: &DFSchema) -> Result<bool> {
    Ok(expr.left.get_type(schema)?.is_list() && expr.right.get_type(schema)?.is_list())
}

/// `array @> items`, and `items <@ array`.
fn contains(expr: RawBinaryExpr) -> PlannerResult<RawBinaryExpr> {
    let (array, items) =
        if expr.op == BinaryOperator::AtArrow { (expr.left, expr.right) } else { (expr.right, expr.left) };
    PlannerResult::Planned(contained(array_has_all(array.clone(), items.clone()), array, items))
}

fn plan_arithmetic(op: ArithmeticOp, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let RawBinaryExpr { op: sql_op, left, right } = expr;
    let (left, right) = typed_placeholders(left, right, schema)?;
    let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
    let (left, left_type) = typed_constant(op, left, left_type, &right_type)?;
    let (right, right_type) = typed_constant(op, right, right_type, &left_type)?;
    if is_number(&left_type) && is_number(&right_type) {
        return Ok(PlannerResult::Planned(arithmetic(op, left, right)));
    }
    if let Some(planned) = moments(op, &left, &left_type, &right, &right_type) {
        return Ok(PlannerResult::Planned(planned));
    }
    let planned = match (&left_type, op, &right_type) {
        (ArrowType::Date32, ArithmeticOp::Subtract, ArrowType::Date32)
        | (ArrowType::Timestamp(..), ArithmeticOp::Subtract, ArrowType::Timestamp(..)) => arithmetic(op, left, right),
        (ArrowType::Date32, ArithmeticOp::Add | ArithmeticOp::Subtract, number) if number.is_integer() => {
            arithmetic(op, left, right)
        }
        (number, ArithmeticOp::Add, ArrowType::Date32) if number.is_integer() => arithmetic(op, right, left),
        (ArrowType::Date32, ArithmeticOp::Add | ArithmeticOp::Subtract, ArrowType::Interval(_)) => {
            let operator = if op == ArithmeticOp::Add { Operator::Plus } else { Operator::Minus };
            let left = cast_to(left, &DataType::Timestamp, CastMode::Explicit);
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
        }
        (ArrowType::Interval(_), ArithmeticOp::Add, ArrowType::Date32) => {
            let right = cast_to(right, &DataType::Timestamp, CastMode::Explicit);
            Expr::BinaryExpr(BinaryExpr::new(Box::new(right), Operator::Plus, Box::new(left)))
        }
        (ArrowType::Date32, ArithmeticOp::Subtract, ArrowType::Timestamp(..)) => {
            arithmetic(op, cast_to(left, &DataType::Timestamp, CastMode::Explicit), right)
        }
        (ArrowType::Timestamp(..), ArithmeticOp::Subtract, ArrowType::Date32) => {
            arithmetic(op, left, cast_to(right, &DataType::Timestamp, CastMode::Explicit))
        }
        (ArrowType::Interval(_), ArithmeticOp::Multiply | ArithmeticOp::Divide, number) if is_number(number) => {
            arithmetic(op, left, right)
        }
        (number, ArithmeticOp::Multiply, ArrowType::Interval(_)) if is_number(number) => arithmetic(op, right, left),
        (ArrowType::Timestamp(..) | ArrowType::Time64(_), _, ArrowType::Interval(_))
        | (ArrowType::Interval(_), _, ArrowType::Timestamp(..) | ArrowType::Time64(_) | ArrowType::Interval(_)) => {
            return Ok(PlannerResult::Original(RawBinaryExpr { op: sql_op, left, right }));
        }
        _ => return Err(undefined_operator(&left_type, &sql_op.to_string(), &right_type)),
    };
    Ok(PlannerResult::Planned(planned))
}

/// Arithmetic with a timestamptz: in the session's zone.
fn moments(op: ArithmeticOp, left: &Expr, left_type: &ArrowType, right: &Expr, right_type: &ArrowType) -> Option<Expr> {
    let is_moment = |arrow: &ArrowType| matches!(arrow, ArrowType::Timestamp(_, Some(_)));
    let is_local = |arrow: &ArrowType| matches!(arrow, ArrowType::Timestamp(_, None) | ArrowType::Date32);
    let moment = |expr: &Expr| cast_to(expr.clone(), &DataType::TimestampTz, CastMode::Explicit);
    match (op, is_moment(left_type), is_moment(right_type)) {
        (ArithmeticOp::Subtract, true, false) if is_local(right_type) => {
            Some(arithmetic(op, left.clone(), moment(right)))
        }
        (ArithmeticOp::Subtract, false, true) if is_local(left_type) => {
            Some(arithmetic(op, moment(left), right.clone()))
        }
        (ArithmeticOp::Add | ArithmeticOp::Subtract, true, false) if matches!(right_type, ArrowType::Interval(_)) => {
            Some(moved_moment(left.clone(), right.clone(), op == ArithmeticOp::Subtract))
        }
        (ArithmeticOp::Add, false, true) if matches!(left_type, ArrowType::Interval(_)) => {
            Some(moved_moment(right.clone(), left.clone(), false))
        }
        _ => None,
    }
}

/// `$1 + x` takes the type of `x`.
fn typed_placeholders(left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    let untyped = |expr: &Expr| matches!(expr, Expr::Placeholder(placeholder) if placeholder.field.is_none());
    let with_type = |expr: Expr, other: &Expr| -> Result<Expr> {
        let Expr::Placeholder(mut placeholder) = expr else {
            return Ok(expr);
        };
        placeholder.field = Some(other.to_field(schema)?.1);
        Ok(Expr::Placeholder(placeholder))
    };
    match (untyped(&left), untyped(&right)) {
        (true, false) => Ok((with_type(left, &right)?, right)),
        (false, true) => {
            let right = with_type(right, &left)?;
            Ok((left, right))
        }
        (true, true) => Err(to_datafusion(
            Error::new(Condition::IndeterminateDatatype, "could not determine data type of parameters")
                .with_hint("Add a cast, such as $1::integer."),
        )),
        (false, false) => Ok((left, right)),
    }
}

/// A bare string constant takes the other side's type; with a date or time it is that, or an interval for `+`.
fn typed_constant(op: ArithmeticOp, expr: Expr, own: ArrowType, other: &ArrowType) -> Result<(Expr, ArrowType)> {
    let Expr::Literal(scalar, _) = &expr else {
        return Ok((expr, own));
    };
    if scalar.is_null() && own == ArrowType::Null {
        return Ok((expr, own));
    }
    let (true, Some(Some(text))) = (is_text(&own), scalar.try_as_str()) else {
        return Ok((expr, own));
    };
    let interval = matches!(other, ArrowType::Interval(_))
        || (op == ArithmeticOp::Add && matches!(other, ArrowType::Timestamp(..)));
    if interval {
        let text = spelled_out(text).unwrap_or_else(|| text.to_owned());
        let scalar = ScalarValue::Utf8(Some(text)).cast_to(&INTERVAL)?;
        return Ok((lit(scalar), INTERVAL));
    }
    let Some(data_type) = data_type_of_arrow(other).filter(|_| !is_text(other)) else {
        return Ok((expr, own));
    };
    if data_type == DataType::TimestampTz {
        // Read in the session's zone, which is known when the cast is computed.
        return Ok((cast_to(expr, &data_type, CastMode::Explicit), data_type.to_arrow()));
    }
    let scalar = crate::functions::parse_constant(text, &data_type, "UTC").map_err(to_datafusion)?;
    let arrow = scalar.data_type();
    Ok((lit(scalar), arrow))
}

/// `text || anything` is text.
fn concat(expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let RawBinaryExpr { op, left, right } = expr;
    let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
    let as_text = |expr: Expr, own: &ArrowType, other: &ArrowType| {
        let passes = is_text(own) || *own == ArrowType::Null || own.is_nested() || other.is_nested();
        if passes { expr } else { cast_to(expr, &DataType::Text, CastMode::Explicit) }
    };
    if left_type.is_nested() || right_type.is_nested() || (left_type == right_type && !is_text(&left_type)) {
        return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
    }
    let left = as_text(left, &left_type, &right_type);
    let right = as_text(right, &right_type, &left_type);
    Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
}

fn json(expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let RawBinaryExpr { op, left, right } = expr;
    if is_json(&left, schema)?
        && let Some(planned) = json_operator(&op, &left, &right)
    {
        return Ok(PlannerResult::Planned(planned));
    }
    Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
}

fn is_number(arrow: &ArrowType) -> bool {
    arrow.is_numeric() || *arrow == ArrowType::Null
}

fn undefined_operator(left: &ArrowType, op: &str, right: &ArrowType) -> datafusion::common::DataFusionError {
    let name = |arrow: &ArrowType| match arrow {
        ArrowType::Interval(_) => "interval".to_owned(),
        ArrowType::Null => "unknown".to_owned(),
        other => data_type_of_arrow(other).map_or_else(
            || other.to_string(),
            |data_type| match data_type {
                DataType::Numeric { .. } => "numeric".to_owned(),
                named => named.to_string(),
            },
        ),
    };
    to_datafusion(
        Error::new(
            Condition::UndefinedFunction,
            format!("operator does not exist: {} {op} {}", name(left), name(right)),
        )
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts."),
    )
}

//! Types that meet: where DataFusion would make them another type than PostgreSQL does. A double beside a numeric is a
//! double; a date or timestamp beside a timestamptz is a moment in the session's zone.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, Decimal128Type, Decimal256Type, DecimalType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery, Union};
use datafusion::optimizer::AnalyzerRule;
use outcrop_types::DataType;

use super::constants::{is_comparison, rewrite_expressions};
use crate::functions::{CastMode, cast_to};

/// Casts the sides of comparisons, and the branches of what has one type.
#[derive(Debug)]
pub(super) struct CommonTypes;

impl AnalyzerRule for CommonTypes {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut changed = false;
        let plan = plan.transform_up_with_subqueries(|plan| {
            // What a branch has become, the nodes above it see.
            let plan = if changed { plan.recompute_schema()? } else { plan };
            let unified = unify_inputs(plan)?;
            changed |= unified.transformed;
            Ok(unified)
        })?;
        rewrite_expressions(plan.data, &unify)
    }

    fn name(&self) -> &'static str {
        "common_types"
    }
}

/// What types become together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    /// Compared: any float makes doubles of all.
    Compared,
    /// Alternatives of one result: reals stay reals beside numerics.
    Alternatives,
}

fn common<'a>(types: impl IntoIterator<Item = &'a ArrowType>, together: Together) -> Option<DataType> {
    let (mut double, mut real, mut numeric, mut moment, mut local) = (false, false, false, false, false);
    let (mut bytes, mut other_bytes) = (false, false);
    for arrow in types {
        double |= *arrow == ArrowType::Float64;
        real |= *arrow == ArrowType::Float32;
        numeric |= is_numeric(arrow);
        moment |= matches!(arrow, ArrowType::Timestamp(_, Some(_)));
        local |= matches!(arrow, ArrowType::Timestamp(_, None) | ArrowType::Date32);
        bytes |= *arrow == ArrowType::BinaryView;
        other_bytes |= matches!(arrow, ArrowType::Binary | ArrowType::LargeBinary);
    }
    if bytes && other_bytes {
        return Some(DataType::Bytea);
    }
    match (double || real, numeric, moment && local) {
        (true, true, _) if double || together == Together::Compared => Some(DataType::Float8),
        (true, true, _) => Some(DataType::Float4),
        (_, _, true) => Some(DataType::TimestampTz),
        _ => None,
    }
}

fn is_numeric(arrow: &ArrowType) -> bool {
    matches!(
        arrow,
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) | ArrowType::Decimal128(..) | ArrowType::Decimal256(..)
    )
}

/// The expression as the common type, if it is of a type that would become another.
fn converted(expr: Expr, own: &ArrowType, target: &DataType) -> Expr {
    let meant = match target {
        DataType::TimestampTz => matches!(own, ArrowType::Timestamp(_, None) | ArrowType::Date32),
        DataType::Bytea => matches!(own, ArrowType::Binary | ArrowType::LargeBinary),
        _ => is_numeric(own) || matches!(own, ArrowType::Float32 | ArrowType::Float64),
    };
    if !meant || *own == target.to_arrow() {
        return expr;
    }
    match &expr {
        Expr::Literal(scalar, _) => match float_literal(scalar, target) {
            Some(literal) => Expr::Literal(literal, None),
            None => cast_to(expr, target, CastMode::Explicit),
        },
        _ => cast_to(expr, target, CastMode::Explicit),
    }
}

/// The float nearest to the digits of a numeric constant.
fn float_literal(scalar: &ScalarValue, target: &DataType) -> Option<ScalarValue> {
    let digits = match scalar {
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            Decimal128Type::format_decimal(*value, *precision, *scale)
        }
        ScalarValue::Decimal256(Some(value), precision, scale) => {
            Decimal256Type::format_decimal(*value, *precision, *scale)
        }
        _ => return None,
    };
    match target {
        DataType::Float8 => {
            digits.parse().ok().filter(|value: &f64| value.is_finite()).map(|v| ScalarValue::Float64(Some(v)))
        }
        DataType::Float4 => {
            digits.parse().ok().filter(|value: &f32| value.is_finite()).map(|v| ScalarValue::Float32(Some(v)))
        }
        _ => None,
    }
}

/// Converts all of them in place; whether any was.
fn unify_all(exprs: &mut [&mut Expr], schema: &DFSchema, together: Together) -> bool {
    // What has no type yet, DataFusion reports when it coerces.
    let Ok(types) = exprs.iter().map(|expr| expr.get_type(schema)).collect::<Result<Vec<_>>>() else {
        return false;
    };
    let Some(target) = common(&types, together) else {
        return false;
    };
    for (expr, own) in exprs.iter_mut().zip(&types) {
        let taken = std::mem::take(&mut **expr);
        **expr = converted(taken, own, &target);
    }
    true
}

fn unify(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (expr, changed) = match expr {
        Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) if is_comparison(op) => {
            let changed = unify_all(&mut [&mut *left, &mut *right], schema, Together::Compared);
            (Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
        }
        Expr::Between(mut between) => {
            let sides = &mut [&mut *between.expr, &mut *between.low, &mut *between.high];
            let changed = unify_all(sides, schema, Together::Compared);
            (Expr::Between(between), changed)
        }
        Expr::InList(mut list) => {
            let mut items: Vec<&mut Expr> = std::iter::once(&mut *list.expr).chain(&mut list.list).collect();
            let changed = unify_all(&mut items, schema, Together::Compared);
            (Expr::InList(list), changed)
        }
        Expr::Case(case) => unify_case(case, schema),
        Expr::ScalarFunction(call) => unify_call(call, schema),
        Expr::InSubquery(mut within) => {
            let (own, field) = (within.expr.get_type(schema)?, within.subquery.subquery.schema().fields().first());
            let target = field.and_then(|field| common([&own, field.data_type()], Together::Compared));
            if let Some(target) = &target {
                let taken = std::mem::take(&mut *within.expr);
                *within.expr = converted(taken, &own, target);
                let plan = Arc::unwrap_or_clone(within.subquery.subquery);
                let plan = converted_columns(plan, &[Some(target.clone())])?;
                within.subquery = Subquery { subquery: Arc::new(plan), ..within.subquery };
            }
            (Expr::InSubquery(within), target.is_some())
        }
        other => (other, false),
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn unify_case(mut case: Case, schema: &DFSchema) -> (Expr, bool) {
    let mut changed = false;
    if let Some(subject) = &mut case.expr {
        let whens = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
        let mut compared: Vec<&mut Expr> = std::iter::once(&mut **subject).chain(whens).collect();
        changed |= unify_all(&mut compared, schema, Together::Compared);
    }
    let thens = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
    let mut results: Vec<&mut Expr> = thens.chain(case.else_expr.as_deref_mut()).collect();
    changed |= unify_all(&mut results, schema, Together::Alternatives);
    (Expr::Case(case), changed)
}

fn unify_call(mut call: ScalarFunction, schema: &DFSchema) -> (Expr, bool) {
    let changed = match call.func.name() {
        "coalesce" | "greatest" | "least" => {
            let mut args: Vec<&mut Expr> = call.args.iter_mut().collect();
            unify_all(&mut args, schema, Together::Alternatives)
        }
        _ => false,
    };
    (Expr::ScalarFunction(call), changed)
}

/// Branches of UNION, and the columns that USING joins by.
fn unify_inputs(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Union(union) => {
            let width = union.schema.fields().len();
            let targets: Vec<Option<DataType>> = (0..width)
                .map(|at| {
                    let types =
                        union.inputs.iter().filter_map(|input| Some(input.schema().fields().get(at)?.data_type()));
                    common(types, Together::Alternatives)
                })
                .collect();
            // DataFusion coerces the inputs to what the union had before: a branch that was converted makes it another.
            let is_stale = union.inputs.first().is_some_and(|first| {
                let types = |schema: &DFSchema| -> Vec<ArrowType> {
                    schema.fields().iter().map(|field| field.data_type().clone()).collect()
                };
                types(first.schema()) != types(&union.schema)
            });
            if !is_stale && targets.iter().all(Option::is_none) {
                return Ok(Transformed::no(LogicalPlan::Union(union)));
            }
            let inputs = union.inputs.into_iter().map(Arc::unwrap_or_clone);
            let inputs = inputs.map(|input| converted_columns(input, &targets).map(Arc::new));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
        }
        LogicalPlan::Join(mut join) => {
            let mut changed = false;
            for (left, right) in &mut join.on {
                let types = (left.get_type(join.left.schema())?, right.get_type(join.right.schema())?);
                if let Some(target) = common([&types.0, &types.1], Together::Compared) {
                    *left = converted(std::mem::take(left), &types.0, &target);
                    *right = converted(std::mem::take(right), &types.1, &target);
                    changed = true;
                }
            }
            let plan = LogicalPlan::Join(join);
            Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The plan with some columns as other types, under their names.
fn converted_columns(plan: LogicalPlan, targets: &[Option<DataType>]) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let fields = plan.schema().fields().clone();
    let expressions: Vec<Expr> = columns
        .into_iter()
        .zip(&fields)
        .zip(targets)
        .map(|((column, field), target)| match target {
            Some(target) if *field.data_type() != target.to_arrow() => {
                let (relation, name) = (column.relation.clone(), column.name.clone());
                converted(Expr::Column(column), field.data_type(), target).alias_qualified(relation, name)
            }
            _ => Expr::Column(column),
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(expressions)?.build()
}

//! Types of integer constants: integer where it fits, else bigint, else numeric.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    LimitClause, OrderByKind, Query, Select, UnaryOperator, Value, WindowFrameBound, WindowType,
};

use super::rewrite::simple_name;

/// Wraps an integer constant in the cast that gives it its type. DataFusion reads every integer as bigint.
pub(super) fn type_integer(expr: &mut Expr) {
    let typed = match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) if digits.contains(['e', 'E']) => {
                *expr = written_out(digits);
                return;
            }
            Value::Number(digits, _) => integer_type(digits, false).map(|data_type| (expr.clone(), data_type)),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => typed_number(inner).and_then(|number| {
            let Expr::Value(value) = number else {
                return None;
            };
            let Value::Number(digits, _) = &value.value else {
                return None;
            };
            let data_type = match integer_type(digits, true) {
                Some(data_type) => data_type,
                None if digits.bytes().all(|byte| byte.is_ascii_digit()) => SqlType::BigInt(None),
                None => return None,
            };
            let negated = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number.clone()) };
            Some((negated, data_type))
        }),
        _ => None,
    };
    if let Some((number, data_type)) = typed {
        *expr = Expr::Cast { kind: CastKind::Cast, expr: Box::new(number), data_type, array: false, format: None };
    }
}

/// Most digits of a constant that is written out.
const WRITTEN_DIGITS_MAX: usize = 38;

/// `1e3` is numeric 1000; what has too many digits for a numeric is a double.
fn written_out(number: &str) -> Expr {
    let double = || Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(number.to_owned()))),
        data_type: SqlType::DoublePrecision,
        array: false,
        format: None,
    };
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return double();
    };
    let Ok(exponent) = exponent.parse::<i32>() else {
        return double();
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let behind = i32::try_from(fraction.len()).unwrap_or(i32::MAX).saturating_sub(exponent);
    let text = match usize::try_from(behind) {
        Ok(behind) if behind.max(digits.len()) < WRITTEN_DIGITS_MAX => {
            let padded = format!("{digits:0>width$}", width = behind + 1);
            let (whole, fraction) = padded.split_at(padded.len() - behind);
            if fraction.is_empty() { format!("{whole}.") } else { format!("{whole}.{fraction}") }
        }
        Err(_negative)
            if digits.len().saturating_add(usize::try_from(behind.unsigned_abs()).unwrap_or(usize::MAX))
                <= WRITTEN_DIGITS_MAX =>
        {
            format!("{digits}{}.", "0".repeat(usize::try_from(behind.unsigned_abs()).unwrap_or(usize::MAX)))
        }
        Ok(_) | Err(_) => return double(),
    };
    Expr::value(Value::Number(text, false))
}

/// Positions and counts stay bare numbers: `LIMIT 5`, `ORDER BY 1`, `GROUP BY 2`.
pub(super) fn untype_query(query: &mut Query) {
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            limit.iter_mut().for_each(untype);
            offset.iter_mut().for_each(|offset| untype(&mut offset.value));
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            untype(offset);
            untype(limit);
        }
        None => {}
    }
    if let Some(quantity) = query.fetch.as_mut().and_then(|fetch| fetch.quantity.as_mut()) {
        untype(quantity);
    }
    if let Some(order_by) = &mut query.order_by
        && let OrderByKind::Expressions(expressions) = &mut order_by.kind
    {
        expressions.iter_mut().for_each(|order| untype(&mut order.expr));
    }
}

/// See [`untype_query`].
pub(super) fn untype_select(select: &mut Select) {
    if let GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
        expressions.iter_mut().for_each(untype);
    }
}

/// Bounds of window frames must be bare numbers.
pub(super) fn untype_window(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    let Some(WindowType::WindowSpec(window)) = &mut function.over else {
        return;
    };
    if let Some(frame) = &mut window.window_frame {
        for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
            match bound {
                WindowFrameBound::Preceding(Some(rows)) | WindowFrameBound::Following(Some(rows)) => untype(rows),
                WindowFrameBound::Preceding(None)
                | WindowFrameBound::Following(None)
                | WindowFrameBound::CurrentRow => {}
            }
        }
    }
}

/// Functions whose integers DataFusion counts without a sign.
const COUNTS: &[(&str, SqlType)] = &[
    ("row_number", SqlType::BigInt(None)),
    ("rank", SqlType::BigInt(None)),
    ("dense_rank", SqlType::BigInt(None)),
    ("regr_count", SqlType::BigInt(None)),
    ("ntile", SqlType::Int4(None)),
    ("array_length", SqlType::Int4(None)),
    ("array_ndims", SqlType::Int4(None)),
    ("array_position", SqlType::Int4(None)),
    ("array_upper", SqlType::Int4(None)),
    ("cardinality", SqlType::Int4(None)),
];

/// Gives counts PostgreSQL's types.
pub(super) fn type_count(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    let name = simple_name(&function.name);
    if let Some((_, data_type)) = COUNTS.iter().find(|(counts, _)| Some(*counts) == name.as_deref()) {
        let data_type = data_type.clone();
        let count = Box::new(std::mem::replace(expr, Expr::value(Value::Null)));
        *expr = Expr::Cast { kind: CastKind::Cast, expr: count, data_type, array: false, format: None };
    }
}

/// The digits of `round` and `trunc` decide the type of the result, so they must be visible as a constant.
pub(super) fn untype_digits(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    let name = simple_name(&function.name);
    if !matches!(name.as_deref(), Some("round" | "trunc")) {
        return;
    }
    if let FunctionArguments::List(list) = &mut function.args
        && let [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(digits))] = list.args.as_mut_slice()
    {
        match digits {
            Expr::Cast { expr: inner, .. } if is_integer(inner) => {
                let inner = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
                *digits = inner;
            }
            _ => {}
        }
    }
}

fn is_integer(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_integer(expr),
        _ => false,
    }
}

fn untype(expr: &mut Expr) {
    if let Some(number) = typed_number(expr) {
        *expr = number.clone();
    }
}

/// The constant inside the cast of [`type_integer`], or a bare one.
fn typed_number(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Value(value) if matches!(value.value, Value::Number(..)) => Some(expr),
        Expr::Cast {
            kind: CastKind::Cast, expr: inner, data_type: SqlType::Int4(None) | SqlType::Numeric(_), ..
        } => match inner.as_ref() {
            Expr::Value(value) if matches!(value.value, Value::Number(..)) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}

/// The type that an integer constant needs told: none for bigint and for what is not an integer.
fn integer_type(digits: &str, negative: bool) -> Option<SqlType> {
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let signed = if negative { format!("-{digits}") } else { digits.clone() };
    match signed.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => Some(SqlType::Int4(None)),
        Ok(_) => None,
        Err(_too_large) => {
            let precision = u64::try_from(digits.trim_start_matches('0').len()).ok()?;
            Some(SqlType::Numeric(ExactNumberInfo::PrecisionAndScale(precision, 0)))
        }
    }
}

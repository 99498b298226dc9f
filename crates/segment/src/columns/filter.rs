//! Predicates as expressions of Vortex, where both mean exactly the same.

use outcrop_types::{ColumnId, CompareOp, DataType, Predicate, Value};
use vortex::array::expr::{BoundExpression, Expression, and_collect, is_not_null, is_null, lit, or_collect, root};
use vortex::array::expr::{eq, gt, gt_eq, lt, lt_eq, not_eq};
use vortex::dtype::{DType, PType};
use vortex::scalar::{DecimalValue, PValue, Scalar, ScalarValue};

/// Longest IN list that is evaluated on compressed data; a longer one is left to the caller.
const IN_VALUES_MAX: usize = 32;

/// The parts of a predicate of which every row must satisfy each.
pub(crate) fn conjuncts(predicate: &Predicate) -> Vec<&Predicate> {
    match predicate {
        Predicate::And(parts) => parts.iter().flat_map(conjuncts).collect(),
        Predicate::Compare(..)
        | Predicate::In(..)
        | Predicate::IsNull(_)
        | Predicate::IsNotNull(_)
        | Predicate::Or(_) => vec![predicate],
    }
}

/// The column that alone decides `predicate`, if there is one.
pub(crate) fn single_column(predicate: &Predicate) -> Option<ColumnId> {
    match *predicate.columns() {
        [column] => Some(column),
        _ => None,
    }
}

/// `predicate`, which reads one column, over values of that column. `None` where Vortex and SQL differ or might: floats
/// (NaN is greatest in SQL), jsonb and uuid, constants that the column's type cannot hold.
pub(super) fn bind(predicate: &Predicate, data_type: &DataType, dtype: &DType) -> Option<BoundExpression> {
    let expression = expression(predicate, data_type, dtype)?;
    expression.bind(dtype).and_then(|bound| bound.optimize_recursive()).ok()
}

fn expression(predicate: &Predicate, data_type: &DataType, dtype: &DType) -> Option<Expression> {
    match predicate {
        Predicate::Compare(_, op, value) => {
            let value = lit(scalar(value, data_type, dtype)?);
            Some(match op {
                CompareOp::Equal => eq(root(), value),
                CompareOp::NotEqual => not_eq(root(), value),
                CompareOp::Less => lt(root(), value),
                CompareOp::LessOrEqual => lt_eq(root(), value),
                CompareOp::Greater => gt(root(), value),
                CompareOp::GreaterOrEqual => gt_eq(root(), value),
            })
        }
        Predicate::In(_, values) if values.len() <= IN_VALUES_MAX => {
            let equals = values.iter().map(|value| Some(eq(root(), lit(scalar(value, data_type, dtype)?))));
            or_collect(equals.collect::<Option<Vec<_>>>()?)
        }
        Predicate::In(..) => None,
        Predicate::IsNull(_) => Some(is_null(root())),
        Predicate::IsNotNull(_) => Some(is_not_null(root())),
        Predicate::And(parts) => and_collect(expressions(parts, data_type, dtype)?),
        Predicate::Or(parts) => or_collect(expressions(parts, data_type, dtype)?),
    }
}

fn expressions(parts: &[Predicate], data_type: &DataType, dtype: &DType) -> Option<Vec<Expression>> {
    parts.iter().map(|part| expression(part, data_type, dtype)).collect()
}

/// A constant in the type that the column was written in.
fn scalar(value: &Value, data_type: &DataType, dtype: &DType) -> Option<Scalar> {
    let dtype = dtype.as_nonnullable();
    let value = match (&value.narrowed(data_type)?, data_type) {
        (Value::Bool(v), DataType::Bool) => ScalarValue::Bool(*v),
        (Value::Int(v), DataType::Int2 | DataType::Int4 | DataType::Int8) => {
            ScalarValue::Primitive(integer(*v, &dtype)?)
        }
        (Value::Decimal(digits, value_scale), DataType::Numeric { precision, scale })
            if *precision <= 38 && value_scale == scale =>
        {
            ScalarValue::Decimal(DecimalValue::I128(*digits))
        }
        (Value::Text(v), DataType::Text | DataType::Varchar { .. }) => ScalarValue::Utf8(v.as_str().into()),
        (Value::Bytes(v), DataType::Bytea) => ScalarValue::Binary(v.clone().into()),
        (Value::Date(v), DataType::Date) => ScalarValue::Primitive(PValue::I32(*v)),
        (Value::Time(v), DataType::Time)
        | (Value::Timestamp(v), DataType::Timestamp)
        | (Value::TimestampTz(v), DataType::TimestampTz) => ScalarValue::Primitive(PValue::I64(*v)),
        (
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(..)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::Timestamp(_)
            | Value::TimestampTz(_)
            | Value::Uuid(_)
            | Value::Array(_),
            _,
        ) => return None,
    };
    Scalar::try_new(dtype, Some(value)).ok()
}

fn integer(value: i64, dtype: &DType) -> Option<PValue> {
    let DType::Primitive(ptype, _) = dtype else { return None };
    if *ptype == PType::I16 {
        return i16::try_from(value).ok().map(PValue::I16);
    }
    if *ptype == PType::I32 {
        return i32::try_from(value).ok().map(PValue::I32);
    }
    (*ptype == PType::I64).then_some(PValue::I64(value))
}

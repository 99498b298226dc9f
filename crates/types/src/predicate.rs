//! Conditions that storage can use to skip rows. Storage may keep a row that does not match; it never drops one that does.

use std::cmp::Ordering;

use crate::{ColumnId, Value};

/// How a column is compared with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A condition over one row, with SQL's three-valued logic: a row is wanted only where it is true.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Column compared with a constant of the column's type; the constant is not NULL.
    Compare(ColumnId, CompareOp, Value),
    /// Column equals one of the constants; none is NULL.
    In(ColumnId, Vec<Value>),
    /// Column is NULL.
    IsNull(ColumnId),
    /// Column is not NULL.
    IsNotNull(ColumnId),
    /// All of them.
    And(Vec<Predicate>),
    /// Any of them.
    Or(Vec<Predicate>),
}

/// What is known of one column over some rows, without reading them. Bounds exclude and prove nothing: they need not be
/// values of the rows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// No value is less; `None` when unknown.
    pub min: Option<&'a Value>,
    /// No value is greater; `None` when unknown.
    pub max: Option<&'a Value>,
    /// Rows that are NULL.
    pub null_count: u32,
    /// All rows.
    pub rows: u32,
}

impl Bounds<'_> {
    fn may_compare(&self, op: CompareOp, value: &Value) -> bool {
        if self.null_count >= self.rows {
            return false;
        }
        // An unknown bound, or one without an order to the constant, excludes nothing.
        let min = self.min.and_then(|min| min.compare(value));
        let max = self.max.and_then(|max| max.compare(value));
        match op {
            CompareOp::Equal => min != Some(Ordering::Greater) && max != Some(Ordering::Less),
            CompareOp::NotEqual => !(min == Some(Ordering::Equal) && max == Some(Ordering::Equal)),
            CompareOp::Less => min.is_none_or(Ordering::is_lt),
            CompareOp::LessOrEqual => min.is_none_or(Ordering::is_le),
            CompareOp::Greater => max.is_none_or(Ordering::is_gt),
            CompareOp::GreaterOrEqual => max.is_none_or(Ordering::is_ge),
        }
    }
}

impl Predicate {
    /// Whether some of the rows that `bounds` describes may satisfy it. `false` only when none can; a column without
    /// bounds may hold anything.
    pub fn may_match<'a>(&self, bounds: &impl Fn(ColumnId) -> Option<Bounds<'a>>) -> bool {
        match self {
            Self::Compare(column, op, value) => bounds(*column).is_none_or(|bounds| bounds.may_compare(*op, value)),
            Self::In(column, values) => match bounds(*column) {
                Some(bounds) => values.iter().any(|value| bounds.may_compare(CompareOp::Equal, value)),
                None => !values.is_empty(),
            },
            Self::IsNull(column) => bounds(*column).is_none_or(|bounds| bounds.null_count > 0),
            Self::IsNotNull(column) => bounds(*column).is_none_or(|bounds| bounds.null_count < bounds.rows),
            Self::And(parts) => parts.iter().all(|part| part.may_match(bounds)),
            Self::Or(parts) => parts.iter().any(|part| part.may_match(bounds)),
        }
    }

    /// The columns that the predicate reads, sorted and distinct.
    pub fn columns(&self) -> Vec<ColumnId> {
        let mut columns = Vec::new();
        self.collect_columns(&mut columns);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn collect_columns(&self, out: &mut Vec<ColumnId>) {
        match self {
            Self::Compare(column, _, _) | Self::In(column, _) | Self::IsNull(column) | Self::IsNotNull(column) => {
                out.push(*column);
            }
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect_columns(out)),
        }
    }
}

#[cfg(test)]
mod tests;

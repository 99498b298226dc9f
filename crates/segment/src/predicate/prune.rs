//! Whether a block may hold a row for which a predicate is true.

use std::cmp::Ordering;

use outcrop_types::{ColumnId, CompareOp, Predicate, Value};

use super::compare::compare;

/// What is known of one column in one block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownZone<'a> {
    /// No value of the block is less; `None` when unknown.
    pub(crate) min: Option<&'a Value>,
    /// No value of the block is greater; `None` when unknown.
    pub(crate) max: Option<&'a Value>,
    /// NULLs of the block.
    pub(crate) null_count: u32,
    /// Rows of the block.
    pub(crate) rows: u32,
}

/// Whether some row of a block may satisfy `predicate`, given what `zone` knows of its columns. Answers `false` only when
/// no row can; a column that `zone` does not know may hold anything.
pub(crate) fn may_match<'a>(predicate: &Predicate, zone: &impl Fn(ColumnId) -> Option<KnownZone<'a>>) -> bool {
    match predicate {
        Predicate::Compare(column, op, value) => zone(*column).is_none_or(|zone| zone.may_compare(*op, value)),
        Predicate::In(column, values) => match zone(*column) {
            Some(zone) => values.iter().any(|value| zone.may_compare(CompareOp::Equal, value)),
            None => !values.is_empty(),
        },
        Predicate::IsNull(column) => zone(*column).is_none_or(|zone| zone.null_count > 0),
        Predicate::IsNotNull(column) => zone(*column).is_none_or(|zone| zone.null_count < zone.rows),
        Predicate::And(parts) => parts.iter().all(|part| may_match(part, zone)),
        Predicate::Or(parts) => parts.iter().any(|part| may_match(part, zone)),
    }
}

impl KnownZone<'_> {
    fn may_compare(&self, op: CompareOp, value: &Value) -> bool {
        if self.null_count >= self.rows {
            return false;
        }
        // An unknown bound, or one without an order to the constant, excludes nothing.
        let min = self.min.and_then(|min| compare(min, value));
        let max = self.max.and_then(|max| compare(max, value));
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

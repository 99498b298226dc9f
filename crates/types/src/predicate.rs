//! Conditions that storage can use to skip rows. Storage may keep a row that does not match; it never drops one that does.

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

impl Predicate {
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

//! Skeleton until the merge.
use outcrop_types::ColumnId;
/// A column of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanColumn {
    /// A column of the table.
    Column(ColumnId),
    /// `__unit`, UInt64: the row's unit.
    Unit,
    /// `__row`, UInt32: the row's number in its unit.
    Row,
    /// `__seq`, UInt64: the commit that inserted the row.
    CommitSeq,
}

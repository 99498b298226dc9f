//! Which tables somebody asked to compact.

use std::collections::BTreeSet;

use outcrop_types::TableId;

/// The tables of all requests that are not done yet.
#[derive(Debug, Default)]
pub(crate) enum AskedTables {
    #[default]
    None,
    Some(BTreeSet<TableId>),
    All,
}

impl AskedTables {
    /// A request for one table, or for all.
    pub(crate) fn add(&mut self, table: Option<TableId>) {
        *self = match (std::mem::take(self), table) {
            (Self::All, _) | (_, None) => Self::All,
            (Self::None, Some(table)) => Self::Some(BTreeSet::from([table])),
            (Self::Some(mut tables), Some(table)) => {
                tables.insert(table);
                Self::Some(tables)
            }
        };
    }

    /// Whether a table is meant.
    pub(crate) fn contains(&self, table: TableId) -> bool {
        match self {
            Self::None => false,
            Self::Some(tables) => tables.contains(&table),
            Self::All => true,
        }
    }
}

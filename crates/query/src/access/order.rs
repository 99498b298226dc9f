//! The order in which a top-k query reads: first where its rows most likely are, so that its filter soon excludes the rest.

use std::cmp::Ordering;
use std::fmt;

use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use outcrop_engine::{Morsel, ScanColumn, TableSnapshot};
use outcrop_types::{ColumnId, Value};

/// What the rows are sorted by first. A hint: the sort above stays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScanOrder {
    column: ColumnId,
    name: String,
    descending: bool,
    nulls_first: bool,
}

/// Where a piece stands, by what is known of its rows.
#[derive(Debug)]
enum Rank {
    /// Anything may be in it, or what is wanted first is.
    First,
    /// Its best value.
    Value(Value),
    /// Only NULLs that are wanted last.
    Last,
}

impl ScanOrder {
    /// The order that the first of `order` asks for, if it is a column of the scan.
    pub(super) fn of(order: &[PhysicalSortExpr], columns: &[ScanColumn]) -> Option<Self> {
        let first = order.first()?;
        let column = first.expr.downcast_ref::<Column>()?;
        let Some(ScanColumn::Column(id)) = columns.get(column.index()) else { return None };
        Some(Self {
            column: *id,
            name: column.name().to_owned(),
            descending: first.options.descending,
            nulls_first: first.options.nulls_first,
        })
    }

    /// Brings the pieces that most likely hold the first rows to the front.
    pub(super) fn sort(&self, table: &TableSnapshot, morsels: Vec<Morsel>) -> Vec<Morsel> {
        let mut ranked: Vec<(Rank, Morsel)> =
            morsels.into_iter().map(|morsel| (self.rank(table, &morsel), morsel)).collect();
        ranked.sort_by(|(a, _), (b, _)| self.compare(a, b));
        ranked.into_iter().map(|(_, morsel)| morsel).collect()
    }

    fn rank(&self, table: &TableSnapshot, morsel: &Morsel) -> Rank {
        let Some(known) = table.statistics_of(morsel, self.column) else { return Rank::First };
        if self.nulls_first && known.null_count != Some(0) {
            return Rank::First;
        }
        let rows = u64::try_from(morsel.rows.len()).unwrap_or(u64::MAX);
        match if self.descending { known.max } else { known.min } {
            Some(value) => Rank::Value(value),
            None if known.null_count >= Some(rows) => Rank::Last,
            None => Rank::First,
        }
    }

    fn compare(&self, a: &Rank, b: &Rank) -> Ordering {
        match (a, b) {
            // Values of one column have an order.
            (Rank::Value(a), Rank::Value(b)) => {
                let order = a.compare(b).unwrap_or(Ordering::Equal);
                if self.descending { order.reverse() } else { order }
            }
            _ => a.class().cmp(&b.class()),
        }
    }
}

impl Rank {
    fn class(&self) -> u8 {
        match self {
            Self::First => 0,
            Self::Value(_) => 1,
            Self::Last => 2,
        }
    }
}

impl fmt::Display for ScanOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, if self.descending { "DESC" } else { "ASC" })
    }
}

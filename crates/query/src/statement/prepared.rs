//! A planned statement.

use std::sync::Arc;

use outcrop_types::{DataType, TableName};

use crate::dml::ChangeCache;
use crate::lookup::KeyLookup;
use crate::planning::KeptQuery;
use crate::result::ResultColumn;
use crate::statement::{Body, Statement, StatementKind};

/// A statement whose names and types are known. Holds no snapshot: each execution sees the newest data. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    statement: Statement,
    parameters: Vec<DataType>,
    columns: Option<Vec<ResultColumn>>,
    plan: Plan,
    tables: Vec<TableName>,
    lookup: Option<KeyLookup>,
    change: ChangeCache,
}

/// What preparing left for the execution.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The statement is executed from its text form.
    Direct,
    /// A query, bound again to each execution's snapshot.
    Query(KeptQuery),
}

/// Measured: 160 to 280 for long statements of values, conditions and columns.
const PLAN_BYTES_PER_BYTE: usize = 256;
/// Measured for `SELECT 1`.
const PLAN_BYTES_MIN: usize = 6 << 10;

impl Prepared {
    pub(crate) fn new(
        statement: Statement,
        parameters: Vec<DataType>,
        columns: Option<Vec<ResultColumn>>,
        plan: Plan,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                statement,
                parameters,
                columns,
                plan,
                tables: Vec::new(),
                lookup: None,
                change: ChangeCache::new(),
            }),
        }
    }

    /// With the tables that the statement names.
    #[must_use]
    pub(super) fn naming(mut self, tables: Vec<TableName>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.tables = tables;
        }
        self
    }

    /// With the look-up that the query is.
    #[must_use]
    pub(super) fn looking_up(mut self, lookup: Option<KeyLookup>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.lookup = lookup;
        }
        self
    }

    pub(super) fn lookup(&self) -> Option<&KeyLookup> {
        self.inner.lookup.as_ref()
    }

    /// The tables that the statement reads or writes, each once; not those of system catalogs.
    pub fn tables(&self) -> &[TableName] {
        &self.inner.tables
    }

    /// Types of `$1`, `$2`, …
    pub fn parameters(&self) -> &[DataType] {
        &self.inner.parameters
    }

    /// What rows have, or `None` for statements without rows.
    pub fn columns(&self) -> Option<&[ResultColumn]> {
        self.inner.columns.as_deref()
    }

    /// Whether it changes tables or the catalog.
    pub fn writes(&self) -> bool {
        self.inner.statement.writes()
    }

    /// What it is.
    pub fn kind(&self) -> StatementKind {
        self.inner.statement.kind()
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.inner.statement.text()
    }

    /// About what it takes in memory: its tree and plan are much larger than its text, and the message that it came in
    /// stays with it.
    pub fn estimated_bytes(&self) -> usize {
        let text = match self.inner.statement.body() {
            Body::Literal(literal) => literal.rows().bytes(),
            Body::Sql(_) | Body::Copy(_) | Body::Setting(_) => self.text().len().saturating_mul(PLAN_BYTES_PER_BYTE),
        };
        text.saturating_add(self.inner.statement.source().len()).saturating_add(PLAN_BYTES_MIN)
    }

    /// The statement that was prepared.
    pub fn statement(&self) -> &Statement {
        &self.inner.statement
    }

    /// SET and WHERE of a write, bound.
    pub(crate) fn change(&self) -> &ChangeCache {
        &self.inner.change
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.inner.plan
    }
}

//! Which tables a statement reads or writes.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Query, Visit, Visitor};
use outcrop_types::TableName;

use super::names::{WrittenName, name_of};
use crate::session::Work;

/// The tables that a statement names, each once, in the order of the text. Names of WITH are none.
pub(crate) fn tables_of<V: Visit>(work: &Work, statement: &V) -> Vec<TableName> {
    let mut search = TableSearch { work, found: Vec::new(), common: Vec::new() };
    let _visited: ControlFlow<()> = statement.visit(&mut search);
    search.found
}

struct TableSearch<'a> {
    work: &'a Work,
    found: Vec<TableName>,
    common: Vec<String>,
}

impl Visitor for TableSearch<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let names = query.with.iter().flat_map(|with| with.cte_tables.iter().map(|common| name_of(&common.alias.name)));
        self.common.extend(names);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
        let Ok(written) = WrittenName::read(name, &self.work.view().database) else {
            return ControlFlow::Continue(());
        };
        let is_common = written.schema.is_none() && self.common.contains(&written.table);
        if !is_common
            && let Some(table) = written.find(self.work.snapshot.catalog(), self.work.search_path())
            && !self.found.contains(&table.name)
        {
            self.found.push(table.name.clone());
        }
        ControlFlow::Continue(())
    }
}

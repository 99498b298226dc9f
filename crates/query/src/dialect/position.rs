//! Places in the statement's text.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Query, Spanned, Visit, Visitor};
use outcrop_types::{Condition, Error};

/// The place of a line and column (both from 1) in characters from 1, as error messages count.
pub(crate) fn character_position(sql: &str, line: u64, column: u64) -> Option<u32> {
    if line == 0 || column == 0 {
        return None;
    }
    let mut before = 0_u64;
    for (number, text) in (1_u64..).zip(sql.split('\n')) {
        let characters = u64::try_from(text.chars().count()).ok()?;
        if number == line {
            return u32::try_from(before.checked_add(column.min(characters + 1))?).ok();
        }
        before = before.checked_add(characters)?.checked_add(1)?;
    }
    None
}

/// Gives an error about an unknown table or function the place where the query names it.
pub(crate) fn place_of(error: Error, query: &Query, sql: &str) -> Error {
    if error.position().is_some()
        || !matches!(error.condition(), Condition::UndefinedTable | Condition::UndefinedFunction)
    {
        return error;
    }
    let mut search = NameSearch { message: error.message().to_owned(), found: None };
    let _stopped: ControlFlow<()> = query.visit(&mut search);
    match search.found.and_then(|(line, column)| character_position(sql, line, column)) {
        Some(position) => error.with_position(position),
        None => error,
    }
}

struct NameSearch {
    message: String,
    found: Option<(u64, u64)>,
}

impl NameSearch {
    fn compare(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let Some(last) = name.0.last().and_then(|part| part.as_ident()) else {
            return ControlFlow::Continue(());
        };
        let folded = if last.quote_style.is_some() { last.value.clone() } else { last.value.to_lowercase() };
        let named = [format!("\"{folded}\""), format!(".{folded}\""), format!("function {folded} "), format!("function {folded}(")];
        if !named.iter().any(|text| self.message.contains(text)) {
            return ControlFlow::Continue(());
        }
        let start = name.span().start;
        self.found = Some((start.line, start.column));
        ControlFlow::Break(())
    }
}

impl Visitor for NameSearch {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.compare(relation)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.compare(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

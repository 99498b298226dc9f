//! Queries in WITH that would answer differently each time they are read.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use outcrop_types::{Condition, Error, Result};

use super::names::name_of;

/// Functions that answer anew at each call.
const VOLATILE: &[&str] = &["random", "gen_random_uuid", "uuid", "clock_timestamp"];

/// A query in WITH is evaluated at each place that names it, which nobody can tell unless it is volatile.
///
/// # Errors
/// `FeatureNotSupported` for a volatile one that is named more than once.
pub(super) fn refuse_repeated_volatile(query: &ast::Query) -> Result<()> {
    match query.visit(&mut Repeated) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Repeated;

impl Visitor for Repeated {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = name_of(&cte.alias.name);
            if is_volatile(cte.query.as_ref()) && times_named(query, &name) > 1 {
                return ControlFlow::Break(
                    Error::new(
                        Condition::FeatureNotSupported,
                        format!("WITH query \"{name}\" calls a volatile function and is used more than once"),
                    )
                    .with_hint("It would be evaluated each time; store its rows in a table first."),
                );
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a volatile function is called in it.
pub(crate) fn is_volatile<V: Visit>(sql: &V) -> bool {
    ast::visit_expressions(sql, |expr| match expr {
        ast::Expr::Function(function)
            if function
                .name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .is_some_and(|ident| VOLATILE.contains(&name_of(ident).as_str())) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

fn times_named(query: &ast::Query, wanted: &str) -> usize {
    let mut times = 0;
    let _visited: ControlFlow<()> = ast::visit_relations(query, |relation| {
        if let [part] = relation.0.as_slice() {
            times += usize::from(part.as_ident().is_some_and(|ident| name_of(ident) == wanted));
        }
        ControlFlow::Continue(())
    });
    times
}

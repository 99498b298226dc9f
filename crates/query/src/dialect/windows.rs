//! `WINDOW w AS (…)`, put where it is used. DataFusion keeps only half of what a window takes from another.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, SetExpr, VisitMut, VisitorMut, WindowSpec, WindowType,
};
use outcrop_types::{Condition, Error, Result};

/// Replaces the names of windows in a SELECT and its ORDER BY by their definitions.
///
/// # Errors
/// `UndefinedObject`, `WindowingError`.
pub(super) fn spell_out(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Ok(());
    };
    let mut known: Vec<(String, WindowSpec)> = Vec::new();
    for NamedWindowDefinition(name, definition) in std::mem::take(&mut select.named_window) {
        let spec = match definition {
            NamedWindowExpr::NamedWindow(other) => find(&known, &other)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => completed(&known, spec)?,
        };
        let name = folded(&name);
        if known.iter().any(|(other, _)| *other == name) {
            return Err(Error::new(Condition::WindowingError, format!("window \"{name}\" is already defined")));
        }
        known.push((name, spec));
    }
    let mut uses = Uses { known: &known, inside: 0 };
    let flow = match select.projection.visit(&mut uses) {
        ControlFlow::Continue(()) => query.order_by.visit(&mut uses),
        stop => stop,
    };
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Uses<'a> {
    known: &'a [(String, WindowSpec)],
    /// Queries inside have windows of their own.
    inside: usize,
}

impl VisitorMut for Uses<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        if self.inside > 0 {
            return ControlFlow::Continue(());
        }
        let spec = match function.over.take() {
            None => return ControlFlow::Continue(()),
            Some(WindowType::NamedWindow(name)) => find(self.known, &name).cloned(),
            Some(WindowType::WindowSpec(spec)) => completed(self.known, spec),
        };
        match spec {
            Ok(spec) => {
                function.over = Some(WindowType::WindowSpec(spec));
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn find<'a>(known: &'a [(String, WindowSpec)], name: &Ident) -> Result<&'a WindowSpec> {
    let name = folded(name);
    let found = known.iter().find(|(other, _)| *other == name).map(|(_, spec)| spec);
    found.ok_or_else(|| Error::new(Condition::UndefinedObject, format!("window \"{name}\" does not exist")))
}

/// `(w ORDER BY …)`: what the window named first brings, and what is added.
fn completed(known: &[(String, WindowSpec)], spec: WindowSpec) -> Result<WindowSpec> {
    let Some(name) = &spec.window_name else {
        return Ok(spec);
    };
    let base = find(known, name)?;
    let refuse = |why: &str| Err(Error::new(Condition::WindowingError, format!("cannot {why}")));
    let shown = folded(name);
    if !spec.partition_by.is_empty() {
        return refuse(&format!("override PARTITION BY clause of window \"{shown}\""));
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return refuse(&format!("override ORDER BY clause of window \"{shown}\""));
    }
    if base.window_frame.is_some() {
        return refuse(&format!("copy window \"{shown}\" because it has a frame clause"));
    }
    let order_by = if spec.order_by.is_empty() { base.order_by.clone() } else { spec.order_by };
    Ok(WindowSpec {
        window_name: None,
        partition_by: base.partition_by.clone(),
        order_by,
        window_frame: spec.window_frame,
    })
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

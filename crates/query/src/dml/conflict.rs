//! `ON CONFLICT`.

use datafusion::arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast;
use outcrop_engine::{ConflictRows, ConflictUpdate, OnConflict};
use outcrop_types::{ColumnId, Condition, DataType, Error, Result, Value};
use std::sync::Arc;

use super::assignments::Assignments;
use super::bound::{BoundChange, ChangeCache, ChangeSource};
use super::rows::beside;
use super::target::Target;
use crate::session::Work;
use crate::statement::name_of;

/// The name of the row that could not be inserted.
pub(super) const EXCLUDED: &str = "excluded";

/// The `ON CONFLICT` clause of an INSERT, checked.
#[derive(Clone, Debug)]
pub(super) enum ConflictClause {
    Absent,
    Nothing,
    Update { assignments: Assignments, selection: Option<ast::Expr> },
}

impl ConflictClause {
    pub(super) fn read(target: &Target, on: Option<&ast::OnInsert>) -> Result<Self> {
        let clause = match on {
            None => return Ok(Self::Absent),
            Some(ast::OnInsert::OnConflict(clause)) => clause,
            Some(_) => return Err(Error::new(Condition::SyntaxError, "syntax error at or near \"DUPLICATE\"")),
        };
        check_conflict_target(target, clause)?;
        match &clause.action {
            ast::OnConflictAction::DoNothing => Ok(Self::Nothing),
            ast::OnConflictAction::DoUpdate(update) => Ok(Self::Update {
                assignments: Assignments::read(target, &update.assignments)?,
                selection: update.selection.clone(),
            }),
        }
    }

    /// What the engine does on a conflict.
    pub(super) fn bind(&self, work: &Work, target: &Target, cache: &ChangeCache) -> Result<OnConflict> {
        match self {
            Self::Absent => Ok(OnConflict::Error),
            Self::Nothing => Ok(OnConflict::Nothing),
            Self::Update { assignments, selection } => {
                if let (Some(columns), None) = (overwritten(target, assignments), selection) {
                    return Ok(OnConflict::Overwrite(columns));
                }
                let source = ChangeSource {
                    target,
                    beside: Some(EXCLUDED),
                    assignments: Some(assignments),
                    selection: selection.as_ref(),
                };
                let change = BoundChange::cached(work, source, cache).map_err(|error| match error.condition() {
                    Condition::FeatureNotSupported => {
                        error.with_hint("Queries are not supported in ON CONFLICT; use UPDATE … FROM.")
                    }
                    _ => error,
                })?;
                Ok(OnConflict::Update(Box::new(Update { change, parameters: Arc::clone(&work.parameters) })))
            }
        }
    }
}

/// The columns that are assigned, if each gets its own value of the row that could not be inserted: no plan is needed.
fn overwritten(target: &Target, assignments: &Assignments) -> Option<Vec<ColumnId>> {
    if target.alias == EXCLUDED {
        return None;
    }
    let columns = assignments.pairs.iter().map(|(position, expr)| {
        let column = target.schema.columns.get(*position)?;
        let ast::Expr::CompoundIdentifier(parts) = expr else { return None };
        let [relation, name] = parts.as_slice() else { return None };
        (name_of(relation) == EXCLUDED && name_of(name) == column.name).then_some(column.id)
    });
    columns.collect()
}

struct Update {
    change: BoundChange,
    parameters: Arc<[(DataType, Value)]>,
}

impl ConflictUpdate for Update {
    fn update(&mut self, existing: &RecordBatch, proposed: &RecordBatch) -> Result<ConflictRows> {
        let (matches, rows) = self.change.judge(existing, &beside(existing, proposed)?, &self.parameters)?;
        Ok(ConflictRows { matches, rows })
    }
}

/// The target must be the primary key, in any order of its columns.
fn check_conflict_target(target: &Target, clause: &ast::OnConflict) -> Result<()> {
    let key = target.schema.primary_key();
    if target.schema.options.append_only {
        let message = format!("table \"{}\" is append-only and has no conflicts", target.schema.name.table);
        return Err(Error::new(Condition::FeatureNotSupported, message)
            .with_hint("Leave ON CONFLICT out, or create the table with a primary key and without append_only."));
    }
    match &clause.conflict_target {
        None => match clause.action {
            ast::OnConflictAction::DoNothing => Ok(()),
            ast::OnConflictAction::DoUpdate(_) => Err(Error::new(
                Condition::SyntaxError,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .with_hint("For example, ON CONFLICT (column_name).")),
        },
        Some(ast::ConflictTarget::Columns(columns)) => {
            let named = columns.iter().map(|column| target.position(&name_of(column))).collect::<Result<Vec<_>>>()?;
            let mut wanted: Vec<usize> = key
                .map(|key| key.columns.iter().filter_map(|id| target.schema.position(*id)).collect())
                .unwrap_or_default();
            let mut named = named;
            named.sort_unstable();
            named.dedup();
            wanted.sort_unstable();
            if key.is_some() && named == wanted {
                return Ok(());
            }
            Err(Error::new(
                Condition::InvalidColumnReference,
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            )
            .with_hint("The conflict target must be the primary key."))
        }
        Some(ast::ConflictTarget::OnConstraint(name)) => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(name_of).unwrap_or_default();
            if key.is_some_and(|key| key.name == name) {
                return Ok(());
            }
            Err(Error::new(
                Condition::UndefinedObject,
                format!("constraint \"{name}\" for table \"{}\" does not exist", target.schema.name.table),
            ))
        }
    }
}

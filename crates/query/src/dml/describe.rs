//! What a write needs and answers, before it runs: types of parameters, columns of `RETURNING`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, DataType, Error, Result};

use super::change::ChangePlan;
use super::conflict::{ConflictClause, EXCLUDED};
use super::insert::{InsertPlan, Source, with_defaults};
use super::point;
use super::syntax::{exactly, item, parameters_in, target_query};
use super::target::Target;
use crate::literal::LiteralRows;
use crate::planning::{KeptQuery, PlannedQuery};
use crate::result::ResultColumn;
use crate::session::Work;
use crate::statement::hint_query;

/// A write, described.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) parameters: Vec<DataType>,
    pub(crate) columns: Option<Vec<ResultColumn>>,
    /// The query that finds the rows, if there is one to keep.
    pub(crate) plan: Option<KeptQuery>,
}

/// Describes an INSERT; of one whose rows are literals `insert` is the frame.
pub(crate) fn describe_insert(
    work: &Work,
    insert: &ast::Insert,
    literals: Option<&Arc<LiteralRows>>,
    given: &[Option<DataType>],
) -> Result<Described> {
    let plan = InsertPlan::read(work, insert, literals)?;
    let mut types = given.to_vec();
    plan.hint(&mut types);
    match &plan.source {
        // Each parameter is the value of a column.
        Source::Defaults | Source::Literals(_) => {}
        Source::Constants(query) => {
            let query = with_defaults(query, &plan.target, &plan.positions)?;
            infer(work, &plan.target, &query, &mut types)?;
        }
        Source::Query(query) => {
            hint_query(work.context()?, query, &mut types)?;
            let planned = plan.plan_source(work, query, &types)?;
            adopt(&planned, query.as_ref(), &mut types);
        }
    }
    if let ConflictClause::Update { assignments, selection } = &plan.conflict {
        let items = assignments.pairs.iter().map(|(_, expr)| item(expr.clone())).collect();
        let mut query = target_query(&plan.target.alias, items, &[], selection.clone())?;
        add_excluded(&mut query)?;
        infer(work, &plan.target, &query, &mut types)?;
    }
    let columns = match &plan.returning {
        Some(returning) => {
            infer(work, &plan.target, &returning.query(&plan.target)?, &mut types)?;
            Some(returning.columns(work, &plan.target, &types)?)
        }
        None => None,
    };
    Ok(Described { parameters: known(types)?, columns, plan: None })
}

/// Describes an UPDATE.
pub(crate) fn describe_update(work: &Work, update: &ast::Update, given: &[Option<DataType>]) -> Result<Described> {
    describe_change(work, &ChangePlan::of_update(work, update)?, given)
}

/// Describes a DELETE.
pub(crate) fn describe_delete(work: &Work, delete: &ast::Delete, given: &[Option<DataType>]) -> Result<Described> {
    describe_change(work, &ChangePlan::of_delete(work, delete)?, given)
}

fn describe_change(work: &Work, plan: &ChangePlan, given: &[Option<DataType>]) -> Result<Described> {
    let mut types = given.to_vec();
    if let Some(assignments) = &plan.assignments {
        assignments.hint(&plan.target, &mut types);
    }
    if types.iter().all(Option::is_some) && plan.returning.is_none() && point::change_keys(work, plan).is_some() {
        // Nothing to learn: the execution binds what it needs.
        return Ok(Described { parameters: known(types)?, columns: None, plan: None });
    }
    let query = plan.query()?;
    let context = work.context()?.clone().with_addresses_of(plan.target.schema.id);
    hint_query(&context, &query, &mut types)?;
    let planned = plan.plan(&context, &types)?;
    adopt(&planned, &query, &mut types);
    let columns = match &plan.returning {
        Some(returning) => {
            infer(work, &plan.target, &returning.query(&plan.target)?, &mut types)?;
            Some(returning.columns(work, &plan.target, &types)?)
        }
        None => None,
    };
    let parameters = known(types)?;
    // Kept only if the plan was made with the types that the statement has in the end.
    let plan = if planned.parameters == parameters { context.keep(&planned)? } else { None };
    Ok(Described { parameters, columns, plan })
}

/// First line of an EXPLAIN and the plan below it.
pub(crate) fn explained(work: &Work, statement: &ast::Statement) -> Result<(Option<String>, Option<PlannedQuery>)> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "EXPLAIN checked the statement before")]
    match statement {
        ast::Statement::Insert(insert) => {
            let plan = InsertPlan::read(work, insert, None)?;
            let mut head = format!("Insert on {}", plan.target.schema.name.table);
            match &plan.conflict {
                ConflictClause::Absent => {}
                ConflictClause::Nothing => head.push_str(" (conflict: nothing)"),
                ConflictClause::Update { .. } => head.push_str(" (conflict: update)"),
            }
            let planned = match &plan.source {
                Source::Query(query) => Some(plan.plan_source(work, query, &work.types())?),
                Source::Defaults | Source::Constants(_) | Source::Literals(_) => None,
            };
            Ok((Some(head), planned))
        }
        ast::Statement::Update(update) => explained_change(work, &ChangePlan::of_update(work, update)?, "Update"),
        ast::Statement::Delete(delete) => explained_change(work, &ChangePlan::of_delete(work, delete)?, "Delete"),
        _ => Err(Error::internal("EXPLAIN of this statement")),
    }
}

fn explained_change(work: &Work, plan: &ChangePlan, what: &str) -> Result<(Option<String>, Option<PlannedQuery>)> {
    if let Some(named) = point::change_keys(work, plan)
        && point::keys_batch(work, &plan.target.schema, &named)?.is_some()
    {
        return Ok((Some(format!("{what} on {} by key look-up", plan.target.schema.name.table)), None));
    }
    let context = work.context()?.clone().with_addresses_of(plan.target.schema.id);
    let planned = plan.plan(&context, &work.types())?;
    Ok((Some(format!("{what} on {}", plan.target.schema.name.table)), Some(planned)))
}

/// Learns the types of parameters in `query`, which may read the target under its alias.
fn infer(work: &Work, target: &Target, query: &ast::Query, types: &mut [Option<DataType>]) -> Result<()> {
    let unknown = parameters_in(query).into_iter().any(|at| matches!(types.get(at), Some(None)));
    if !unknown {
        return Ok(());
    }
    let context = work.context()?.clone().with_addresses_of(target.schema.id);
    hint_query(&context, query, types)?;
    let planned = context.plan_query(query, types)?;
    adopt(&planned, query, types);
    Ok(())
}

/// Takes the types that a plan found for the parameters of its own text.
fn adopt(planned: &PlannedQuery, query: &ast::Query, types: &mut [Option<DataType>]) {
    for at in parameters_in(query) {
        if let (Some(unknown @ None), Some(found)) = (types.get_mut(at), planned.parameters.get(at)) {
            *unknown = Some(found.clone());
        }
    }
}

/// 42P18 for a parameter that nothing uses.
fn known(types: Vec<Option<DataType>>) -> Result<Vec<DataType>> {
    types
        .into_iter()
        .enumerate()
        .map(|(at, data_type)| {
            data_type.ok_or_else(|| {
                Error::new(
                    Condition::IndeterminateDatatype,
                    format!("could not determine data type of parameter ${}", at + 1),
                )
            })
        })
        .collect()
}

/// `excluded` beside the target, to learn types.
fn add_excluded(query: &mut ast::Query) -> Result<()> {
    if let ast::SetExpr::Select(select) = query.body.as_mut()
        && let Some(mut table) = select.from.first().cloned()
    {
        if let ast::TableFactor::Table { alias: Some(alias), .. } = &mut table.relation {
            alias.name = exactly(EXCLUDED);
        }
        select.from.push(table);
        return Ok(());
    }
    Err(Error::internal("a generated query is not a SELECT"))
}

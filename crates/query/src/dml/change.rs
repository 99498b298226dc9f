//! `UPDATE` and `DELETE`: a query of (address, new row), streamed into the engine.

use std::sync::Arc;

use datafusion::arrow::array::types::Int64Type;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use outcrop_engine::WriteMode;
use outcrop_types::{Condition, DataType, Error, Result, RowAddress, RowOrdinal, UnitId};

use super::assignments::Assignments;
use super::bound::{BoundChange, ChangeSource};
use super::returning::Returning;
use super::rows::table_batch;
use super::syntax::{address_part, column_of, has_subquery, named, target_query};
use super::target::Target;
use super::writer::{Keep, Writer};
use super::{point, recheck};
use crate::error::from_datafusion;
use crate::planning::{PlannedQuery, StatementContext};
use crate::result::{CommandTag, Execution};
use crate::session::Work;
use crate::statement::{Plan, Prepared};

/// Leading columns of the query: unit and row.
const ADDRESS_COLUMNS: usize = 2;

/// An UPDATE or DELETE whose names are resolved.
#[derive(Clone, Debug)]
pub(super) struct ChangePlan {
    pub(super) target: Target,
    /// `None` for DELETE.
    pub(super) assignments: Option<Assignments>,
    /// Tables of FROM or USING.
    pub(super) others: Vec<ast::TableWithJoins>,
    pub(super) selection: Option<ast::Expr>,
    pub(super) returning: Option<Returning>,
}

impl ChangePlan {
    pub(super) fn of_update(work: &Work, update: &ast::Update) -> Result<Self> {
        if update.or.is_some() || update.output.is_some() || !update.order_by.is_empty() || update.limit.is_some() {
            return Err(Error::new(Condition::SyntaxError, "this form of UPDATE is not PostgreSQL's"));
        }
        let target = Target::of_factor(work, &update.table)?;
        let assignments = Assignments::read(&target, &update.assignments)?;
        let others = match &update.from {
            None => Vec::new(),
            Some(ast::UpdateTableFromKind::AfterSet(others)) => others.clone(),
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => {
                return Err(Error::new(Condition::SyntaxError, "syntax error at or near \"FROM\""));
            }
        };
        let returning = Returning::read(&target, update.returning.as_deref())?;
        Ok(Self { target, assignments: Some(assignments), others, selection: update.selection.clone(), returning })
    }

    pub(super) fn of_delete(work: &Work, delete: &ast::Delete) -> Result<Self> {
        let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) = &delete.from;
        let [table] = tables.as_slice() else {
            return Err(Error::new(Condition::SyntaxError, "DELETE FROM takes one table")
                .with_hint("Name the others in USING."));
        };
        if !delete.tables.is_empty() || delete.output.is_some() || !delete.order_by.is_empty() || delete.limit.is_some()
        {
            return Err(Error::new(Condition::SyntaxError, "this form of DELETE is not PostgreSQL's"));
        }
        let target = Target::of_factor(work, table)?;
        let returning = Returning::read(&target, delete.returning.as_deref())?;
        let others = delete.using.clone().unwrap_or_default();
        Ok(Self { target, assignments: None, others, selection: delete.selection.clone(), returning })
    }

    pub(super) fn command(&self) -> &'static str {
        if self.assignments.is_some() { "UPDATE" } else { "DELETE" }
    }

    /// Whether WHERE or SET read more than the row.
    pub(super) fn needs_plan(&self) -> bool {
        let assigned = self.assignments.iter().flat_map(|assignments| &assignments.pairs);
        !self.others.is_empty()
            || self.selection.as_ref().is_some_and(has_subquery)
            || assigned.into_iter().any(|(_, expr)| has_subquery(expr))
    }

    /// WHERE and SET, to be bound.
    pub(super) fn source(&self) -> ChangeSource<'_> {
        ChangeSource {
            target: &self.target,
            beside: None,
            assignments: self.assignments.as_ref(),
            selection: self.selection.as_ref(),
        }
    }

    /// The query of addresses and, for UPDATE, whole new rows.
    pub(super) fn query(&self) -> Result<ast::Query> {
        let alias = &self.target.alias;
        let mut projection =
            vec![named(address_part(alias, "__unit"), "__unit"), named(address_part(alias, "__row"), "__row")];
        if let Some(assignments) = &self.assignments {
            for (position, column) in self.target.schema.columns.iter().enumerate() {
                let expr = assignments.of(position).cloned().unwrap_or_else(|| column_of(alias, &column.name));
                projection.push(named(expr, &format!("column{position}")));
            }
        }
        target_query(alias, projection, &self.others, self.selection.clone())
    }

    /// The plan of [`Self::query`], with assignment casts. `context` decides which rows the target has.
    pub(super) fn plan(&self, context: &StatementContext, types: &[Option<DataType>]) -> Result<PlannedQuery> {
        let planned = context.plan_query(&self.query()?, types)?;
        let columns: Vec<(String, DataType)> = match &self.assignments {
            None => Vec::new(),
            Some(_) => {
                let columns = self.target.schema.columns.iter();
                columns.map(|column| (column.name.clone(), column.data_type.clone())).collect()
            }
        };
        context.coerce_assignment(&planned, ADDRESS_COLUMNS, &columns)
    }

    /// Addresses and new rows of a batch of the plan.
    pub(super) fn read_batch(&self, batch: &RecordBatch) -> Result<(Vec<RowAddress>, Option<RecordBatch>)> {
        let addresses = addresses(batch)?;
        if self.assignments.is_none() {
            return Ok((addresses, None));
        }
        let columns = batch.columns().iter().skip(ADDRESS_COLUMNS).map(Arc::clone).collect();
        let schema = &self.target.schema;
        Ok((addresses, Some(table_batch(schema, &schema.to_arrow(), columns, batch.num_rows())?)))
    }
}

/// Executes an UPDATE.
pub(crate) async fn update(work: &Work, update: &ast::Update, prepared: &Prepared) -> Result<Execution> {
    change(work, ChangePlan::of_update(work, update)?, prepared).await
}

/// Executes a DELETE.
pub(crate) async fn delete(work: &Work, delete: &ast::Delete, prepared: &Prepared) -> Result<Execution> {
    change(work, ChangePlan::of_delete(work, delete)?, prepared).await
}

async fn change(work: &Work, mut plan: ChangePlan, prepared: &Prepared) -> Result<Execution> {
    let returning = plan.returning.take();
    let returning = returning.map(|returning| returning.begin(work, &plan.target, prepared.columns())).transpose()?;
    let keep = if returning.is_some() { Keep::Rows } else { Keep::Counts };
    let (keys, is_all) = match point::change_keys(work, &plan) {
        Some(named) => (point::keys_batch(work, &plan.target.schema, &named)?, named.is_all),
        None => (None, false),
    };
    let writer = match keys {
        // A row that has one of the keys is deleted, whatever else is in it.
        Some(keys) if is_all && plan.assignments.is_none() => {
            let mode = WriteMode::Change(Some(recheck::of_same_key()));
            let mut writer = Writer::begin(work, &plan.target, mode, keep)?;
            let victims = point::addresses(work, &plan.target, keys).await?;
            writer.delete(victims).await?;
            writer
        }
        keys => judged(work, &plan, keys, keep, prepared).await?,
    };
    let command = plan.command();
    if let Some(returning) = returning {
        return returning.commit(writer, command).await.map(Execution::Rows);
    }
    let commit = writer.commit(work).await?;
    Ok(Execution::Done(CommandTag::with_rows(command, commit.updated + commit.deleted)))
}

/// The changes of rows that WHERE and SET judge, which are among those with the keys, if there are some.
async fn judged(
    work: &Work,
    plan: &ChangePlan,
    keys: Option<RecordBatch>,
    keep: Keep,
    prepared: &Prepared,
) -> Result<Writer> {
    let bound =
        if plan.needs_plan() { None } else { Some(BoundChange::cached(work, plan.source(), prepared.change())?) };
    let recheck = match (plan.target.schema.primary_key(), &bound) {
        (None, _) => None,
        (Some(_), Some(change)) => Some(recheck::bound(work, plan, change.clone())),
        (Some(_), None) => Some(recheck::planned(work, plan)),
    };
    let mut writer = Writer::begin(work, &plan.target, WriteMode::Change(recheck), keep)?;
    let (Some(keys), Some(change)) = (keys, &bound) else {
        write_query(work, plan, prepared.plan(), &mut writer).await?;
        return Ok(writer);
    };
    let (victims, rows) = point::changed_rows(work, &plan.target, keys, change).await?;
    if victims.is_empty() {
        return Ok(writer);
    }
    match plan.assignments {
        Some(_) => writer.update(victims, rows).await?,
        None => writer.delete(victims).await?,
    }
    Ok(writer)
}

async fn write_query(work: &Work, plan: &ChangePlan, prepared: &Plan, writer: &mut Writer) -> Result<()> {
    let context = work.context()?.clone().with_addresses_of(plan.target.schema.id);
    let planned = match prepared {
        Plan::Query(planned) => match context.rebind(planned) {
            Err(error) if error.condition() == Condition::ObjectNotInPrerequisiteState => {
                plan.plan(&context, &work.types())?
            }
            other => other?,
        },
        Plan::Direct => plan.plan(&context, &work.types())?,
    };
    let mut rows = context.execute(&planned, &work.values()).await?;
    while let Some(batch) = rows.stream.try_next().await.map_err(from_datafusion)? {
        if batch.num_rows() == 0 {
            continue;
        }
        match plan.read_batch(&batch)? {
            (victims, Some(rows)) => writer.update(victims, rows).await?,
            (victims, None) => writer.delete(victims).await?,
        }
    }
    Ok(())
}

fn addresses(batch: &RecordBatch) -> Result<Vec<RowAddress>> {
    let column = |at: usize| {
        let column = batch.columns().get(at).and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.filter(|column| column.null_count() == 0).ok_or_else(|| Error::internal("a changed row has no address"))
    };
    let bad = |error: std::num::TryFromIntError| Error::internal("a row address is out of range").with_source(error);
    column(0)?
        .values()
        .iter()
        .zip(column(1)?.values())
        .map(|(unit, row)| {
            let unit = UnitId::new(u64::try_from(*unit).map_err(bad)?);
            Ok(RowAddress::new(unit, RowOrdinal::new(u32::try_from(*row).map_err(bad)?)))
        })
        .collect()
}

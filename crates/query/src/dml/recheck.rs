//! Rows that changed since the snapshot, judged again (architecture Q7).

use std::sync::{Arc, mpsc};

use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use futures::TryStreamExt;
use outcrop_engine::{Recheck, Rechecked};
use outcrop_types::{DataType, Error, Result, Value};

use super::bound::BoundChange;
use super::change::ChangePlan;
use super::rows::scatter;
use crate::error::{from_arrow, from_datafusion};
use crate::session::Work;

/// The callback of an UPDATE or DELETE whose WHERE and SET are expressions of the row alone.
pub(super) fn bound(work: &Work, plan: &ChangePlan, change: BoundChange) -> Box<dyn Recheck> {
    let parameters = Arc::clone(&work.parameters);
    Box::new(BoundRecheck { change, parameters, updates: plan.assignments.is_some() })
}

/// The callback of a DELETE whose WHERE names keys and says nothing else: what has replaced a row has its key.
pub(super) fn of_same_key() -> Box<dyn Recheck> {
    Box::new(SameKey)
}

struct SameKey;

impl Recheck for SameKey {
    fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked> {
        Ok(Rechecked { matches: BooleanArray::from(vec![true; current.num_rows()]), rows: None })
    }
}

/// The callback of any other UPDATE or DELETE.
pub(super) fn planned(work: &Work, plan: &ChangePlan) -> Box<dyn Recheck> {
    Box::new(PlannedRecheck { work: work.clone(), plan: plan.clone() })
}

/// WHERE and SET are expressions of the row alone.
struct BoundRecheck {
    change: BoundChange,
    parameters: Arc<[(DataType, Value)]>,
    updates: bool,
}

impl Recheck for BoundRecheck {
    fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked> {
        let (matches, rows) = self.change.judge(current, current, &self.parameters)?;
        Ok(Rechecked { matches, rows: self.updates.then_some(rows) })
    }
}

/// WHERE or SET read other tables: the query runs again with the current rows in the place of the target, the other
/// tables as of the snapshot.
struct PlannedRecheck {
    work: Work,
    plan: ChangePlan,
}

impl Recheck for PlannedRecheck {
    fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (work, plan, rows) = (self.work.clone(), self.plan.clone(), current.clone());
        let task = self.work.database.queries().spawn(async move {
            // The receiver waits as long as this task lives.
            drop(sender.send(work.cancellation.run(run(&work, &plan, rows)).await));
        });
        let answer = receiver.recv();
        task.abort();
        answer.map_err(|error| Error::internal("judging changed rows failed").with_source(error))?
    }
}

async fn run(work: &Work, plan: &ChangePlan, current: RecordBatch) -> Result<Rechecked> {
    let context = work.context()?.clone().with_rows_of(plan.target.schema.id, current.clone());
    let planned = plan.plan(&context, &work.types())?;
    let mut rows = context.execute(&planned, &work.values()).await?;
    let mut matched: Vec<Option<(usize, usize)>> = vec![None; current.num_rows()];
    let mut changed = Vec::new();
    while let Some(batch) = rows.stream.try_next().await.map_err(from_datafusion)? {
        let (addresses, new_rows) = plan.read_batch(&batch)?;
        for (at, address) in addresses.iter().enumerate() {
            let row = usize::try_from(address.row.get()).unwrap_or(usize::MAX);
            // A join may find a row several times; the first counts.
            if let Some(place @ None) = matched.get_mut(row) {
                *place = Some((changed.len(), at));
            }
        }
        changed.push(new_rows.unwrap_or_else(|| RecordBatch::new_empty(current.schema())));
    }
    let matches: BooleanArray = matched.iter().map(|place| Some(place.is_some())).collect();
    if plan.assignments.is_none() {
        return Ok(Rechecked { matches, rows: None });
    }
    let picked = pick(&current, &changed, matched.iter().flatten().copied())?;
    let schema = plan.target.schema.to_arrow();
    let current = RecordBatch::try_new(schema, current.columns().to_vec()).map_err(from_arrow)?;
    Ok(Rechecked { rows: Some(scatter(&current, &picked, &matches)?), matches })
}

/// Rows by batch and number.
fn pick(
    current: &RecordBatch,
    batches: &[RecordBatch],
    places: impl Iterator<Item = (usize, usize)>,
) -> Result<RecordBatch> {
    let Some(first) = batches.first() else {
        return Ok(RecordBatch::new_empty(current.schema()));
    };
    let starts: Vec<usize> = batches
        .iter()
        .scan(0, |next, batch| {
            let start = *next;
            *next += batch.num_rows();
            Some(start)
        })
        .collect();
    let all = concat_batches(&first.schema(), batches).map_err(from_arrow)?;
    let indices = places
        .map(|(batch, row)| u64::try_from(starts.get(batch).copied().unwrap_or_default() + row))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::internal("too many rows to judge").with_source(error))?;
    let indices = datafusion::arrow::array::UInt64Array::from(indices);
    datafusion::arrow::compute::take_record_batch(&all, &indices).map_err(from_arrow)
}

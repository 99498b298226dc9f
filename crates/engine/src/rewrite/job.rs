//! One job: the live rows of some units, written as segments, step by step.

use std::sync::Arc;

use outcrop_types::{Condition, Error, Result, TableId, UnitId};

use super::install::{Input, Installed, install};
use super::order::{OrderBuilder, SortedRows, sort_key, sortable_rows};
use super::output::{Output, OutputWriter};
use super::pass::Pass;
use crate::ScanColumn;
use crate::commit::{RowMap, only_shard};
use crate::compaction::sorted_rows_max;
use crate::key_index::ShardKeys;
use crate::node::Node;
use crate::snapshot::{Morsel, ShardState, Snapshot, TableSnapshot};

/// Units on their way to segments, which hold their rows that are alive at the pin: in the order of the table's sort key, or
/// input by input, in row order.
pub(crate) struct RewriteJob {
    node: Arc<Node>,
    table: TableId,
    sources: Vec<Source>,
    /// The segments to write, each with the place of its first row.
    outputs: Arc<[(UnitId, u32)]>,
    /// Rows of all of them.
    rows: u32,
    /// The rows alive at the pin, and the version that keeps them.
    pinned: TableSnapshot,
    keys: Option<Arc<ShardKeys>>,
    /// The rows of all inputs.
    morsels: Vec<Morsel>,
    order: Option<SortedRows>,
    written: Vec<Output>,
    phase: Phase,
}

/// A unit that is rewritten, as it was at the pin.
struct Source {
    unit: UnitId,
    deletes: outcrop_segment::DeleteVector,
}

enum Phase {
    Begin,
    /// Reads the sort keys; so many morsels are done.
    Ordering(Box<OrderBuilder>, usize),
    /// Writes the next output.
    Writing(Box<OutputWriter>, Pass),
    Written,
    Over,
}

/// What a step of a job did.
pub(crate) enum JobStep {
    More,
    Installed(Installed),
    /// An input is gone: its table was dropped or truncated meanwhile.
    Abandoned,
    /// An input cannot be read. The job is over, and nothing else is touched by it.
    Unreadable(Error),
}

impl RewriteJob {
    /// Begins to rewrite units of a table, as they are in `pin`, where all their rows are. `None` if one of them is not there:
    /// the table was dropped or truncated.
    pub(crate) fn new(node: &Arc<Node>, pin: &Snapshot, table: TableId, inputs: &[UnitId]) -> Result<Option<Self>> {
        let (Some(pinned), Some(found)) = (pin.table(table), pin.version().tables.get(&table)) else { return Ok(None) };
        let state = only_shard(found)?;
        let mut sources = Vec::with_capacity(inputs.len());
        let mut morsels = Vec::new();
        let mut rows: u32 = 0;
        for unit in inputs {
            let Some(deletes) = state.deletes(*unit).cloned() else { return Ok(None) };
            rows = rows.checked_add(deletes.live()).ok_or_else(|| Error::internal("too many rows for one rewrite"))?;
            sources.push(Source { unit: *unit, deletes });
            morsels.extend(pinned.morsels_of(*unit, STEP_ROWS));
        }
        let memory = node.options.compaction_memory_bytes;
        let order = OrderBuilder::new(pinned.schema(), u64::from(rows), memory)?;
        // Rows that stay in order are of one output, which a plan does not make too large.
        let count = if order.is_some() { output_count(node, &state, inputs, rows) } else { u32::from(rows > 0) };
        let share = |number: u32| u64::from(rows) * u64::from(number) / u64::from(count.max(1));
        let outputs = (0..count).map(|number| (node.ids.unit(), u32::try_from(share(number)).unwrap_or(u32::MAX)));
        Ok(Some(Self {
            node: Arc::clone(node),
            table,
            sources,
            outputs: outputs.collect(),
            rows,
            keys: state.keys().map(Arc::clone),
            pinned,
            morsels,
            order: None,
            written: Vec::new(),
            phase: order.map_or(Phase::Begin, |order| Phase::Ordering(Box::new(order), 0)),
        }))
    }

    /// Does one piece of the work.
    ///
    /// # Errors
    /// `DiskFull`: the job is over, its segments gone, and a later one may succeed. Anything else: poison (W9).
    pub(crate) fn step(&mut self) -> Result<JobStep> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Begin => self.phase = self.next_output()?,
            Phase::Ordering(mut order, done) => match self.morsels.get(done) {
                Some(morsel) => {
                    order.begin(morsel.unit);
                    match self.pinned.scan(morsel, &self.order_columns(), None) {
                        Ok(keys) => order.add(&keys)?,
                        Err(error) => return unreadable(error),
                    }
                    self.phase = Phase::Ordering(order, done + 1);
                }
                None => {
                    self.order = Some(order.finish());
                    self.phase = Phase::Begin;
                }
            },
            Phase::Writing(mut writer, mut pass) => match pass.next(&self.pinned, self.order.as_ref()) {
                Ok(Some(batch)) => {
                    writer.add(&batch)?;
                    self.phase = Phase::Writing(writer, pass);
                }
                Ok(None) if writer.next_group()? => {
                    let pass = self.pass(writer.columns());
                    self.phase = Phase::Writing(writer, pass);
                }
                Ok(None) => {
                    let output = self.finish(*writer)?;
                    self.written.push(output);
                    self.phase = Phase::Begin;
                }
                Err(error) => return unreadable(error),
            },
            Phase::Written => {
                let inputs = self.inputs()?;
                let installed = install(&self.node, self.table, &inputs, std::mem::take(&mut self.written))?;
                if installed.is_none() {
                    self.give_up();
                }
                return Ok(installed.map_or(JobStep::Abandoned, JobStep::Installed));
            }
            Phase::Over => return Err(Error::internal("a rewrite was continued after its end")),
        }
        Ok(JobStep::More)
    }

    /// Removes the files of the outputs, which nothing names.
    pub(crate) fn give_up(&mut self) {
        self.phase = Phase::Over;
        self.written.clear();
        self.outputs.iter().for_each(|(unit, _)| crate::manifest::remove_segment_files(&self.node, *unit));
    }

    /// Whether all rows are written and durable: the next step installs them.
    #[cfg(test)]
    pub(crate) fn is_written(&self) -> bool {
        matches!(self.phase, Phase::Written)
    }

    /// Starts the output after those that are written.
    fn next_output(&self) -> Result<Phase> {
        let Some((unit, _)) = self.outputs.get(self.written.len()) else { return Ok(Phase::Written) };
        let schema = self.pinned.schema();
        let mut writer = OutputWriter::create(&self.node, *unit, schema, self.keys.as_ref())?;
        if self.order.is_some() {
            writer.set_order(&sort_key(schema));
        }
        let pass = self.pass(writer.columns());
        Ok(Phase::Writing(Box::new(writer), pass))
    }

    /// The rows of the present output, for these columns.
    fn pass(&self, columns: Vec<ScanColumn>) -> Pass {
        match &self.order {
            None => Pass::in_order(self.morsels.clone(), columns),
            Some(order) => {
                let scattered =
                    !order.is_merge() && self.sources.iter().any(|source| self.pinned.is_stored(source.unit));
                let window = if scattered { self.node.options.compaction_memory_bytes / 4 } else { STEP_BYTES };
                Pass::by_place(self.places(), columns, window)
            }
        }
    }

    /// The places of the present output.
    fn places(&self) -> std::ops::Range<u32> {
        let start = |number: usize| self.outputs.get(number).map_or(self.rows, |(_, start)| *start);
        start(self.written.len())..start(self.written.len() + 1)
    }

    fn order_columns(&self) -> Vec<ScanColumn> {
        let key = sort_key(self.pinned.schema());
        key.into_iter().map(ScanColumn::Column).chain([ScanColumn::Row]).collect()
    }

    /// The maps say that the outputs have exactly the rows alive at the pin; nothing is installed that has others.
    fn finish(&self, writer: OutputWriter) -> Result<Output> {
        let (expected, found) = (self.places().len(), writer.rows());
        if usize::try_from(found).ok() != Some(expected) {
            return Err(Error::internal(format!("{found} rows were written as {}, not {expected}", writer.unit())));
        }
        writer.finish(&self.node)
    }

    /// Where the rows went.
    fn inputs(&self) -> Result<Vec<Input>> {
        let places = self.order.as_ref().map(SortedRows::places);
        if self.order.as_ref().is_some_and(|order| order.len() != self.rows) {
            return Err(Error::internal("a rewrite sorted other rows than it has"));
        }
        let mut first = 0;
        let inputs = self.sources.iter().map(|Source { unit, deletes }| {
            let (start, deletes, outputs) = (first, deletes.clone(), Arc::clone(&self.outputs));
            first += deletes.live();
            let map = match &places {
                None => RowMap::in_order(deletes, outputs, start),
                Some(places) => {
                    let start = usize::try_from(start).unwrap_or(usize::MAX);
                    RowMap::sorted(deletes, outputs, Arc::clone(places), start)
                }
            };
            Input { unit: *unit, map }
        });
        Ok(inputs.collect())
    }
}

/// How many segments sorted rows make: as few as keep each near its best size. A generation becomes one.
fn output_count(node: &Node, state: &ShardState, inputs: &[UnitId], rows: u32) -> u32 {
    if inputs.iter().any(|unit| state.segment(*unit).is_none()) {
        return u32::from(rows > 0);
    }
    let segments = inputs.iter().filter_map(|unit| state.segment(*unit));
    let bytes = segments.map(|view| {
        u128::from(view.segment.bytes()) * u128::from(view.deletes.live()) / u128::from(view.segment.rows().max(1))
    });
    let bytes = u64::try_from(bytes.sum::<u128>()).unwrap_or(u64::MAX);
    let target = node.options.compaction_bytes_target.max(1);
    // What is a little larger than the target stays whole.
    let by_bytes = u32::try_from((bytes + target / 2) / target).unwrap_or(u32::MAX);
    let by_bytes = by_bytes.min(rows / OUTPUT_ROWS_MIN);
    by_bytes.max(rows.div_ceil(sorted_rows_max(sortable_rows(node.options.compaction_memory_bytes))))
}

/// A failure to read ends the job; what is short for a moment may be tried again.
fn unreadable(error: Error) -> Result<JobStep> {
    if is_harmless(&error) { Err(error) } else { Ok(JobStep::Unreadable(error)) }
}

/// Whether a failure to write a file leaves everything else as it was (W9): there is no space for it, or no open file.
pub(crate) fn is_harmless(error: &Error) -> bool {
    matches!(error.condition(), Condition::DiskFull | Condition::InsufficientResources)
}

/// Fewest rows of an output, however large they are: a file has a size of its own.
const OUTPUT_ROWS_MIN: u32 = 256;
/// Most rows that one step writes, and the memory that it should take for them.
pub(super) const STEP_ROWS: u32 = 32_768;
pub(super) const STEP_BYTES: u64 = 8 << 20;

//! Key runs that are not there.

use std::sync::Arc;

use outcrop_env::{Env, reached};
use outcrop_segment::{KeyRun, KeyRunBuilder, KeyRunPlace, PageCache, ScanColumn, Segment};
use outcrop_types::{Error, Result, TableSchema, UnitId};

use super::ShardKeys;
use crate::node::SEGMENT_DIR;
use crate::snapshot::ShardState;

/// Writes the run of each segment of a shard that no run covers, from the segment's key columns. Returns their units.
///
/// Only after damage, and for a directory of a build that had no runs: a segment is never installed without one.
pub(crate) fn rebuild_runs(
    env: &Env,
    cache: &Arc<PageCache>,
    schema: &TableSchema,
    state: &mut ShardState,
) -> Result<Vec<UnitId>> {
    let Some(keys) = state.keys().map(Arc::clone) else { return Ok(Vec::new()) };
    let missing: Vec<Arc<Segment>> = state.uncovered().map(Arc::clone).collect();
    let mut units = Vec::with_capacity(missing.len());
    for segment in missing {
        let unit = segment.unit();
        reached!("start.key_run_built_anew");
        tracing::warn!(segment = %unit, table = %schema.name, rows = segment.rows(), "its key run is built anew");
        build(env, schema, &keys, &segment)?;
        let run = KeyRun::open(env, SEGMENT_DIR, (segment.meta().log_id, unit), cache)?;
        state.add_run(run.ok_or_else(|| Error::internal(format!("key run {unit} is gone again")))?);
        units.push(unit);
    }
    Ok(units)
}

fn build(env: &Env, schema: &TableSchema, keys: &ShardKeys, segment: &Segment) -> Result<()> {
    let Some(index) = schema.primary_key() else { return Ok(()) };
    let columns: Vec<ScanColumn> = index.columns.iter().map(|id| ScanColumn::Column(*id)).collect();
    let mut builder = KeyRunBuilder::new(segment.unit(), keys.encoder().width());
    // Dead rows too: entries are counted by row.
    for start in (0..segment.rows()).step_by(STEP_ROWS) {
        let end = segment.rows().min(start.saturating_add(u32::try_from(STEP_ROWS).unwrap_or(u32::MAX)));
        let scanned = segment.scan(schema, &columns, start..end, None, None)?;
        builder.add(&keys.encode(scanned.batch.columns())?);
    }
    // A segment of a log that this one goes on from has its run under the name of that one.
    let place = KeyRunPlace { log_id: segment.meta().log_id, ..keys.run_place(segment.unit()) };
    builder.finish(env, &place)
}

/// Rows that are read at a time.
const STEP_ROWS: usize = 65_536;

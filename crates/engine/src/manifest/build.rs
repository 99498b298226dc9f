//! From a version to a manifest. Pure.

use bytes::Bytes;
use outcrop_format::Manifest;
use outcrop_format::envelope::Features;
use outcrop_format::manifest::{ManifestGeneration, ManifestRun, ManifestSegment, ManifestShard, ManifestTable};
use outcrop_types::{CommitSeq, Epoch, Error, LogId, Result, ShardId, TableId, UnitId};

use super::deletes::SaidDeletes;
use crate::snapshot::{ShardState, Version};

/// What a manifest says beside the version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) log_id: LogId,
    pub(crate) epoch: Epoch,
    pub(crate) wall_us: i64,
    pub(crate) next_unit: UnitId,
    pub(crate) next_table: TableId,
}

/// The manifest of a published version.
pub(super) fn build(version: &Version, stamp: Stamp, deletes: &SaidDeletes) -> Result<Manifest> {
    let Stamp { log_id, epoch, wall_us, next_unit, next_table } = stamp;
    let mut tables = Vec::with_capacity(version.tables.len());
    for state in version.tables.values() {
        let shards =
            (0_u16..).zip(&state.shards).map(|(number, shard)| build_shard(ShardId::new(number), shard, deletes));
        tables.push(ManifestTable { schema: state.schema.as_ref().clone(), shards: shards.collect() });
    }
    Ok(Manifest {
        log_id,
        epoch,
        features: Features::default(),
        checkpoint: version.seq,
        wall_us,
        next_unit,
        next_table,
        log_start: log_start_of(version)?,
        schemas: version.catalog.schemas().map(str::to_owned).collect(),
        tables,
        feeds: version.feeds.to_manifest(),
        deletes_files: deletes.files.clone(),
    })
}

/// The first commit that recovery from `version` needs: that of its oldest row outside of segments, or the next one.
pub(crate) fn log_start_of(version: &Version) -> Result<CommitSeq> {
    let next = version.seq.next().ok_or_else(|| Error::internal("the log is full"))?;
    let shards = version.tables.values().flat_map(|table| &table.shards);
    let oldest = shards.flat_map(|shard| shard.generations().filter_map(|generation| generation.first_seq).min());
    Ok(oldest.min().unwrap_or(next))
}

fn build_shard(shard: ShardId, state: &ShardState, deletes: &SaidDeletes) -> ManifestShard {
    let segments = state.segments().map(|view| {
        let meta = view.segment.meta();
        let mut bytes = Vec::new();
        meta.encode(&mut bytes);
        ManifestSegment {
            unit: meta.unit,
            log_id: meta.log_id,
            rows: meta.rows,
            meta: Bytes::from(bytes),
            deletes: deletes.inline.get(&meta.unit).cloned().unwrap_or_default(),
        }
    });
    let generations = state.generations().map(|generation| ManifestGeneration {
        unit: generation.unit,
        rows: generation.rows,
        first_seq: generation.first_seq.unwrap_or_default(),
    });
    let runs = state.runs().map(|run| ManifestRun {
        unit: run.unit(),
        log_id: run.log_id(),
        segments: run.segments().iter().map(|segment| segment.unit).collect(),
    });
    ManifestShard { shard, segments: segments.collect(), generations: generations.collect(), runs: runs.collect() }
}

use bytes::Bytes;
use outcrop_testkit::generate::{SchemaShape, schemas};
use outcrop_types::{CommitSeq, Epoch, LogId, ShardId, TableId, UnitId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Manifest, ManifestGeneration, ManifestRun, ManifestSegment, ManifestShard, ManifestTable};
use crate::deletes_file::NamedDeletesFile;
use crate::envelope::Features;
use crate::feed::{FeedTables, KeptSchema, KeptUnit, ManifestCursor, ManifestFeeds};

fn encoded(manifest: &Manifest) -> Vec<u8> {
    let mut bytes = Vec::new();
    manifest.encode(&mut bytes);
    bytes
}

fn shards() -> impl Strategy<Value = ManifestShard> {
    let blob = || vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let segment = (any::<(u64, [u8; 16], u32)>(), blob(), blob()).prop_map(|((unit, log, rows), meta, deletes)| {
        ManifestSegment { unit: UnitId::new(unit), log_id: LogId::from_bytes(log), rows, meta, deletes }
    });
    let generation = any::<(u64, u32, u64)>().prop_map(|(unit, rows, seq)| ManifestGeneration {
        unit: UnitId::new(unit),
        rows,
        first_seq: CommitSeq::new(seq),
    });
    let run = any::<(u64, [u8; 16], Vec<u64>)>().prop_map(|(unit, log, segments)| ManifestRun {
        unit: UnitId::new(unit),
        log_id: LogId::from_bytes(log),
        segments: segments.into_iter().map(UnitId::new).collect(),
    });
    (any::<u16>(), vec(segment, 0..3), vec(generation, 0..3), vec(run, 0..3)).prop_map(
        |(shard, segments, generations, runs)| ManifestShard {
            shard: ShardId::new(shard),
            segments,
            generations,
            runs,
        },
    )
}

fn feeds() -> impl Strategy<Value = ManifestFeeds> {
    let tables = proptest::option::of(proptest::collection::btree_set(any::<u32>().prop_map(TableId::new), 0..4));
    let cursor =
        (".{0,9}", tables, any::<u64>(), proptest::option::of(".{0,9}")).prop_map(|(name, tables, position, ended)| {
            ManifestCursor {
                name,
                tables: tables.map_or(FeedTables::All, FeedTables::Some),
                position: CommitSeq::new(position),
                ended,
            }
        });
    let numbers = any::<(u64, u32, u64, u64, u64, Option<Vec<u8>>)>();
    let unit = numbers.prop_map(|(unit, table, left_at, bytes, first_seq, expired)| KeptUnit {
        unit: UnitId::new(unit),
        table: TableId::new(table),
        left_at: CommitSeq::new(left_at),
        bytes,
        first_seq: (first_seq > 0).then_some(CommitSeq::new(first_seq)),
        expired: expired.map(Bytes::from),
    });
    let schema = (any::<u64>(), schemas(SchemaShape::default()))
        .prop_map(|(left_at, schema)| KeptSchema { left_at: CommitSeq::new(left_at), schema });
    (vec(cursor, 0..3), vec(unit, 0..3), vec(schema, 0..2)).prop_map(|(cursors, units, schemas)| ManifestFeeds {
        cursors,
        units,
        schemas,
    })
}

fn manifests() -> impl Strategy<Value = Manifest> {
    let table = (schemas(SchemaShape::default()), vec(shards(), 0..3))
        .prop_map(|(schema, shards)| ManifestTable { schema, shards });
    let numbers = any::<([u8; 16], u32, u64, i64, u64, u32, u64, u64)>();
    let file =
        any::<(u64, u64, u64)>().prop_map(|(number, bytes, checksum)| NamedDeletesFile { number, bytes, checksum });
    (numbers, vec(".{0,9}", 0..3), vec(table, 0..3), feeds(), vec(file, 0..3)).prop_map(|drawn| {
        let (numbers, schemas, tables, feeds, deletes_files) = drawn;
        let (log_id, epoch, checkpoint, wall_us, next_unit, next_table, log_start, optional) = numbers;
        Manifest {
            log_id: LogId::from_bytes(log_id),
            epoch: Epoch::new(epoch),
            features: Features { required: 0, optional },
            checkpoint: CommitSeq::new(checkpoint),
            wall_us,
            next_unit: UnitId::new(next_unit),
            next_table: TableId::new(next_table),
            log_start: CommitSeq::new(log_start),
            schemas,
            tables,
            feeds,
            deletes_files,
        }
    })
}

proptest! {
    #[test]
    fn manifests_come_back(manifest in manifests()) {
        prop_assert_eq!(Manifest::decode(&encoded(&manifest)), Ok(manifest));
    }

    #[test]
    fn b4_any_damage_is_an_error(manifest in manifests(), position in any::<usize>(), flip in 1_u8..) {
        let mut bytes = encoded(&manifest);
        let position = position % bytes.len();
        bytes[position] ^= flip;
        prop_assert!(Manifest::decode(&bytes).is_err());
    }
}

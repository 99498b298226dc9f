use outcrop_testkit::generate::{data_types, values_of};
use outcrop_types::{ColumnId, CommitSeq, LogId, SchemaVersion, TableId, UnitId, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{ColumnZones, MetaColumn, MetaFile, MetaFileKind, PAGE_BYTES, SegmentMeta, Zone};
use crate::error::DecodeProblem;

/// Debug text stands for the value: NaN is a legal bound and does not equal itself.
fn assert_comes_back(meta: &SegmentMeta) {
    let bytes = encoded(meta);
    let found = SegmentMeta::decode(&bytes).unwrap();
    assert_eq!(format!("{found:?}"), format!("{meta:?}"));
    assert_eq!(encoded(&found), bytes);
}

fn encoded(meta: &SegmentMeta) -> Vec<u8> {
    let mut bytes = Vec::new();
    meta.encode(&mut bytes);
    bytes
}

fn columns() -> impl Strategy<Value = (MetaColumn, ColumnZones)> {
    data_types().prop_flat_map(|data_type| {
        let bound = || option::of(values_of(&data_type));
        let zone = (bound(), bound(), any::<u32>()).prop_map(|(min, max, null_count)| Zone { min, max, null_count });
        let parts = (Just(data_type.clone()), any::<(u32, u32)>(), bound(), bound(), vec(zone, 3));
        parts.prop_map(|(data_type, (id, null_count), min, max, zones)| {
            let id = ColumnId::new(id);
            (MetaColumn { id, data_type, null_count, min, max }, ColumnZones { column: id, zones })
        })
    })
}

fn files() -> impl Strategy<Value = MetaFile> {
    let kind = prop_oneof![
        any::<u16>().prop_map(|version| MetaFileKind::Data { version }),
        any::<(u16, u16)>().prop_map(|(kind, version)| MetaFileKind::Index { kind, version }),
    ];
    ("[a-z/]{0,20}", kind, vec(any::<u32>(), 0..5), 1..=PAGE_BYTES, vec(any::<u32>(), 0..5)).prop_map(
        |(name, kind, page_crc32c, last_page, columns)| {
            let full_pages = (page_crc32c.len() as u64).checked_sub(1);
            let length = full_pages.map_or(0, |pages| pages * u64::from(PAGE_BYTES) + u64::from(last_page));
            let columns = columns.into_iter().map(ColumnId::new).collect();
            MetaFile { name, kind, length, page_crc32c, columns }
        },
    )
}

fn metas() -> impl Strategy<Value = SegmentMeta> {
    (any::<([u8; 16], u64, u32, u64, u64, u32, i64)>(), vec(columns(), 0..4), vec(files(), 0..3)).prop_map(
        |((log_id, unit, table, min_seq, max_seq, version, created_wall_us), columns, files)| {
            let (columns, zones) = columns.into_iter().unzip();
            SegmentMeta {
                log_id: LogId::from_bytes(log_id),
                unit: UnitId::new(unit),
                table: TableId::new(table),
                rows: 20_000,
                min_seq: CommitSeq::new(min_seq),
                max_seq: CommitSeq::new(max_seq),
                schema_version: SchemaVersion::new(version),
                created_wall_us,
                block_rows: 8_192,
                columns,
                files,
                zones,
                sorted_by: (0..table % 3).map(ColumnId::new).collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn metas_come_back(meta in metas()) {
        assert_comes_back(&meta);
    }

    #[test]
    fn b4_any_damage_is_an_error(meta in metas(), position in any::<usize>(), flip in 1_u8..) {
        let mut bytes = encoded(&meta);
        let position = position % bytes.len();
        bytes[position] ^= flip;
        prop_assert!(SegmentMeta::decode(&bytes).is_err());
    }
}

fn meta_with(zones: Vec<Zone>) -> SegmentMeta {
    SegmentMeta {
        log_id: LogId::from_bytes([1; 16]),
        unit: UnitId::new(1),
        table: TableId::new(1),
        rows: u32::try_from(zones.len()).unwrap() * 8_192,
        min_seq: CommitSeq::new(1),
        max_seq: CommitSeq::new(1),
        schema_version: SchemaVersion::new(1),
        created_wall_us: 0,
        block_rows: 8_192,
        columns: Vec::new(),
        files: Vec::new(),
        zones: vec![ColumnZones { column: ColumnId::new(1), zones }],
        sorted_by: Vec::new(),
    }
}

#[test]
fn zones_of_a_sorted_column_take_few_bytes() {
    let zone = |block: i64| {
        let first = 1_700_000_000_000_000 + block * 8_192_000;
        let (min, max) = (Value::Timestamp(first), Value::Timestamp(first + 8_191_000));
        Zone { min: Some(min), max: Some(max), null_count: 0 }
    };
    let meta = meta_with((0..128).map(zone).collect());
    assert_comes_back(&meta);
    let bytes = encoded(&meta).len() - encoded(&meta_with(Vec::new())).len();
    assert!(bytes < 128 * 11, "{bytes} bytes");
}

#[test]
fn extreme_bounds_survive_the_differences() {
    let zone = |min, max| Zone { min: Some(Value::Int(min)), max: Some(Value::Int(max)), null_count: 1 };
    assert_comes_back(&meta_with(vec![zone(i64::MIN, i64::MAX), zone(i64::MAX, i64::MIN), zone(0, -1)]));
}

#[test]
fn zones_and_pages_that_do_not_cover_the_segment_are_refused() {
    let zone = Zone { min: None, max: None, null_count: 0 };
    let mut meta = meta_with(vec![zone; 2]);
    meta.rows += 1;
    let problem = DecodeProblem::Inconsistent("zones do not cover the rows");
    assert_eq!(SegmentMeta::decode(&encoded(&meta)).unwrap_err().what, problem);

    let mut meta = meta_with(Vec::new());
    let kind = MetaFileKind::Data { version: 1 };
    let length = u64::from(PAGE_BYTES) + 1;
    meta.files = vec![MetaFile { name: "a".to_owned(), kind, length, page_crc32c: vec![0], columns: Vec::new() }];
    let problem = DecodeProblem::Inconsistent("pages do not cover the file");
    assert_eq!(SegmentMeta::decode(&encoded(&meta)).unwrap_err().what, problem);
}

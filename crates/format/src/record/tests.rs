use bytes::Bytes;
use outcrop_testkit::batch_of;
use outcrop_testkit::generate::{SchemaShape, rows_for, schemas};
use outcrop_types::{
    ColumnId, CommitSeq, Epoch, RowAddress, RowOrdinal, SchemaVersion, ShardId, TableId, TableSchema, UnitId,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    Change, CommitRecord, DdlChange, Expire, Install, InstalledSegment, Op, Ops, RowChange, SourceOffset, StagedCommit,
    Victims,
};
use crate::batch::encode_batch;
use crate::error::DecodeProblem;
use crate::feed::{FeedChange, FeedTables};

fn encoded(record: &CommitRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

fn addresses() -> impl Strategy<Value = RowAddress> {
    let unit = prop_oneof![1..4_u64, any::<u64>()];
    let row = prop_oneof![0..100_u32, any::<u32>()];
    (unit, row).prop_map(|(unit, row)| RowAddress::new(UnitId::new(unit), RowOrdinal::new(row)))
}

fn row_changes() -> impl Strategy<Value = RowChange> {
    let shape = SchemaShape { columns: 1..=4, ..SchemaShape::default() };
    let content = schemas(shape).prop_flat_map(|schema| (Just(schema.clone()), rows_for(&schema, 12)));
    let victims = vec((0..3_u8, addresses()), 12);
    (content, victims, vec(addresses(), 0..6), any::<(u32, u16, u32)>()).prop_map(
        |((schema, rows), kinds, deletes, (first_row, shard, version))| {
            let mut ops: Vec<Op> = kinds
                .into_iter()
                .take(rows.len())
                .map(|(kind, victim)| if kind == 0 { Op::Update(victim) } else { Op::Insert })
                .collect();
            let all_inserts = !ops.is_empty() && deletes.is_empty() && ops.iter().all(|op| *op == Op::Insert);
            for (place, victim) in deletes.into_iter().enumerate() {
                ops.insert((place * 3).min(ops.len()), Op::Delete(victim));
            }
            let row_count = u32::try_from(rows.len()).unwrap();
            RowChange {
                table: schema.id,
                shard: ShardId::new(shard),
                schema_version: SchemaVersion::new(version),
                generation: UnitId::new(u64::from(version) << 20),
                first_row: RowOrdinal::new(first_row % (u32::MAX - 12)),
                rows: encoded_rows(&schema, &rows),
                row_count,
                ops: if all_inserts { Ops::AllInserts { count: row_count } } else { Ops::List(ops) },
            }
        },
    )
}

fn encoded_rows(schema: &TableSchema, rows: &[outcrop_testkit::Row]) -> Bytes {
    if rows.is_empty() {
        return Bytes::new();
    }
    let ids: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    let mut bytes = Vec::new();
    encode_batch(&batch_of(schema, rows), &ids, &mut bytes).unwrap();
    bytes.into()
}

fn segments() -> impl Strategy<Value = Vec<InstalledSegment>> {
    let segment = (any::<u64>(), any::<u32>(), any::<u32>(), vec(any::<u8>(), 0..20)).prop_map(
        |(unit, rows, meta_crc, deletes)| InstalledSegment { unit: UnitId::new(unit), rows, meta_crc, deletes },
    );
    vec(segment, 0..4)
}

fn ddl_changes() -> impl Strategy<Value = DdlChange> {
    let table = any::<u32>().prop_map(TableId::new);
    prop_oneof![
        ".{0,9}".prop_map(|name| DdlChange::CreateSchema { name }),
        ".{0,9}".prop_map(|name| DdlChange::DropSchema { name }),
        schemas(SchemaShape::default()).prop_map(DdlChange::PutTable),
        table.clone().prop_map(|table| DdlChange::DropTable { table }),
        table.prop_map(|table| DdlChange::Truncate { table }),
    ]
}

fn staged_commits() -> impl Strategy<Value = StagedCommit> {
    let victims = prop_oneof![
        vec(addresses(), 0..20).prop_map(Victims::Inline),
        ("[a-z/]{0,20}", any::<u64>(), any::<u32>()).prop_map(|(name, count, crc32c)| Victims::File {
            name,
            count,
            crc32c
        }),
    ];
    (any::<(u32, u16, u32)>(), segments(), victims).prop_map(|((table, shard, version), segments, victims)| {
        StagedCommit {
            table: TableId::new(table),
            shard: ShardId::new(shard),
            schema_version: SchemaVersion::new(version),
            segments,
            victims,
        }
    })
}

fn feed_changes() -> impl Strategy<Value = FeedChange> {
    let tables = proptest::option::of(proptest::collection::btree_set(any::<u32>().prop_map(TableId::new), 0..4));
    let tables = tables.prop_map(|tables| tables.map_or(FeedTables::All, FeedTables::Some));
    (0..4_u8, ".{0,9}", ".{0,9}", any::<u64>(), tables).prop_map(|(kind, name, reason, to, tables)| match kind {
        0 => FeedChange::Create { name, tables },
        1 => FeedChange::Advance { name, to: CommitSeq::new(to) },
        2 => FeedChange::End { name, reason },
        _ => FeedChange::Drop { name },
    })
}

fn changes() -> impl Strategy<Value = Change> {
    let install =
        (any::<(u32, u16)>(), vec(any::<u64>(), 0..5), segments()).prop_map(|((table, shard), inputs, outputs)| {
            let inputs = inputs.into_iter().map(UnitId::new).collect();
            Install { table: TableId::new(table), shard: ShardId::new(shard), inputs, outputs }
        });
    let expire = (any::<(u32, u16)>(), vec(any::<u64>(), 0..5)).prop_map(|((table, shard), units)| {
        let units = units.into_iter().map(UnitId::new).collect();
        Expire { table: TableId::new(table), shard: ShardId::new(shard), units }
    });
    prop_oneof![
        4 => row_changes().prop_map(Change::Rows),
        2 => ddl_changes().prop_map(Change::Ddl),
        1 => install.prop_map(Change::Install),
        1 => staged_commits().prop_map(Change::Staged),
        1 => feed_changes().prop_map(Change::Feed),
        1 => expire.prop_map(Change::Expire),
    ]
}

fn records() -> impl Strategy<Value = CommitRecord> {
    let offset = (".{0,9}", vec(any::<u8>(), 0..9)).prop_map(|(source, position)| SourceOffset { source, position });
    let token = proptest::option::of(vec(any::<u8>(), 0..20));
    (any::<(u64, u32, i64, u64)>(), token, vec(offset, 0..3), vec(changes(), 0..4)).prop_map(
        |((seq, epoch, wall_us, transaction), token, offsets, changes)| CommitRecord {
            seq: CommitSeq::new(seq),
            epoch: Epoch::new(epoch),
            wall_us,
            transaction,
            token,
            offsets,
            changes,
        },
    )
}

proptest! {
    #[test]
    fn records_come_back(record in records()) {
        prop_assert_eq!(CommitRecord::decode(&encoded(&record)), Ok(record));
    }

    #[test]
    fn b2_damaged_records_never_panic(
        record in records(),
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
        cut in any::<usize>(),
    ) {
        let mut bytes = encoded(&record);
        let _outcome: Result<CommitRecord, _> = CommitRecord::decode(&bytes[..cut % bytes.len()]);
        for (position, byte) in damage {
            let position = position % bytes.len();
            bytes[position] = byte;
        }
        let _outcome: Result<CommitRecord, _> = CommitRecord::decode(&bytes);
    }

    #[test]
    fn b2_any_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _outcome: Result<CommitRecord, _> = CommitRecord::decode(&bytes);
        let with_version: Vec<u8> = [1].into_iter().chain(bytes).collect();
        let _outcome: Result<CommitRecord, _> = CommitRecord::decode(&with_version);
    }
}

fn deletes_only(ops: Vec<Op>) -> CommitRecord {
    let change = RowChange {
        table: TableId::new(1),
        shard: ShardId::new(0),
        schema_version: SchemaVersion::new(1),
        generation: UnitId::new(9),
        first_row: RowOrdinal::new(0),
        rows: Bytes::new(),
        row_count: 0,
        ops: Ops::List(ops),
    };
    CommitRecord {
        seq: CommitSeq::new(1),
        epoch: Epoch::new(1),
        wall_us: 0,
        transaction: 0,
        token: None,
        offsets: Vec::new(),
        changes: vec![Change::Rows(change)],
    }
}

#[test]
fn a_thousand_neighbouring_victims_take_two_bytes_each() {
    let victim = |row| Op::Delete(RowAddress::new(UnitId::new(1_000_000), RowOrdinal::new(row)));
    let bytes = encoded(&deletes_only((5_000_000..5_001_000).map(victim).collect()));
    assert!(bytes.len() < 2_050, "{} bytes", bytes.len());
}

#[test]
#[should_panic(expected = "F3 violated")]
fn f3_a_record_whose_operations_do_not_match_its_rows_is_never_written() {
    encoded(&deletes_only(vec![Op::Insert]));
}

#[test]
fn f3_operations_that_do_not_match_the_rows_are_refused() {
    let victim = RowAddress::new(UnitId::new(1), RowOrdinal::new(1));
    let mut bytes = encoded(&deletes_only(vec![Op::Delete(victim)]));
    let run = bytes.len() - 3;
    assert_eq!(bytes[run..], [0b110, 2, 1], "one delete of the victim");
    bytes[run] = 0b101;
    let problem = DecodeProblem::Inconsistent("operations do not match the rows");
    assert_eq!(CommitRecord::decode(&bytes).unwrap_err().what, problem);
}

#[test]
fn a_record_of_a_newer_version_is_refused_by_name() {
    let mut bytes = encoded(&deletes_only(Vec::new()));
    bytes[0] = 2;
    let problem = DecodeProblem::Version { what: "commit record", found: 2, newest: 1 };
    assert_eq!(CommitRecord::decode(&bytes).unwrap_err().what, problem);
}

#[test]
fn a_record_with_an_unknown_change_is_refused_by_name() {
    let mut bytes = encoded(&deletes_only(Vec::new()));
    let tag = 40_u16;
    crate::cursor::Encoder::new(&mut bytes).put_section(tag, crate::section::WhenUnknown::Refuse, |_| {});
    let problem = DecodeProblem::Section { container: "commit record", tag };
    assert_eq!(CommitRecord::decode(&bytes).unwrap_err().what, problem);
}

#[test]
fn victims_and_new_rows_of_operations_are_counted() {
    let victim = RowAddress::new(UnitId::new(1), RowOrdinal::new(2));
    let ops = Ops::List(vec![Op::Insert, Op::Delete(victim), Op::Update(victim)]);
    assert_eq!((ops.new_rows(), ops.victims().collect::<Vec<_>>()), (2, vec![victim, victim]));
    let ops = Ops::AllInserts { count: 7 };
    assert_eq!((ops.new_rows(), ops.victims().count()), (7, 0));
}

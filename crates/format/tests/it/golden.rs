//! Every format of version 1, byte for byte (style rules 49 and 50). The builders below are the oracle: they and the files
//! in `tests/formats/v1` are never edited. A change of format adds a version, builders and files.
//!
//! A new file is written by `cargo test -p outcrop-format --test it -- --ignored write_golden_files`, which refuses to
//! touch one that exists.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use outcrop_format::batch::{decode_batch, encode_batch};
use outcrop_format::cursor::{Decoder, Encoder};
use outcrop_format::deletes::{decode_deletes, encode_deletes};
use outcrop_format::deletes_file::{DeletesFile, NamedDeletesFile};
use outcrop_format::envelope::Features;
use outcrop_format::feed::{FeedChange, FeedTables, KeptSchema, KeptUnit, ManifestCursor, ManifestFeeds};
use outcrop_format::key::{KeyCodec, KeyHash, KeyWidth};
use outcrop_format::key_run::entries::capacity;
use outcrop_format::key_run::filter::BLOCK_BYTES;
use outcrop_format::key_run::{
    CoveredSegment, EntryPage, EntryPageBuilder, KeyFilter, KeyRunHeader, PAGE_BYTES, Page, PagePlace, RunEntry,
    fences, put_fences,
};
use outcrop_format::manifest::{
    Manifest, ManifestGeneration, ManifestRun, ManifestSegment, ManifestShard, ManifestTable,
};
use outcrop_format::meta::{ColumnZones, MetaColumn, MetaFile, MetaFileKind, SegmentMeta, Zone};
use outcrop_format::record::{
    Change, CommitRecord, DdlChange, Expire, Install, InstalledSegment, Op, Ops, RowChange, SourceOffset, StagedCommit,
    Victims,
};
use outcrop_format::schema::{decode_table_schema, encode_table_schema};
use outcrop_testkit::{Row, assert_same_rows, batch_of, rows_of};
use outcrop_types::{
    Column, ColumnId, Comments, CommitSeq, DataType, Epoch, IndexId, KeyIndex, KeySecret, LogId, Retention, RowAddress,
    RowOrdinal, SchemaVersion, ShardId, TableId, TableName, TableOptions, TableSchema, UnitId, Value,
};

fn path(name: &str) -> PathBuf {
    outcrop_testkit::repository().join("tests/formats/v1").join(name)
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut schema = Vec::new();
    encode_table_schema(&table_schema(), &mut Encoder::new(&mut schema));
    let mut record = Vec::new();
    commit_record().encode(&mut record);
    let mut manifest_file = Vec::new();
    manifest().encode(&mut manifest_file);
    let mut meta_file = Vec::new();
    segment_meta().encode(&mut meta_file);
    let mut key_schema_file = Vec::new();
    encode_table_schema(&key_schema(), &mut Encoder::new(&mut key_schema_file));
    let mut altered_schema_file = Vec::new();
    encode_table_schema(&altered_schema(), &mut Encoder::new(&mut altered_schema_file));
    let mut options_schema_file = Vec::new();
    encode_table_schema(&options_schema(), &mut Encoder::new(&mut options_schema_file));
    let mut sorted_meta_file = Vec::new();
    sorted_meta().encode(&mut sorted_meta_file);
    let mut expire_file = Vec::new();
    expire_record().encode(&mut expire_file);
    let mut manifest_with_runs = Vec::new();
    key_manifest().encode(&mut manifest_with_runs);
    let mut manifest_with_feeds = Vec::new();
    feed_manifest().encode(&mut manifest_with_feeds);
    let mut manifest_with_expired = Vec::new();
    expired_manifest().encode(&mut manifest_with_expired);
    let mut manifest_with_deletes = Vec::new();
    deletes_manifest().encode(&mut manifest_with_deletes);
    let mut feed_record_file = Vec::new();
    feed_record().encode(&mut feed_record_file);
    vec![
        ("batch.bin", batch()),
        ("deletes.bin", deletes()),
        ("deletes-file.bin", encoded_deletes_file()),
        ("key-run-half.bin", key_run(KeyWidth::Half)),
        ("key-run-whole.bin", key_run(KeyWidth::Whole)),
        ("keys.bin", keys()),
        ("manifest-deletes-files.bin", manifest_with_deletes),
        ("manifest-feeds.bin", manifest_with_feeds),
        ("manifest-feeds-expired.bin", manifest_with_expired),
        ("manifest-key-runs.bin", manifest_with_runs),
        ("record-feeds.bin", feed_record_file),
        ("schema-key-secret.bin", key_schema_file),
        ("schema-options.bin", options_schema_file),
        ("record-expire.bin", expire_file),
        ("segment-meta-order.bin", sorted_meta_file),
        ("manifest.bin", manifest_file),
        ("record.bin", record),
        ("schema.bin", schema),
        ("schema-altered.bin", altered_schema_file),
        ("segment-meta.bin", meta_file),
    ]
}

#[test]
#[ignore = "writes golden files of new formats"]
fn write_golden_files() {
    for (name, bytes) in files() {
        let path = path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !path.exists() {
            fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn b5_every_format_is_written_as_ever() {
    for (name, bytes) in files() {
        let golden = fs::read(path(name)).unwrap();
        let first = golden.iter().zip(&bytes).position(|(a, b)| a != b);
        assert!(golden == bytes, "{name}: {} bytes, now {}; first difference at {first:?}", golden.len(), bytes.len());
    }
}

#[test]
fn b5_every_format_is_read_as_ever() {
    let read = |name| fs::read(path(name)).unwrap();
    let found = decode_batch(&read("batch.bin"), &table_schema()).unwrap();
    assert_same_rows("batch.bin", &rows(), &rows_of(&found));
    let found = decode_deletes(&read("deletes.bin"), 200_000).unwrap();
    assert!(found.iter().eq(dead_rows().map(u64::from)));
    assert_eq!(Manifest::decode(&read("manifest.bin")), Ok(manifest()));
    assert_eq!(CommitRecord::decode(&read("record.bin")), Ok(commit_record()));
    assert_eq!(decode_table_schema(&mut Decoder::new(&read("schema.bin"))), Ok(table_schema()));
    assert_eq!(SegmentMeta::decode(&read("segment-meta.bin")), Ok(segment_meta()));
    assert_eq!(Manifest::decode(&read("manifest-key-runs.bin")), Ok(key_manifest()));
    assert_eq!(Manifest::decode(&read("manifest-feeds.bin")), Ok(feed_manifest()));
    assert_eq!(Manifest::decode(&read("manifest-deletes-files.bin")), Ok(deletes_manifest()));
    assert_eq!(DeletesFile::decode(&read("deletes-file.bin")), Ok(deletes_file()));
    assert_eq!(Manifest::decode(&read("manifest-feeds-expired.bin")), Ok(expired_manifest()));
    assert_eq!(CommitRecord::decode(&read("record-feeds.bin")), Ok(feed_record()));
    assert_eq!(decode_table_schema(&mut Decoder::new(&read("schema-key-secret.bin"))), Ok(key_schema()));
    assert_eq!(decode_table_schema(&mut Decoder::new(&read("schema-altered.bin"))), Ok(altered_schema()));
    assert_eq!(decode_table_schema(&mut Decoder::new(&read("schema-options.bin"))), Ok(options_schema()));
    assert_eq!(SegmentMeta::decode(&read("segment-meta-order.bin")), Ok(sorted_meta()));
    assert_eq!(CommitRecord::decode(&read("record-expire.bin")), Ok(expire_record()));
    for (name, width) in [("key-run-half.bin", KeyWidth::Half), ("key-run-whole.bin", KeyWidth::Whole)] {
        check_key_run(&read(name), width);
    }
}

/// A table that lost a column, with comments.
fn altered_schema() -> TableSchema {
    let mut schema = table_schema();
    schema.columns.retain(|column| column.id != ColumnId::new(18));
    schema.version = SchemaVersion::new(9);
    schema.next_column = ColumnId::new(19);
    schema.comments.table = Some("Bestellungen".to_owned());
    schema.comments.columns = [(ColumnId::new(2), "ob bezahlt".to_owned())].into();
    schema
}

fn types() -> Vec<DataType> {
    vec![
        DataType::Int8,
        DataType::Bool,
        DataType::Int2,
        DataType::Int4,
        DataType::Float4,
        DataType::Float8,
        DataType::Numeric { precision: 10, scale: 2 },
        DataType::Numeric { precision: 50, scale: 5 },
        DataType::Text,
        DataType::Varchar { length: 20 },
        DataType::Bytea,
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::TimestampTz,
        DataType::Uuid,
        DataType::Jsonb,
        DataType::Array(Box::new(DataType::Text)),
    ]
}

fn table_schema() -> TableSchema {
    let columns = (1..).zip(types()).map(|(number, data_type)| Column {
        id: ColumnId::new(number),
        name: format!("column {number}"),
        data_type,
        collation: 0,
        nullable: number != 1,
        initial_default: if number == 9 { Value::Text("älter".to_owned()) } else { Value::Null },
        write_default: (number == 14).then(|| "now()".to_owned()),
    });
    TableSchema {
        id: TableId::new(300),
        version: SchemaVersion::new(2),
        name: TableName::new("commons", "golden"),
        columns: columns.collect(),
        keys: vec![KeyIndex {
            id: IndexId::new(1),
            name: "golden_pkey".to_owned(),
            columns: vec![ColumnId::new(1)],
            secret: KeySecret::default(),
        }],
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    }
}

/// A schema with the sections that came with table options.
fn options_schema() -> TableSchema {
    let retention = Retention { column: ColumnId::new(15), period_us: 30 * 86_400_000_000 };
    let options = TableOptions {
        append_only: true,
        sort_key: vec![ColumnId::new(15), ColumnId::new(9)],
        retention: Some(retention),
    };
    TableSchema { keys: Vec::new(), options, ..table_schema() }
}

/// The change that came with retention.
fn expire_record() -> CommitRecord {
    let expire = Expire {
        table: TableId::new(300),
        shard: ShardId::new(0),
        units: vec![UnitId::new(7), UnitId::new(1_000_000)],
    };
    CommitRecord {
        seq: CommitSeq::new(77),
        epoch: Epoch::new(3),
        wall_us: 1_700_000_000_000_000,
        transaction: 0,
        token: None,
        offsets: Vec::new(),
        changes: vec![Change::Expire(expire)],
    }
}

fn rows() -> Vec<Row> {
    let full = vec![
        Value::Int(i64::MIN),
        Value::Bool(true),
        Value::Int(-2),
        Value::Int(70_000),
        Value::Float(0.5),
        Value::Float(f64::INFINITY),
        Value::Decimal(-12_345, 2),
        Value::Decimal(99_999_999_999_999_999_999_999, 5),
        Value::Text("short".to_owned()),
        Value::Text("exactly thirteen"[..13].to_owned()),
        Value::Bytes(vec![0, 255]),
        Value::Date(15_706),
        Value::Time(86_399_999_999),
        Value::Timestamp(1_357_034_400_000_000),
        Value::TimestampTz(i64::MAX),
        Value::Uuid(*b"0123456789abcdef"),
        Value::Text("{\"a\": [1, null]}".to_owned()),
        Value::Array(vec![Value::Text("x".to_owned()), Value::Null]),
    ];
    let mut nulls = vec![Value::Null; full.len()];
    nulls[0] = Value::Int(2);
    let mut long = full.clone();
    long[0] = Value::Int(3);
    long[8] = Value::Text("a text that is longer than a view holds: ü€𝄞".to_owned());
    long[17] = Value::Array(Vec::new());
    vec![full, nulls, long]
}

fn batch() -> Vec<u8> {
    let schema = table_schema();
    let ids: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    let mut bytes = Vec::new();
    encode_batch(&batch_of(&schema, &rows()), &ids, &mut bytes).unwrap();
    bytes
}

fn dead_rows() -> impl Iterator<Item = u32> {
    [0, 7, 8_191].into_iter().chain(70_000..80_000).chain((131_072..196_608).step_by(3))
}

fn deletes() -> Vec<u8> {
    encode_deletes(dead_rows())
}

fn address(unit: u64, row: u32) -> RowAddress {
    RowAddress::new(UnitId::new(unit), RowOrdinal::new(row))
}

fn segment(unit: u64, deletes: Vec<u8>) -> InstalledSegment {
    InstalledSegment { unit: UnitId::new(unit), rows: 100_000, meta_crc: 0xdead_beef, deletes }
}

fn commit_record() -> CommitRecord {
    let (table, shard, schema_version) = (TableId::new(300), ShardId::new(0), SchemaVersion::new(2));
    let row_change = |rows: Vec<u8>, row_count, ops| {
        let (generation, first_row) = (UnitId::new(17), RowOrdinal::new(1_000));
        Change::Rows(RowChange {
            table,
            shard,
            schema_version,
            generation,
            first_row,
            rows: Bytes::from(rows),
            row_count,
            ops,
        })
    };
    let mixed = vec![
        Op::Insert,
        Op::Update(address(3, 500)),
        Op::Delete(address(3, 499)),
        Op::Delete(address(17, 900)),
        Op::Update(address(2, u32::MAX)),
    ];
    let staged = |victims| {
        Change::Staged(StagedCommit {
            table,
            shard,
            schema_version,
            segments: vec![segment(19, Vec::new()), segment(20, Vec::new())],
            victims,
        })
    };
    let file = Victims::File { name: "stage/17.victims".to_owned(), count: 1 << 20, crc32c: 0x1234_5678 };
    CommitRecord {
        seq: CommitSeq::new(1_000_000),
        epoch: Epoch::new(4),
        wall_us: 1_790_000_000_000_000,
        transaction: 77,
        token: Some(b"token".to_vec()),
        offsets: vec![SourceOffset { source: "flights/0".to_owned(), position: vec![1, 2, 3] }],
        changes: vec![
            row_change(batch(), 3, Ops::AllInserts { count: 3 }),
            row_change(batch(), 3, Ops::List(mixed)),
            row_change(Vec::new(), 0, Ops::List(vec![Op::Delete(address(1, 1))])),
            Change::Ddl(DdlChange::CreateSchema { name: "commons".to_owned() }),
            Change::Ddl(DdlChange::DropSchema { name: "old".to_owned() }),
            Change::Ddl(DdlChange::PutTable(table_schema())),
            Change::Ddl(DdlChange::DropTable { table: TableId::new(7) }),
            Change::Ddl(DdlChange::Truncate { table: TableId::new(8) }),
            Change::Install(Install {
                table,
                shard,
                inputs: vec![UnitId::new(16), UnitId::new(3)],
                outputs: vec![segment(18, encode_deletes([5, 6]))],
            }),
            staged(Victims::Inline(vec![address(18, 3), address(18, 2), address(4, 9)])),
            staged(file),
        ],
    }
}

fn segment_meta() -> SegmentMeta {
    let zone = |min, max, null_count| Zone { min: Some(Value::Int(min)), max: Some(Value::Int(max)), null_count };
    let column = |id, data_type, min, max| MetaColumn { id: ColumnId::new(id), data_type, null_count: 3, min, max };
    SegmentMeta {
        log_id: LogId::from_bytes(*b"golden log ident"),
        unit: UnitId::new(18),
        table: TableId::new(300),
        rows: 20_000,
        min_seq: CommitSeq::new(10),
        max_seq: CommitSeq::new(999_999),
        schema_version: SchemaVersion::new(2),
        created_wall_us: 1_790_000_000_000_001,
        block_rows: 8_192,
        columns: vec![
            column(1, DataType::Int8, Some(Value::Int(1)), Some(Value::Int(20_000))),
            column(9, DataType::Text, Some(Value::Text("a".to_owned())), None),
        ],
        files: vec![
            MetaFile {
                name: "segments/x-18.vortex".to_owned(),
                kind: MetaFileKind::Data { version: 1 },
                length: 65_537,
                page_crc32c: vec![1, u32::MAX],
                columns: vec![ColumnId::new(1), ColumnId::new(9)],
            },
            MetaFile {
                name: "segments/x-18.7.index".to_owned(),
                kind: MetaFileKind::Index { kind: 7, version: 3 },
                length: 10,
                page_crc32c: vec![42],
                columns: vec![ColumnId::new(9)],
            },
        ],
        zones: vec![
            ColumnZones {
                column: ColumnId::new(1),
                zones: vec![zone(1, 8_192, 0), zone(8_193, 16_384, 0), zone(-5, 20_000, 3)],
            },
            ColumnZones {
                column: ColumnId::new(9),
                zones: vec![
                    Zone { min: Some(Value::Text("a".to_owned())), max: None, null_count: 0 },
                    Zone { min: None, max: None, null_count: 8_192 },
                    Zone { min: None, max: Some(Value::Text("z".to_owned())), null_count: 1 },
                ],
            },
        ],
        sorted_by: Vec::new(),
    }
}

/// Metadata with the section that came with sort keys.
fn sorted_meta() -> SegmentMeta {
    SegmentMeta { sorted_by: vec![ColumnId::new(9), ColumnId::new(1)], ..segment_meta() }
}

fn key_schema() -> TableSchema {
    let mut schema = table_schema();
    schema.keys[0].secret = KeySecret::from_bytes(*b"a golden secret!");
    schema
}

fn key_manifest() -> Manifest {
    let mut manifest = manifest();
    let run = |unit, segments: &[u64]| ManifestRun {
        unit: UnitId::new(unit),
        log_id: manifest.log_id,
        segments: segments.iter().copied().map(UnitId::new).collect(),
    };
    manifest.tables[0].shards[0].runs = vec![run(18, &[18]), run(30, &[3, 7, 9])];
    manifest
}

fn deletes_file() -> DeletesFile {
    let units = vec![
        (UnitId::new(18), encode_deletes(dead_rows()).into()),
        (UnitId::new(300), encode_deletes([70_000]).into()),
    ];
    DeletesFile { log_id: LogId::from_bytes(*b"golden log ident"), epoch: Epoch::new(4), units }
}

fn encoded_deletes_file() -> Vec<u8> {
    let mut bytes = Vec::new();
    deletes_file().encode(&mut bytes);
    bytes
}

fn deletes_manifest() -> Manifest {
    let older = NamedDeletesFile { number: 77, bytes: 1 << 33, checksum: 0x0123_4567_89ab_cdef };
    Manifest { deletes_files: vec![older, NamedDeletesFile::of(80, &encoded_deletes_file())], ..manifest() }
}

fn feed_manifest() -> Manifest {
    let cursor = |name: &str, tables, position, ended: Option<&str>| ManifestCursor {
        name: name.to_owned(),
        tables,
        position: CommitSeq::new(position),
        ended: ended.map(str::to_owned),
    };
    let some = FeedTables::Some([TableId::new(7), TableId::new(300)].into());
    let unit = |unit, left_at, bytes, first_seq: Option<u64>| KeptUnit {
        unit: UnitId::new(unit),
        table: TableId::new(300),
        left_at: CommitSeq::new(left_at),
        bytes,
        first_seq: first_seq.map(CommitSeq::new),
        expired: None,
    };
    Manifest {
        feeds: ManifestFeeds {
            cursors: vec![
                cursor("export", some, 990_500, None),
                cursor("old", FeedTables::All, 10, Some("it kept more than feed_retain_bytes")),
            ],
            units: vec![unit(3, 990_600, 1 << 33, None), unit(16, 990_700, 0, Some(989_000))],
            schemas: vec![KeptSchema { left_at: CommitSeq::new(990_650), schema: table_schema() }],
        },
        ..manifest()
    }
}

/// As [`feed_manifest`], with units that retention took out.
fn expired_manifest() -> Manifest {
    let mut manifest = feed_manifest();
    manifest.feeds.units[0].expired = Some(encode_deletes([5, 6]).into());
    manifest.feeds.units[1].expired = Some(Bytes::new());
    manifest
}

fn feed_record() -> CommitRecord {
    let name = || "export".to_owned();
    let changes = [
        FeedChange::Create { name: name(), tables: FeedTables::Some([TableId::new(7), TableId::new(300)].into()) },
        FeedChange::Create { name: name(), tables: FeedTables::All },
        FeedChange::Advance { name: name(), to: CommitSeq::new(990_500) },
        FeedChange::End { name: name(), reason: "it kept more than feed_retain_bytes".to_owned() },
        FeedChange::Drop { name: name() },
    ];
    CommitRecord { changes: changes.map(Change::Feed).to_vec(), ..commit_record() }
}

/// The canonical bytes and the hash of each of the golden rows' values as a key of one column, then of keys of several.
fn keys() -> Vec<u8> {
    let secret = KeySecret::from_bytes(*b"a golden secret!");
    let batch = batch_of(&table_schema(), &[rows()[0].clone(), rows()[2].clone()]);
    let mut bytes = Vec::new();
    let mut put = |positions: &[usize]| {
        let types: Vec<DataType> = positions.iter().map(|position| types()[*position].clone()).collect();
        let columns: Vec<_> = positions.iter().map(|position| std::sync::Arc::clone(batch.column(*position))).collect();
        let codec = KeyCodec::new(types, &secret);
        let hashes = codec.hashes(&columns, 1_024).unwrap();
        let mut out = Encoder::new(&mut bytes);
        for (row, hash) in hashes.iter().enumerate() {
            let mut key = Vec::new();
            codec.encode(&columns, row, &mut key).unwrap();
            out.put_bytes(&key);
            out.put_u64(hash.high());
            out.put_u64(hash.low());
        }
    };
    let of_keys = types().iter().take_while(|data_type| **data_type != DataType::Jsonb).count();
    (0..of_keys).for_each(|position| put(&[position]));
    [vec![2, 1], vec![0, 3], vec![8, 9], vec![8, 0], vec![10, 6, 15], vec![0, 11, 1]].iter().for_each(|key| put(key));
    bytes
}

const RUN_PLACE: PagePlace =
    PagePlace { log_id: LogId::from_bytes(*b"golden log ident"), unit: UnitId::new(30), number: 0 };

fn run_entries(width: KeyWidth) -> Vec<RunEntry> {
    let key = |i: u64| {
        let high = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if width == KeyWidth::Half { KeyHash::of_high(high) } else { KeyHash::new(high, !high.rotate_left(9)) }
    };
    let mut entries: Vec<RunEntry> = (0..400_u32)
        .map(|i| RunEntry { key: key(u64::from(i / 2)), segment: (i % 3).try_into().unwrap(), row: i * 41_943 })
        .collect();
    entries.sort_unstable();
    entries
}

fn run_header(width: KeyWidth) -> KeyRunHeader {
    let segment = |unit| CoveredSegment { unit: UnitId::new(unit), rows: 1 << 24 };
    KeyRunHeader {
        log_id: RUN_PLACE.log_id,
        unit: RUN_PLACE.unit,
        table: TableId::new(300),
        index: IndexId::new(1),
        width,
        entries: 400,
        filter_blocks: KeyFilter::blocks_for(400),
        segments: vec![segment(3), segment(7), segment(9)],
    }
}

/// A key run, put together from the parts that the format has.
fn key_run(width: KeyWidth) -> Vec<u8> {
    let header = run_header(width);
    let mut filter = KeyFilter::new(header.filter_blocks);
    let (mut pages, mut fences) = (Vec::new(), Vec::new());
    for of_page in run_entries(width).chunks(capacity(width)) {
        let mut page = EntryPageBuilder::new(width);
        fences.push(of_page[0].key.high());
        of_page.iter().for_each(|entry| page.push(entry));
        of_page.iter().for_each(|entry| filter.insert(entry.key));
        pages.push(page.take());
    }
    let mut page = Box::new([0; PAGE_BYTES]);
    page.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().zip(filter.blocks()).for_each(|(slot, block)| *slot = block);
    pages.push(page);
    let mut page = Box::new([0; PAGE_BYTES]);
    put_fences(&mut page, &fences);
    pages.push(page);
    let mut file = header.encode().unwrap().to_vec();
    for (number, mut page) in (1..).zip(pages) {
        PagePlace { number, ..RUN_PLACE }.seal(&mut page);
        file.extend(page.iter());
    }
    file
}

fn check_key_run(file: &[u8], width: KeyWidth) {
    let pages: Vec<&Page> = file.as_chunks::<PAGE_BYTES>().0.iter().collect();
    let header = KeyRunHeader::decode(pages[0]).unwrap();
    assert_eq!(header, run_header(width));
    assert_eq!(header.file_bytes(), file.len() as u64);
    for (number, page) in (1..).zip(&pages[1..]) {
        PagePlace { number, ..RUN_PLACE }.check(page.as_slice()).unwrap();
    }
    let entry_pages = &pages[1..=usize::try_from(header.entry_pages()).unwrap()];
    let entries: Vec<RunEntry> = entry_pages
        .iter()
        .flat_map(|page| EntryPage::decode(width, page).unwrap().entries().collect::<Vec<_>>())
        .collect();
    assert_eq!(entries, run_entries(width));
    let blocks = pages[1 + entry_pages.len()].as_chunks::<BLOCK_BYTES>().0;
    let mut filter = KeyFilter::new(header.filter_blocks);
    filter.set_blocks(0, blocks.iter());
    assert!(entries.iter().all(|entry| filter.may_have(entry.key)));
    let stored: Vec<u64> = fences(pages[2 + entry_pages.len()], entry_pages.len()).collect();
    assert_eq!(stored, entries.chunks(capacity(width)).map(|page| page[0].key.high()).collect::<Vec<_>>());
}

fn manifest() -> Manifest {
    let mut meta = Vec::new();
    segment_meta().encode(&mut meta);
    let log_id = LogId::from_bytes(*b"golden log ident");
    let generation =
        |unit, rows, seq| ManifestGeneration { unit: UnitId::new(unit), rows, first_seq: CommitSeq::new(seq) };
    let shard = ManifestShard {
        shard: ShardId::new(0),
        segments: vec![ManifestSegment {
            unit: UnitId::new(18),
            log_id,
            rows: 20_000,
            meta: meta.into(),
            deletes: encode_deletes([5, 6]).into(),
        }],
        generations: vec![generation(17, 1_000, 990_000), generation(21, 0, 1_000_000)],
        runs: Vec::new(),
    };
    Manifest {
        log_id,
        epoch: Epoch::new(4),
        features: Features { required: 0, optional: 1 << 63 },
        checkpoint: CommitSeq::new(1_000_000),
        wall_us: 1_790_000_000_000_002,
        next_unit: UnitId::new(22),
        next_table: TableId::new(301),
        log_start: CommitSeq::new(990_000),
        schemas: vec!["commons".to_owned(), "ops".to_owned()],
        tables: vec![ManifestTable { schema: table_schema(), shards: vec![shard] }],
        feeds: ManifestFeeds::default(),
        deletes_files: Vec::new(),
    }
}

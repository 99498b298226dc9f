//! Golden directories: small databases as version 1 wrote them, which every later build opens (P11, style rule 50). They are
//! never edited; a change of format adds directories.
//!
//! A new one is written by `cargo test -p outcrop-engine --test damage -- --ignored write_golden_directories`, which refuses to touch
//! one that exists.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use outcrop_engine::check::check;
use outcrop_engine::{Engine, OnConflict, ScanColumn, WriteMode};
use outcrop_env::{DiskImage, Env, FileName, Sim};
use outcrop_format::manifest::Manifest;
use outcrop_format::meta::{MetaFileKind, SegmentMeta};
use outcrop_testkit::{batch_of, rows_of};
use outcrop_types::{Condition, Error, TableName, Value};

use crate::contents::Contents;
use crate::database::{EVERYTHING, WITH_VICTIMS, options};

/// Directories of version 1.
const DIRECTORIES: [&str; 3] = ["killed", "stopped", "victims"];

fn folder(name: &str) -> PathBuf {
    outcrop_testkit::repository().join("tests/formats/directories/v1").join(name)
}

#[test]
#[ignore = "writes golden directories of new formats"]
fn write_golden_directories() {
    let images = [&EVERYTHING.killed, &EVERYTHING.stopped, &WITH_VICTIMS.stopped];
    for (name, image) in DIRECTORIES.into_iter().zip(images) {
        let folder = folder(name);
        if folder.exists() {
            continue;
        }
        // Whoever opens a directory writes its lock anew.
        for (file, bytes) in image.files.iter().filter(|(file, _)| file.as_str() != "LOCK") {
            let path = folder.join("data").join(file.as_str());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let (env, _sim) = Sim::from_image(image, 1);
        let text = printed(&Engine::open(&env, options()).unwrap());
        fs::write(folder.join("contents.txt"), text).unwrap();
    }
}

/// The directory as a disk.
fn image(name: &str) -> DiskImage {
    let mut image = DiskImage::default();
    let root = folder(name).join("data");
    let entries = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let mut add = |path: &Path| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        image.files.insert(FileName::new(name).unwrap(), fs::read(path).unwrap());
    };
    let mut dirs = vec!["staged".to_owned()];
    for path in entries(&root) {
        if path.is_dir() {
            dirs.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            entries(&path).iter().for_each(|path| add(path));
        } else {
            add(&path);
        }
    }
    image.dirs.extend(dirs);
    image
}

/// All tables and rows as text that no change of our types changes.
fn printed(engine: &Engine) -> String {
    let snapshot = engine.snapshot();
    let mut text = String::new();
    let mut tables: Vec<_> = snapshot.catalog().tables().collect();
    tables.sort_by_key(|table| table.name.to_string());
    for schema in tables {
        writeln!(text, "table {}", schema.name).unwrap();
        for column in &schema.columns {
            let null = if column.nullable { "" } else { " not null" };
            writeln!(text, "  column {} {}{null}", column.name, column.data_type).unwrap();
        }
        if let Some(key) = schema.primary_key() {
            let names: Vec<&str> = key.columns.iter().map(|id| schema.column(*id).unwrap().name.as_str()).collect();
            writeln!(text, "  key {}", names.join(", ")).unwrap();
        }
        let table = snapshot.table(schema.id).unwrap();
        let columns: Vec<ScanColumn> = schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
        let mut rows = Vec::new();
        for morsel in table.morsels(8_192) {
            let found = rows_of(&table.scan(&morsel, &columns, None).unwrap());
            rows.extend(found.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join(" | ")));
        }
        rows.sort();
        rows.iter().for_each(|row| writeln!(text, "  {row}").unwrap());
    }
    for cursor in engine.feed_cursors() {
        writeln!(text, "cursor {} at {}", cursor.name, cursor.position).unwrap();
    }
    text
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) | Value::Time(value) | Value::Timestamp(value) | Value::TimestampTz(value) => {
            value.to_string()
        }
        Value::Float(value) => format!("{:016x}", value.to_bits()),
        Value::Decimal(digits, scale) => format!("{digits}e-{scale}"),
        Value::Text(text) => format!("'{}'", text.escape_debug()),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Value::Date(days) => days.to_string(),
        Value::Uuid(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Value::Array(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(", ")),
    }
}

#[test]
fn p11_golden_directories_are_sound_and_hold_what_they_held() {
    for name in DIRECTORIES {
        let image = image(name);
        let (env, _sim) = Sim::from_image(&image, 1);
        let report = check(&env).unwrap();
        assert_eq!(report.problems, [], "{name}");
        assert_eq!(report.leftovers, Vec::<String>::new(), "{name}");
        let expected = fs::read_to_string(folder(name).join("contents.txt")).unwrap();
        let engine = Engine::open(&env, options()).unwrap();
        assert!(printed(&engine) == expected, "{name} holds something else:\n{}", printed(&engine));
        Contents::read(&engine).unwrap();
    }
}

#[test]
fn p11_golden_directories_are_written_on_and_read_again() {
    for name in DIRECTORIES {
        let (env, sim) = Sim::from_image(&image(name), 1);
        let engine = Engine::open(&env, options()).unwrap();
        let table = if name == "victims" { "kept" } else { "keyed" };
        let schema =
            engine.snapshot().catalog().table(&TableName::new("commons", table)).map(std::sync::Arc::clone).unwrap();
        let mode = WriteMode::Insert(OnConflict::Error);
        let mut write = engine.write(&engine.snapshot(), schema.id, mode).unwrap();
        write.insert(batch_of(&schema, &[vec![Value::Int(1_000), Value::Text("new".into())]])).unwrap();
        write.commit().wait().unwrap();
        engine.flush(None).unwrap();
        engine.compact().unwrap();
        let contents = Contents::read(&engine).unwrap();
        engine.close().unwrap();
        drop(engine);
        let (env, _sim) = Sim::from_image(&sim.image(), 2);
        assert_eq!(check(&env).unwrap().problems, [], "{name}");
        let engine = Engine::open(&env, options()).unwrap();
        assert!(Contents::read(&engine).unwrap() == contents, "{name}");
    }
}

/// What a start and a check say of a directory in which every file with this suffix is of a newer version.
fn refusals(name: &str, suffix: &str, renew: impl Fn(&mut Vec<u8>)) -> (Option<Error>, Option<Error>) {
    let mut image = image(name);
    let mut renewed = 0;
    for (file, bytes) in &mut image.files {
        if file.base().ends_with(suffix) {
            renew(bytes);
            renewed += 1;
        }
    }
    assert!(renewed > 0, "no file {suffix} in {name}");
    let refused = |outcome: Result<(), Error>| outcome.err();
    let open = |env: &Env| Engine::open(env, options()).map(drop);
    let checked = refused(check(&Sim::from_image(&image, 1).0).map(drop));
    (refused(open(&Sim::from_image(&image, 1).0)), checked)
}

/// Version 2 in an envelope, with its checksum.
fn renew_envelope(bytes: &mut [u8]) {
    let length = usize::try_from(u64::from_le_bytes(bytes[56..64].try_into().unwrap())).unwrap();
    let content = 64 + length;
    bytes[8..10].copy_from_slice(&2_u16.to_le_bytes());
    let checksum = xxh3(&bytes[..content]);
    bytes[content..content + 8].copy_from_slice(&checksum.to_le_bytes());
}

fn xxh3(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

fn renew_format(bytes: &mut Vec<u8>) {
    let text = String::from_utf8(bytes.clone()).unwrap().replace("version 1\n", "version 3\n");
    let (content, _) = text.split_once("checksum").unwrap();
    *bytes = format!("{content}checksum {:016x}\n", xxh3(content.as_bytes())).into_bytes();
}

fn renew_log(bytes: &mut [u8]) {
    bytes[8..10].copy_from_slice(&2_u16.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..4_092]);
    bytes[4_092..4_096].copy_from_slice(&checksum.to_le_bytes());
}

/// The same segments, whose data files are of a newer version: it is said in their metadata.
fn renew_data(bytes: &mut Vec<u8>) {
    let mut manifest = Manifest::decode(bytes).unwrap();
    for shard in manifest.tables.iter_mut().flat_map(|table| &mut table.shards) {
        for segment in &mut shard.segments {
            let mut meta = SegmentMeta::decode(&segment.meta).unwrap();
            for file in &mut meta.files {
                if let MetaFileKind::Data { version } = &mut file.kind {
                    *version += 1;
                }
            }
            let mut encoded = Vec::new();
            meta.encode(&mut encoded);
            segment.meta = encoded.into();
        }
    }
    bytes.clear();
    manifest.encode(bytes);
}

#[test]
fn p11_a_newer_version_of_any_kind_of_file_is_refused_by_name() {
    type Renew = fn(&mut Vec<u8>);
    let envelope: Renew = |bytes| renew_envelope(bytes);
    // The suffix of the files, who reads them, and what is said.
    let cases: [(&str, &str, Renew, &str); 6] = [
        ("stopped", "FORMAT", renew_format, "format version 3, this build reads versions 1 and 2"),
        ("stopped", ".log", |bytes| renew_log(bytes), ".log"),
        ("stopped", ".manifest", envelope, ".manifest"),
        ("stopped", ".keys", envelope, ".keys"),
        ("stopped", ".manifest", renew_data, ".vortex has data version 2, this build reads 1"),
        // The log names what it reads of these.
        ("killed", ".meta", envelope, ".meta"),
    ];
    for (name, suffix, renew, said) in cases {
        let (opened, checked) = refusals(name, suffix, renew);
        for error in [opened, checked] {
            let error = error.unwrap_or_else(|| panic!("{suffix} of a newer version is read"));
            assert_eq!(error.condition(), Condition::UnsupportedVersion, "{suffix}: {error}");
            assert!(error.message().contains(said), "{suffix}: {error}");
            assert!(said.starts_with("format") || error.message().contains("version 2"), "{suffix}: {error}");
        }
    }
    // A victims file has its checksum in the log as well, so it cannot be of another version unless the log is.
    let (opened, checked) = refusals("victims", ".victims", envelope);
    assert_eq!(opened.unwrap().condition(), Condition::DataCorrupted);
    assert!(checked.is_none(), "damage is in the report");
}

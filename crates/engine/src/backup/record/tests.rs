use outcrop_types::{LogId, UnitId};

use super::*;

fn record() -> BackupRecord {
    let file = |name, bytes, crc32c| BackupFile { name: FileName::new(name).unwrap(), bytes, crc32c };
    BackupRecord {
        identity: Identity::new(LogId::from_bytes([0xAB; 16])).fork(LogId::from_bytes([1; 16]), UnitId::new(9)),
        range: BackupRange {
            log_id: LogId::from_bytes([1; 16]),
            first: CommitSeq::new(3),
            last: CommitSeq::new(17),
            first_us: -5,
            last_us: 1_795_000_000_000_000,
        },
        files: vec![file("log/00000000000000000001.log", 8192, 0xDEAD_BEEF), file("manifest/1.manifest", 5, 7)],
    }
}

/// Never to be edited: backups of this form exist.
const WRITTEN: &str = "Outcrop backup
version 1
log 01010101010101010101010101010101
from abababababababababababababababab below 9
commits 3 to 17
times -5 to 1795000000000000
file deadbeef 8192 log/00000000000000000001.log
file 00000007 5 manifest/1.manifest
";

#[test]
fn the_text_is_that_of_version_1_and_comes_back() {
    let text = record().encode();
    assert!(text.starts_with(WRITTEN) && text[WRITTEN.len()..].starts_with("checksum "), "{text}");
    assert_eq!(BackupRecord::decode(text.as_bytes(), "BACKUP").unwrap(), record());
    let name = FileName::new("manifest/1.manifest").unwrap();
    assert_eq!(record().file(&name).map(|file| file.bytes), Some(5));
}

#[test]
fn every_changed_byte_is_found_and_another_version_is_named() {
    let text = record().encode();
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let error = BackupRecord::decode(&bytes, "BACKUP").unwrap_err();
        let version = place == text.find("version ").unwrap() + 8;
        let expected = if version { Condition::UnsupportedVersion } else { Condition::DataCorrupted };
        assert_eq!(error.condition(), expected, "byte {place}");
    }
    for length in 0..text.len() {
        assert!(BackupRecord::decode(&text.as_bytes()[..length], "BACKUP").is_err(), "{length} bytes");
    }
}

#[test]
fn a_directory_without_the_file_is_none_and_an_interrupted_one_says_so() {
    let (env, _sim) = Env::simulated(1);
    assert_eq!(BackupRecord::find(&env).unwrap(), None);
    assert_eq!(BackupRecord::read(&env).unwrap_err().message(), "the directory is not a backup");
    env.disk.create(&FileName::new(BackupRecord::INCOMPLETE).unwrap()).unwrap();
    assert_eq!(BackupRecord::find(&env).unwrap_err().message(), "the backup is incomplete");
}

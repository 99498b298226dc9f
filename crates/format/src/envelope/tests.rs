use outcrop_types::{Epoch, LogId};
use xxhash_rust::xxh3::xxh3_64;

use super::{Features, FileKind, HEADER_BYTES, Header, open, seal};
use crate::error::DecodeProblem;

const KIND: FileKind = FileKind { name: "thing", magic: *b"OUTCRXXX", version: 2, features: 0b1 };

fn header() -> Header {
    let features = Features { required: 0b1, optional: 0b1000 };
    Header { log_id: LogId::from_bytes([7; 16]), epoch: Epoch::new(3), features }
}

fn file() -> Vec<u8> {
    let mut bytes = Vec::new();
    seal(&KIND, &header(), &mut bytes, |out| out.put_text("body"));
    bytes
}

/// The file with `edit` applied and its checksum made right again, as another version would have written it.
fn edited(edit: impl FnOnce(&mut [u8])) -> DecodeProblem {
    let mut bytes = file();
    let end = bytes.len() - 8;
    edit(&mut bytes[..end]);
    let checksum = xxh3_64(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    open(&KIND, &bytes).unwrap_err().what
}

#[test]
fn header_and_body_come_back() {
    let bytes = file();
    let (found, mut body) = open(&KIND, &bytes).unwrap();
    assert_eq!(found, header());
    assert_eq!((body.offset(), body.text()), (HEADER_BYTES as u64, Ok("body")));
}

#[test]
fn b4_every_flipped_bit_and_every_shorter_or_longer_file_is_an_error() {
    let bytes = file();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let what = open(&KIND, &damaged).unwrap_err().what;
        let wanted = if bit < 64 { DecodeProblem::Magic("thing") } else { what };
        assert_eq!(what, wanted, "bit {bit}");
        assert!(matches!(what, DecodeProblem::Magic(_) | DecodeProblem::Checksum { .. }), "bit {bit}: {what}");
    }
    for len in 0..bytes.len() {
        assert!(open(&KIND, &bytes[..len]).is_err(), "{len} bytes");
    }
    assert!(open(&KIND, &[bytes, vec![0]].concat()).is_err());
}

#[test]
fn b3_files_from_the_future_are_refused_by_name() {
    let newer = DecodeProblem::Version { what: "thing", found: 3, newest: 2 };
    assert_eq!(edited(|bytes| bytes[8] = 3), newer);
    assert_eq!(edited(|bytes| bytes[32] = 0b101), DecodeProblem::Features(0b100));
    assert_eq!(edited(|bytes| bytes[10] = 1), DecodeProblem::Codec { codec: 1, key: 0 });
    assert_eq!(edited(|bytes| bytes[48] = 9), DecodeProblem::Codec { codec: 0, key: 9 });
    assert!([newer, DecodeProblem::Features(4)].iter().all(DecodeProblem::is_from_newer_version));
}

#[test]
fn unknown_optional_features_are_no_obstacle() {
    let mut bytes = Vec::new();
    let features = Features { required: 0, optional: u64::MAX };
    seal(&KIND, &Header { features, ..header() }, &mut bytes, |_| {});
    assert_eq!(open(&KIND, &bytes).unwrap().0.features, features);
}

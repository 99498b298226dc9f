use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{MAGIC, decode_deletes, encode_deletes};
use crate::error::DecodeProblem;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn dead_rows_come_back(rows in btree_set(prop_oneof![0..100_u32, 0..u32::MAX], 0..300), dense in 0..70_000_u32) {
        let rows: BTreeSet<u32> = rows.into_iter().chain(0..dense).collect();
        let unit_rows = rows.last().map_or(0, |last| last + 1);
        let found = decode_deletes(&encode_deletes(rows.iter().copied()), unit_rows).unwrap();
        prop_assert!(found.iter().eq(rows.iter().map(|row| u64::from(*row))));
    }

    #[test]
    fn b2_a_blob_with_a_right_checksum_never_panics(bitmap in vec(any::<u8>(), 0..200)) {
        let checked = [&MAGIC[..], &bitmap].concat();
        let length = u32::try_from(checked.len()).unwrap();
        let blob = [&length.to_be_bytes()[..], &checked, &crc32fast::hash(&checked).to_be_bytes()].concat();
        if let Ok(deletes) = decode_deletes(&blob, 1_000) {
            prop_assert!(deletes.iter().all(|row| row < 1_000));
        }
    }
}

#[test]
fn the_blob_is_icebergs() {
    // Rows 1 and 3: length 36, magic, one 32-bit bitmap with high key 0, one array container, CRC-32.
    let blob = encode_deletes([1, 3]);
    assert_eq!(blob[..8], [0, 0, 0, 36, 0xd1, 0xd3, 0x39, 0x64]);
    assert_eq!(blob[8..20], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(blob[20..40], [0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 1, 0, 3, 0]);
    assert_eq!(blob[40..], crc32fast::hash(&blob[4..40]).to_be_bytes());
}

#[test]
fn no_bytes_mean_no_dead_rows() {
    assert!(decode_deletes(&[], 0).unwrap().is_empty());
    assert!(decode_deletes(&encode_deletes([]), 0).unwrap().is_empty());
}

#[test]
fn a_dead_row_that_the_unit_does_not_have_is_refused() {
    let problem = DecodeProblem::Limit { what: "dead row", found: 7, max: 6 };
    assert_eq!(decode_deletes(&encode_deletes([2, 7]), 7).unwrap_err().what, problem);
    assert!(decode_deletes(&encode_deletes([2, 7]), 8).is_ok());
}

#[test]
fn every_flipped_bit_is_an_error() {
    let blob = encode_deletes([1, 2, 3, 70_000]);
    for bit in 0..blob.len() * 8 {
        let mut damaged = blob.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_deletes(&damaged, 100_000).is_err(), "bit {bit}");
    }
}

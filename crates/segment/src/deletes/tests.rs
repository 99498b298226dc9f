//! Against a set of numbers.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the model counts in usize"
)]

use std::collections::BTreeSet;

use outcrop_types::RowOrdinal;
use proptest::prelude::*;

use super::DeleteVector;

fn ordinals(rows: &[u32]) -> Vec<RowOrdinal> {
    rows.iter().copied().map(RowOrdinal::new).collect()
}

/// Rows in clusters, so that sparse, dense and full chunks all occur.
fn batches(rows: u32) -> impl Strategy<Value = Vec<Vec<u32>>> {
    let scattered = prop::collection::vec(0..rows, 0..40);
    let cluster =
        (0..rows, 1_u32..20_000).prop_map(move |(start, count)| (start..rows.min(start + count)).rev().collect());
    prop::collection::vec(prop_oneof![scattered, cluster], 0..8)
}

fn check(vector: &DeleteVector, model: &BTreeSet<u32>, rows: u32) {
    assert_eq!(
        (vector.rows(), vector.deleted() as usize, vector.live()),
        (rows, model.len(), rows - model.len() as u32)
    );
    assert!(vector.iter_deleted().map(RowOrdinal::get).eq(model.iter().copied()));
    for row in [0, 1, 16_383, 16_384, rows - 1, rows, u32::MAX] {
        assert_eq!(vector.is_deleted(RowOrdinal::new(row)), model.contains(&row));
    }
    for range in [0..rows, rows / 3..rows / 2, 16_000..16_500, 16_384..32_768, 5..5, 0..rows + 10] {
        let live: Vec<bool> = range.clone().map(|row| row < rows && !model.contains(&row)).collect();
        let count = live.iter().filter(|live| **live).count();
        assert_eq!(vector.live_in(range.clone()) as usize, count, "{range:?}");
        match vector.live_mask(range.clone()) {
            None => assert!(live.iter().all(|live| *live), "{range:?}"),
            Some(mask) => assert!(mask.iter().eq(live.iter().copied()) && count < live.len(), "{range:?}"),
        }
    }
    assert_eq!(DeleteVector::decode(&vector.encode(), rows).unwrap(), *vector);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_vector_is_a_set_and_remembers_what_changed(rows in 1_u32..80_000, growth in 0_u32..40_000, seed in batches(120_000)) {
        let mut vector = DeleteVector::new(rows);
        let mut model = BTreeSet::new();
        let mut versions = vec![(vector.clone(), model.clone())];
        let mut total = rows;
        for (n, batch) in seed.into_iter().enumerate() {
            if n == 3 {
                total += growth;
                vector.grow(total);
            }
            let batch: Vec<u32> = batch.into_iter().filter(|row| *row < total).collect();
            let before = model.len();
            model.extend(batch.iter().copied());
            prop_assert_eq!(vector.delete(&ordinals(&batch)) as usize, model.len() - before);
            versions.push((vector.clone(), model.clone()));
        }
        check(&vector, &model, total);
        for (older, older_model) in &versions {
            let changed: Vec<u32> = vector.difference(older).map(RowOrdinal::get).collect();
            prop_assert!(changed.iter().copied().eq(model.difference(older_model).copied()));
            let mut caught_up = older.clone();
            caught_up.grow(total);
            let difference = vector.encode_difference(older);
            prop_assert_eq!(difference.is_empty(), changed.is_empty());
            caught_up.delete_encoded(&difference).unwrap();
            prop_assert_eq!(&caught_up, &vector);
            prop_assert_eq!(older.deleted() as usize, older_model.len());
        }
    }
}

#[test]
fn g6_clones_share_until_one_changes() {
    let mut vector = DeleteVector::new(100_000);
    vector.delete(&ordinals(&(0..1000).collect::<Vec<_>>()));
    let mut clone = vector.clone();
    assert!(clone.ptr_eq(&vector));
    assert_eq!(clone.delete(&ordinals(&[5, 5, 999])), 0);
    assert!(clone.ptr_eq(&vector), "nothing was newly dead, so nothing is copied");
    assert_eq!(clone.delete(&ordinals(&[90_000])), 1);
    assert!(!clone.ptr_eq(&vector));
    assert_eq!(vector.deleted(), 1000);
}

#[test]
fn a_wrong_blob_is_refused() {
    let mut vector = DeleteVector::new(100);
    vector.delete(&ordinals(&[99]));
    let blob = vector.encode();
    assert!(DeleteVector::decode(&blob, 99).is_err());
    assert!(DeleteVector::decode(&blob[1..], 100).is_err());
    for at in 0..blob.len() {
        let mut wrong = blob.clone();
        wrong[at] ^= 1;
        assert!(DeleteVector::decode(&wrong, 100).is_err(), "byte {at}");
    }
}

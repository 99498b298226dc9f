use std::sync::Arc;

use arrow_array::{Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array};
use arrow_buffer::i256;
use proptest::prelude::*;

use super::hash::{HALF_MULTIPLIERS, MULTIPLIERS, mix, mix_half};
use super::*;

/// The inverse of [`mix_half`]: what makes it a bijection.
fn unmix_half(bits: u64) -> u64 {
    let mut key = bits;
    key ^= key >> 31 ^ key >> 62;
    key = key.wrapping_mul(inverse(u128::from(HALF_MULTIPLIERS.1)) as u64);
    key ^= key >> 27 ^ key >> 54;
    key = key.wrapping_mul(inverse(u128::from(HALF_MULTIPLIERS.0)) as u64);
    key ^ key >> 30 ^ key >> 60
}

/// The inverse of [`mix`].
fn unmix(bits: u128) -> u128 {
    let mut key = bits;
    key ^= key >> 64;
    key = key.wrapping_mul(inverse(MULTIPLIERS.1));
    key ^= key >> 67;
    key = key.wrapping_mul(inverse(MULTIPLIERS.0));
    key ^ key >> 64
}

/// The inverse of an odd number modulo 2^128, by Newton's iteration: each round doubles the right low bits.
fn inverse(odd: u128) -> u128 {
    (0..7).fold(odd, |inverse, _| inverse.wrapping_mul(2_u128.wrapping_sub(odd.wrapping_mul(inverse))))
}

fn encode(data_type: DataType, array: impl Array + 'static) -> Vec<Vec<u8>> {
    let codec = KeyCodec::new(vec![data_type], &KeySecret::default());
    let array: ArrayRef = Arc::new(array);
    let encode = |row| {
        let mut key = Vec::new();
        codec.encode(std::slice::from_ref(&array), row, &mut key).unwrap();
        key
    };
    (0..array.len()).map(encode).collect()
}

fn decimals(precision: u8, scale: i8, values: Vec<i128>) -> Vec<Vec<u8>> {
    let array = Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap();
    encode(DataType::Numeric { precision, scale }, array)
}

proptest! {
    #[test]
    fn the_mixers_are_bijections(key in any::<u128>(), half in any::<u64>()) {
        prop_assert_eq!(unmix(mix(key)), key);
        prop_assert_eq!(unmix_half(mix_half(half)), half);
    }

    #[test]
    fn decimals_are_ordered_and_blind_to_their_scale(
        a in -1_000_000_i128..1_000_000, b in -1_000_000_i128..1_000_000, zeros in 0_u32..6,
    ) {
        let narrow = decimals(20, 3, vec![a, b]);
        let wide = decimals(38, 3 + i8::try_from(zeros).unwrap(), vec![a * 10_i128.pow(zeros), b * 10_i128.pow(zeros)]);
        prop_assert_eq!(&narrow, &wide);
        prop_assert_eq!(a.cmp(&b), narrow[0].cmp(&narrow[1]));
        let whole = decimals(38, 0, vec![a, b]);
        prop_assert_eq!(a.cmp(&b), whole[0].cmp(&whole[1]));
        let huge = arrow_array::Decimal256Array::from(vec![i256::from_i128(a), i256::from_i128(b)])
            .with_precision_and_scale(76, 3)
            .unwrap();
        prop_assert_eq!(narrow, encode(DataType::Numeric { precision: 76, scale: 3 }, huge));
    }
}

#[test]
fn widening_a_key_column_changes_nothing() {
    let small = encode(DataType::Int2, Int16Array::from(vec![-1, 0, 300]));
    assert_eq!(small, encode(DataType::Int4, Int32Array::from(vec![-1, 0, 300])));
    assert_eq!(small, encode(DataType::Int8, Int64Array::from(vec![-1, 0, 300])));
    let single = encode(DataType::Float4, Float32Array::from(vec![-0.5, 0.25, f32::NAN, f32::INFINITY]));
    assert_eq!(single, encode(DataType::Float8, Float64Array::from(vec![-0.5, 0.25, f64::NAN, f64::INFINITY])));
    let hashes = |data_type, array: ArrayRef| {
        KeyCodec::new(vec![data_type, DataType::Int8], &KeySecret::default())
            .hashes(&[array, Arc::new(Int64Array::from(vec![7]))], 100)
            .unwrap()
    };
    let (int2, int4) = (Arc::new(Int16Array::from(vec![5])), Arc::new(Int32Array::from(vec![5])));
    assert_eq!(hashes(DataType::Int2, int2), hashes(DataType::Int4, int4));
}

#[test]
fn there_is_one_zero_and_one_nan_and_it_is_greatest() {
    let odd_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 5);
    let found = encode(DataType::Float8, Float64Array::from(vec![-0.0, 0.0, f64::NAN, odd_nan, f64::INFINITY]));
    assert_eq!(found[0], found[1]);
    assert_eq!(found[2], found[3]);
    assert!(found[2] > found[4]);
}

#[test]
fn the_stored_half_gives_the_hash_back() {
    let codec = KeyCodec::new(vec![DataType::Int4], &KeySecret::default());
    assert_eq!(codec.width(), KeyWidth::Half);
    for hash in codec.hashes(&[Arc::new(Int32Array::from(vec![i32::MIN, -1, 0, 1, i32::MAX]))], 8).unwrap() {
        assert_eq!(KeyHash::of_high(hash.high()), hash);
    }
    assert_eq!(KeyCodec::new(vec![DataType::Uuid], &KeySecret::default()).width(), KeyWidth::Whole);
    assert_eq!(KeyCodec::new(vec![DataType::Text], &KeySecret::default()).width(), KeyWidth::Whole);
}

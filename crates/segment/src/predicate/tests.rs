//! Bounds hold, also when they are shortened.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test data is made from arbitrary numbers"
)]

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, Float64Array, StringViewArray};
use outcrop_types::{DataType, Value};
use proptest::prelude::*;

use super::{ZoneBuilder, merge_zones};

proptest! {
    #[test]
    fn text_lies_within_its_bounds(texts in prop::collection::vec(".{0,50}|[\u{10ffff}]{0,12}|a{30,40}.*", 1..20)) {
        let array: ArrayRef = Arc::new(texts.iter().map(Some).collect::<StringViewArray>());
        let mut builder = ZoneBuilder::new([DataType::Text], 4);
        builder.append(&[array], texts.len() as u32);
        let zones = builder.finish().remove(0);
        prop_assert_eq!(zones.len(), texts.len().div_ceil(4));
        for (zone, block) in zones.iter().zip(texts.chunks(4)) {
            for text in block {
                let value = Value::Text(text.clone());
                prop_assert!(zone.min.as_ref().is_some_and(|min| min.compare(&value) != Some(Ordering::Greater)));
                prop_assert!(zone.max.as_ref().is_none_or(|max| max.compare(&value) != Some(Ordering::Less)));
            }
            let short = |value: &Option<Value>| !matches!(value, Some(Value::Text(text)) if text.len() > 35);
            prop_assert!(short(&zone.min) && short(&zone.max));
        }
        let whole = merge_zones(&zones, |_| 4);
        let least = Value::Text(texts.iter().min().unwrap().clone());
        prop_assert!(whole.min.as_ref().unwrap().compare(&least) != Some(Ordering::Greater));
    }
}

#[test]
fn bytes_without_a_greater_prefix_have_no_upper_bound() {
    let array: ArrayRef = Arc::new(BinaryViewArray::from_iter_values([vec![0xff; 40]]));
    let mut builder = ZoneBuilder::new([DataType::Bytea], 10);
    builder.append(&[array], 1);
    let zone = builder.finish().remove(0).remove(0);
    assert_eq!((zone.min, zone.max), (Some(Value::Bytes(vec![0xff; 32])), None));
}

#[test]
fn nan_is_the_greatest_float() {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::INFINITY), Some(f64::NAN), None, Some(-0.0)]));
    let mut builder = ZoneBuilder::new([DataType::Float8], 10);
    builder.append(&[array], 4);
    let zone = builder.finish().remove(0).remove(0);
    assert!(matches!(zone.max, Some(Value::Float(max)) if max.is_nan()));
    assert_eq!((zone.min, zone.null_count), (Some(Value::Float(0.0)), 1));
}

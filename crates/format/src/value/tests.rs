use outcrop_testkit::compare_values;
use outcrop_testkit::generate::{data_types, values_of};
use outcrop_types::{DataType, Value};
use proptest::prelude::*;

use super::{ARRAY_DEPTH_MAX, decode_data_type, decode_value, encode_data_type, encode_value};
use crate::cursor::{Decoder, Encoder};
use crate::error::DecodeProblem;

proptest! {
    #[test]
    fn types_and_values_come_back(
        (data_type, value) in data_types().prop_flat_map(|data_type| (Just(data_type.clone()), values_of(&data_type)))
    ) {
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        encode_data_type(&data_type, &mut out);
        encode_value(&value, &mut out);
        encode_value(&Value::Null, &mut out);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decode_data_type(&mut decoder), Ok(data_type));
        let found = decode_value(&mut decoder).unwrap();
        prop_assert!(compare_values(&found, &value).is_eq(), "{found:?} for {value:?}");
        prop_assert_eq!(decode_value(&mut decoder), Ok(Value::Null));
        prop_assert_eq!(decoder.finish(), Ok(()));
    }
}

#[test]
fn floats_keep_every_bit() {
    for bits in [f64::NAN.to_bits() | 1, (-0.0_f64).to_bits(), f64::INFINITY.to_bits()] {
        let mut bytes = Vec::new();
        encode_value(&Value::Float(f64::from_bits(bits)), &mut Encoder::new(&mut bytes));
        let Ok(Value::Float(found)) = decode_value(&mut Decoder::new(&bytes)) else { panic!("a float") };
        assert_eq!(found.to_bits(), bits);
    }
}

#[test]
fn arrays_nested_too_deep_are_refused() {
    let (found, max) = (ARRAY_DEPTH_MAX as u64 + 1, ARRAY_DEPTH_MAX as u64);
    let too_deep = DecodeProblem::Limit { what: "array depth", found, max };
    let types = [17_u8; 1_000_000];
    assert_eq!(decode_data_type(&mut Decoder::new(&types)).unwrap_err().what, too_deep);
    let values = [13_u8, 1].repeat(500_000);
    assert_eq!(decode_value(&mut Decoder::new(&values)).unwrap_err().what, too_deep);
}

#[test]
fn impossible_numerics_are_refused() {
    for (precision, scale) in [(0, 0), (77, 0), (5, 6), (5, 0xff)] {
        let bytes = [7, precision, scale];
        let error = decode_data_type(&mut Decoder::new(&bytes)).unwrap_err();
        assert_eq!(error.what, DecodeProblem::Inconsistent("impossible precision or scale"), "{precision},{scale}");
    }
    let bytes = [7, 76, 76];
    let widest = DataType::Numeric { precision: 76, scale: 76 };
    assert_eq!(decode_data_type(&mut Decoder::new(&bytes)), Ok(widest));
}

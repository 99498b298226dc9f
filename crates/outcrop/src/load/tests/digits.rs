//! Digits that types keep.

use outcrop_types::DataType;
use proptest::prelude::*;

use crate::load::digits::{Digits, are_kept};

const FLOAT8: DataType = DataType::Float8;

#[test]
fn digits_are_counted_without_zeros_at_the_ends() {
    for (text, whole, scale) in [
        ("0", 1, 0),
        ("-12.50", 2, 1),
        ("0.001", 1, 3),
        ("1.5e3", 4, 0),
        ("15e-3", 1, 3),
        ("+1E2", 3, 0),
        ("100", 3, 0),
        ("0e9999", 1, 0),
    ] {
        let digits = Digits::of(text).unwrap();
        assert_eq!((digits.whole(), digits.scale()), (whole, scale), "{text}");
    }
    for text in ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "NaN", "1_0", "0x1"] {
        assert_eq!(Digits::of(text), None, "{text}");
    }
}

#[test]
fn each_type_keeps_what_it_keeps() {
    for text in ["0.1", "-0.30000000000000004", "1e22", "5e-324", "0.0", "NaN", "Infinity", "100000000000000000000"] {
        assert!(are_kept(text, &FLOAT8), "{text}");
    }
    for text in [
        "12345678901234567.89",
        "9007199254740993",
        "0.12345678901234567890",
        "1e-400",
        "1e400",
        "1e99999999999999999999",
    ] {
        assert!(!are_kept(text, &FLOAT8), "{text}");
    }
    assert!(are_kept("0.1", &DataType::Float4) && !are_kept("0.1234567891", &DataType::Float4));
    let numeric = |scale| DataType::Numeric { precision: 38, scale };
    assert!(are_kept("1.250", &numeric(2)) && !are_kept("1.255", &numeric(2)));
    assert!(are_kept("1200", &numeric(-2)) && !are_kept("1250", &numeric(-2)) && are_kept("0", &numeric(-2)));
}

proptest! {
    #[test]
    fn what_a_double_prints_it_keeps(number in any::<f64>()) {
        let texts = [number.to_string(), format!("{number:e}")];
        prop_assert!(texts.iter().all(|text| are_kept(text, &FLOAT8)), "{:?}", texts);
    }

    #[test]
    fn a_kept_text_has_the_digits_of_its_double(text in "-?[0-9]{1,20}(\\.[0-9]{0,20})?(e-?[0-9]{1,2})?") {
        let printed = format!("{:e}", text.parse::<f64>().unwrap());
        prop_assert_eq!(are_kept(&text, &FLOAT8), Digits::of(&printed) == Digits::of(&text));
    }
}

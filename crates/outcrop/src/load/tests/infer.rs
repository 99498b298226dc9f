//! Types from values.

use outcrop_types::DataType;

use crate::load::infer::Guess;

fn of_texts(texts: &[&str]) -> DataType {
    let mut guess = Guess::default();
    for text in texts {
        guess.see_text(text);
    }
    guess.data_type()
}

fn of_json(values: &[&str]) -> DataType {
    let mut guess = Guess::default();
    for raw in values {
        let string = raw.starts_with('"').then(|| serde_json::from_str::<String>(raw).unwrap());
        guess.see_json(raw, string.as_deref());
    }
    guess.data_type()
}

#[test]
fn the_narrowest_type_of_all_values_wins() {
    let cases: &[(&[&str], DataType)] = &[
        (&["1", "-20", "9223372036854775807"], DataType::Int8),
        (&["1", "2.5"], DataType::Float8),
        (&["1", "1e3", ".5", "-2.", "NaN", "-inf"], DataType::Float8),
        (&["true", "FALSE"], DataType::Bool),
        (&["2024-02-29", "1999-12-31"], DataType::Date),
        (&["2024-02-29", "2024-03-01 10:00:00"], DataType::Timestamp),
        (&["2013-01-01T10:00:00Z", "2013-01-01 10:00:00.25+02:30"], DataType::TimestampTz),
        (&["{\"a\":1}", "[1,2]"], DataType::Jsonb),
        (&["x"], DataType::Text),
        (&[], DataType::Text),
    ];
    for (texts, expected) in cases {
        assert_eq!(of_texts(texts), *expected, "{texts:?}");
    }
}

#[test]
fn what_a_type_would_change_is_text() {
    let cases: &[&[&str]] = &[
        &["007", "12"],
        &["+4930", "12"],
        &["1", "true"],
        &["1", "2024-01-01"],
        &["2024-02-30"],
        &["2024-01-01T10:00:00Z", "2024-01-01T10:00:00"],
        &["2024-01-01 noon"],
        &["{\"a\":1}", "{a}"],
        &["1e999"],
        &["-"],
        &["."],
        &["1_000"],
        &["0x10"],
        &["1 "],
    ];
    for texts in cases {
        assert_eq!(of_texts(texts), DataType::Text, "{texts:?}");
    }
}

#[test]
fn integers_beyond_bigint_are_numeric_with_the_scale_that_is_needed() {
    let large = "9223372036854775808";
    assert_eq!(of_texts(&[large, "1"]), DataType::Numeric { precision: 38, scale: 0 });
    assert_eq!(of_texts(&[large, "1.25"]), DataType::Numeric { precision: 38, scale: 2 });
    assert_eq!(of_texts(&[large, "1e3"]), DataType::Numeric { precision: 38, scale: 0 });
    assert_eq!(of_texts(&[&"9".repeat(39)]), DataType::Numeric { precision: 76, scale: 0 });
    assert_eq!(of_texts(&[&"9".repeat(77)]), DataType::Text);
}

#[test]
fn numbers_that_a_double_would_change_are_numeric() {
    let numeric = |precision, scale| DataType::Numeric { precision, scale };
    let cases: &[(&[&str], DataType)] = &[
        (&["12345678901234567.89", "0.1"], numeric(38, 2)),
        (&["0.12345678901234567890", "100.10"], numeric(38, 20)),
        (&["1", "-0.12345678901234567e-20"], numeric(38, 37)),
        (&["12345678901234567890.12345678901234567890"], numeric(76, 20)),
        (&["0.12345678901234567890", "NaN"], DataType::Text),
        (&["0.12345678901234567890", "1e300"], DataType::Text),
        // These a double gives back.
        (&["0.30000000000000004", "1.7976931348623157e308", "5e-324", "2.50000000000000000000"], DataType::Float8),
        (&["0.1", "123456789.25", "1e15"], DataType::Float8),
    ];
    for (texts, expected) in cases {
        assert_eq!(of_texts(texts), *expected, "{texts:?}");
        let json: Vec<&str> = texts.iter().copied().filter(|text| *text != "NaN").collect();
        if json.len() == texts.len() {
            assert_eq!(of_json(&json), *expected, "{texts:?} as JSON");
        }
    }
}

#[test]
fn json_keeps_strings_apart_from_numbers() {
    assert_eq!(of_json(&["1", "2"]), DataType::Int8);
    assert_eq!(of_json(&["1", "2.5e3"]), DataType::Float8);
    assert_eq!(of_json(&["\"1\"", "\"2\""]), DataType::Text);
    assert_eq!(of_json(&["1", "\"2\""]), DataType::Text);
    assert_eq!(of_json(&["true", "false"]), DataType::Bool);
    assert_eq!(of_json(&["\"2024-01-01\""]), DataType::Date);
    assert_eq!(of_json(&["\"2024-01-01T00:00:00Z\""]), DataType::TimestampTz);
    assert_eq!(of_json(&["{}", "1"]), DataType::Jsonb);
    assert_eq!(of_json(&["\"x\"", "[1]"]), DataType::Jsonb);
}

use outcrop_format::{DecodeError, DecodeProblem};
use outcrop_types::Condition;

#[test]
fn damage_names_file_and_offset() {
    let error = DecodeError::new(5, DecodeProblem::Utf8).in_file("manifest/7", 100);
    assert_eq!(error.condition(), Condition::DataCorrupted);
    assert_eq!(error.message(), "manifest/7 is corrupt at offset 105: text is not UTF-8");
}

#[test]
fn bytes_of_a_newer_version_are_not_called_damage() {
    let problem = DecodeProblem::Version { what: "manifest", found: 9, newest: 1 };
    let error = DecodeError::new(8, problem).in_file("manifest/7", 0);
    assert_eq!(error.condition(), Condition::UnsupportedVersion);
    let message = "cannot read manifest/7: manifest has format version 9, this build reads up to 1 at byte 8";
    assert_eq!(error.message(), message);
}

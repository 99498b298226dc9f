use super::WhenUnknown;
use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};

fn one_section(tag: u16, when_unknown: WhenUnknown) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).put_section(tag, when_unknown, |out| out.put_text("payload"));
    bytes
}

#[test]
fn an_unknown_section_is_refused_by_name_if_it_must_be_understood() {
    let bytes = one_section(77, WhenUnknown::Refuse);
    let error = Decoder::new(&bytes).extensions("manifest").unwrap_err();
    assert_eq!(error, DecodeError::new(0, DecodeProblem::Section { container: "manifest", tag: 77 }));
    assert_eq!(error.to_string(), "unknown required section 77 of a manifest at byte 0");
    assert!(error.what.is_from_newer_version());
}

#[test]
fn an_unknown_section_is_skipped_if_it_may_be() {
    let bytes = one_section(u16::MAX, WhenUnknown::Skip);
    assert_eq!(Decoder::new(&bytes).extensions("manifest"), Ok(()));
}

#[test]
fn a_short_section_costs_two_bytes() {
    assert_eq!(one_section(5, WhenUnknown::Refuse).len(), 2 + "_payload".len());
}

#[test]
fn a_section_that_may_be_there_once_is_refused_twice() {
    let bytes = one_section(5, WhenUnknown::Refuse).repeat(2);
    let mut decoder = Decoder::new(&bytes);
    let mut slot = None;
    let first = decoder.section().unwrap().unwrap();
    assert_eq!(first.set(&mut slot, "thing", 1), Ok(()));
    let second = decoder.section().unwrap().unwrap();
    let problem = DecodeProblem::RepeatedSection { container: "thing", tag: 5 };
    assert_eq!(second.set(&mut slot, "thing", 2), Err(DecodeError::new(10, problem)));
}

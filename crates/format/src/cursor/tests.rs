use proptest::prelude::*;

use super::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};

proptest! {
    #[test]
    fn varints_come_back_and_take_the_fewest_bytes(value: u64, signed: i64) {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).put_varint(value);
        let bits = (64 - value.leading_zeros()).max(1);
        prop_assert_eq!(u32::try_from(bytes.len()), Ok(bits.div_ceil(7)));
        Encoder::new(&mut bytes).put_signed(signed);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.varint(), Ok(value));
        prop_assert_eq!(decoder.signed(), Ok(signed));
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn nested_content_comes_back_whatever_its_length(len in 0_usize..20_000) {
        let content = vec![7_u8; len];
        let mut bytes = vec![1];
        let mut out = Encoder::new(&mut bytes);
        out.put_nested(|out| out.put_raw(&content));
        out.put_u8(9);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.u8(), Ok(1));
        prop_assert_eq!(decoder.bytes(), Ok(content.as_slice()));
        prop_assert_eq!(decoder.u8(), Ok(9));
        prop_assert!(decoder.is_empty());
    }
}

#[test]
fn a_varint_has_one_form_only() {
    let over_long = [0x80, 0x00];
    let eleven_bytes = [0xff; 11];
    let above_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    for bytes in [&over_long[..], &eleven_bytes, &above_64_bits] {
        assert_eq!(Decoder::new(bytes).varint(), Err(DecodeError::new(0, DecodeProblem::Varint)), "{bytes:x?}");
    }
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(Decoder::new(&most).varint(), Ok(u64::MAX));
}

#[test]
fn a_count_beyond_the_bytes_is_refused_before_allocation() {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).put_varint(1 << 60);
    bytes.extend([0; 8]);
    let problem = DecodeProblem::Limit { what: "things", found: 1 << 60, max: 2 };
    assert_eq!(Decoder::new(&bytes).count("things", 4), Err(DecodeError::new(0, problem)));
}

#[test]
fn a_refused_nested_part_leaves_nothing_behind() {
    let mut bytes = vec![1, 2];
    let outcome = Encoder::new(&mut bytes).try_put_nested(|out| {
        out.put_raw(b"half of it");
        Err("no")
    });
    assert_eq!((outcome, bytes), (Err("no"), vec![1, 2]));
}

#[test]
fn errors_name_the_position_in_the_outermost_bytes() {
    let mut bytes = Vec::new();
    let mut out = Encoder::new(&mut bytes);
    out.put_u32(0);
    out.put_nested(|out| out.put_raw(&[b'a', b'b', 0xff]));
    let mut decoder = Decoder::at(&bytes, 100);
    assert_eq!(decoder.u32(), Ok(0));
    assert_eq!(decoder.text(), Err(DecodeError::new(107, DecodeProblem::Utf8)));
}

use outcrop_types::{IndexId, TableId};
use proptest::prelude::*;

use super::*;
use crate::key::{KeyHash, KeyWidth};

fn header(segments: usize) -> KeyRunHeader {
    KeyRunHeader {
        log_id: LogId::from_bytes([5; 16]),
        unit: UnitId::new(u64::MAX),
        table: TableId::new(u32::MAX),
        index: IndexId::new(1),
        width: KeyWidth::Whole,
        entries: 1_000_000,
        filter_blocks: KeyFilter::blocks_for(1_000_000),
        segments: (0..segments)
            .map(|i| CoveredSegment { unit: UnitId::new(u64::MAX - 1_000 + i as u64), rows: 1 << 24 })
            .collect(),
    }
}

#[test]
fn a_header_of_the_most_and_widest_segments_fits_its_page() {
    for segments in [0, 1, SEGMENTS_MAX] {
        let header = header(segments);
        assert_eq!(KeyRunHeader::decode(&header.encode().unwrap()), Ok(header));
    }
    assert!(header(SEGMENTS_MAX + 1).encode().is_err());
}

#[test]
fn b4_no_changed_bit_of_a_header_goes_unnoticed() {
    let page = header(3).encode().unwrap();
    for bit in 0..PAGE_BYTES * 8 {
        let mut damaged = page.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(KeyRunHeader::decode(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn b4_a_page_is_valid_in_its_place_only() {
    let place = PagePlace { log_id: LogId::from_bytes([5; 16]), unit: UnitId::new(9), number: 3 };
    let mut page = [7; PAGE_BYTES];
    place.seal(&mut page);
    assert!(place.check(&page).is_ok());
    assert!(PagePlace { number: 4, ..place }.check(&page).is_err());
    assert!(PagePlace { unit: UnitId::new(8), ..place }.check(&page).is_err());
    assert!(PagePlace { log_id: LogId::from_bytes([6; 16]), ..place }.check(&page).is_err());
    assert!(place.check(&page[..PAGE_BYTES - 1]).is_err());
    for byte in 0..PAGE_BYTES {
        let mut damaged = page;
        damaged[byte] ^= 0x10;
        assert!(place.check(&damaged).is_err());
    }
}

#[test]
fn a_filter_knows_its_keys_and_few_others() {
    let key = |i: u64| KeyHash::of_high(KeyHash::of_high(i).low());
    let mut filter = KeyFilter::new(KeyFilter::blocks_for(50_000));
    (0..50_000).for_each(|i| filter.insert(key(i)));
    assert!((0..50_000).all(|i| filter.may_have(key(i))));
    let wrong = (50_000..250_000).filter(|i| filter.may_have(key(*i))).count();
    assert!(wrong < 200_000 / 100, "{wrong} of 200,000 pass");
    assert_eq!(KeyFilter::from_blocks(filter.blocks()), filter);
}

proptest! {
    #[test]
    fn a_page_gives_back_what_was_put_in(
        wide in any::<bool>(),
        mut keys in proptest::collection::vec((0_u64..300, 0_u64..3, any::<u8>(), 0_u32..1 << 24), 1..204),
    ) {
        keys.sort_unstable();
        let width = if wide { KeyWidth::Whole } else { KeyWidth::Half };
        let hash = |high, low| if wide { KeyHash::new(high, low) } else { KeyHash::of_high(high) };
        let mut entries: Vec<RunEntry> =
            keys.iter().map(|(high, low, segment, row)| RunEntry { key: hash(*high, *low), segment: *segment, row: *row }).collect();
        entries.sort_unstable();
        let mut builder = EntryPageBuilder::new(width);
        entries.iter().for_each(|entry| builder.push(entry));
        let bytes = builder.take();
        let page = EntryPage::decode(width, &bytes).unwrap();
        prop_assert_eq!(page.entries().collect::<Vec<_>>(), entries.clone());
        for high in 0..300 {
            for low in 0..3 {
                let key = hash(high, low);
                let expected: Vec<RunEntry> = entries.iter().filter(|entry| entry.key == key).copied().collect();
                prop_assert_eq!(page.find(key).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn b2_no_bytes_make_a_page_panic(bytes in proptest::collection::vec(any::<u8>(), PAGE_BYTES)) {
        let page: &Page = bytes.as_slice().try_into().unwrap();
        for width in [KeyWidth::Half, KeyWidth::Whole] {
            if let Ok(page) = EntryPage::decode(width, page) {
                prop_assert_eq!(page.entries().count(), page.len());
            }
        }
        prop_assert!(KeyRunHeader::decode(page).is_err());
    }
}

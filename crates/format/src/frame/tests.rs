use proptest::prelude::*;

use super::*;

const LOG: LogId = LogId::from_bytes([7; 16]);

fn writer() -> GroupWriter {
    GroupWriter { log_id: LOG, epoch: Epoch::new(3), previous_seq: CommitSeq::new(10), synced_to: PagePosition::new(5) }
}

fn positions() -> impl Iterator<Item = PagePosition> {
    (100..).map(PagePosition::new)
}

fn header() -> FileHeader {
    FileHeader {
        log_id: LOG,
        epoch: Epoch::new(2),
        number: 9,
        first: PagePosition::new(1000),
        pages: 16,
        optional_features: 0b101,
    }
}

type OwnedRecords = Vec<(CommitSeq, Vec<u8>)>;

/// Joins and checks the pages of one group, as a reader does.
fn read_group(pages: &[u8]) -> Result<(GroupHeader, OwnedRecords), FrameError> {
    let mut group = None;
    let mut body = Vec::new();
    for (page, position) in pages.chunks(PAGE_BYTES).zip(positions()) {
        let page = Page::decode(LOG, position, page)?;
        match page.part {
            PagePart::Start(header) => group = Some(header),
            PagePart::Continuation(start) => assert_eq!(start.get(), 100),
        }
        body.extend_from_slice(page.body);
    }
    let header = group.ok_or(FrameError::Short)?;
    let records = decode_records(&header, &body)?;
    Ok((header, records.into_iter().map(|(seq, bytes)| (seq, bytes.to_vec())).collect()))
}

proptest! {
    #[test]
    fn records_come_back_as_they_went_in(lengths in prop::collection::vec(0_usize..9000, 1..6)) {
        let records: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(i, len)| (CommitSeq::new(11 + 2 * i as u64), Bytes::from(vec![0xAB; *len])))
            .collect();
        let pages = writer().records(&records, positions()).unwrap();
        prop_assert_eq!(pages.len() as u64, pages_of_records(lengths.iter().map(|l| *l as u64)) * PAGE_BYTES as u64);
        let (header, read) = read_group(&pages).unwrap();
        prop_assert_eq!(header.pages() * PAGE_BYTES as u64, pages.len() as u64);
        prop_assert_eq!(header.previous_seq, CommitSeq::new(10));
        prop_assert_eq!(header.synced_to, PagePosition::new(5));
        let expected: Vec<_> = records.iter().map(|(seq, bytes)| (*seq, bytes.to_vec())).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn any_bytes_decode_to_an_error_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(Page::decode(LOG, PagePosition::new(1), &bytes).is_err());
        prop_assert!(FileHeader::decode(&bytes).is_err());
    }

    #[test]
    fn any_body_decodes_without_panic(body in prop::collection::vec(any::<u8>(), 0..200), count in any::<u32>()) {
        let header = GroupHeader {
            kind: GroupKind::Records,
            record_count: count,
            body_bytes: body.len() as u64,
            first_seq: CommitSeq::new(1),
            last_seq: CommitSeq::new(9),
            previous_seq: CommitSeq::ZERO,
            synced_to: PagePosition::new(0),
        };
        drop(decode_records(&header, &body));
    }
}

#[test]
fn every_flipped_bit_of_a_page_is_noticed() {
    let pages = writer().records(&[(CommitSeq::new(11), Bytes::from_static(b"row"))], positions()).unwrap();
    for bit in 0..pages.len() * 8 {
        let mut damaged = pages.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Page::decode(LOG, PagePosition::new(100), &damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_a_file_header_is_noticed_and_none_reads_as_a_newer_version() {
    let page = header().encode();
    assert_eq!(FileHeader::decode(&page), Ok(header()));
    for bit in 0..page.len() * 8 {
        let mut damaged = page.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = FileHeader::decode(&damaged).unwrap_err();
        assert!(matches!(error, FrameError::Checksum | FrameError::Magic), "bit {bit}: {error}");
    }
}

#[test]
fn pages_of_another_log_or_place_are_refused() {
    let page = writer().empty(GroupKind::SyncedMark, PagePosition::new(100)).unwrap();
    let other = LogId::from_bytes([8; 16]);
    assert_eq!(Page::decode(other, PagePosition::new(100), &page).unwrap_err(), FrameError::Checksum);
    assert_eq!(Page::decode(LOG, PagePosition::new(101), &page).unwrap_err(), FrameError::Position);
    assert_eq!(Page::decode(LOG, PagePosition::new(101), &[0; PAGE_BYTES]).unwrap_err(), FrameError::Blank);
}

#[test]
fn position_zero_of_a_blank_page_is_not_valid() {
    assert_eq!(Page::decode(LOG, PagePosition::new(0), &[0; PAGE_BYTES]).unwrap_err(), FrameError::Checksum);
}

fn reseal_header(mut page: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    page[offset..offset + bytes.len()].copy_from_slice(bytes);
    let checksum = crc32c::crc32c(&page[..PAGE_BYTES - 4]);
    page[PAGE_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    page
}

#[test]
fn newer_versions_and_unknown_features_are_refused_by_name() {
    let newer = reseal_header(header().encode(), 8, &2_u16.to_le_bytes());
    assert_eq!(FileHeader::decode(&newer).unwrap_err(), FrameError::Version { found: 2 });
    let features = reseal_header(header().encode(), 32, &4_u64.to_le_bytes());
    assert_eq!(FileHeader::decode(&features).unwrap_err(), FrameError::Features { unknown: 4 });
}

#[test]
fn records_out_of_order_are_refused() {
    let record = |seq| (CommitSeq::new(seq), Bytes::new());
    for records in [vec![], vec![record(10)], vec![record(12), record(12)], vec![record(12), record(11)]] {
        assert_eq!(writer().records(&records, positions()).unwrap_err(), FrameError::Group);
    }
    assert_eq!(writer().records(&[record(11)], []).unwrap_err(), FrameError::Group);
    assert_eq!(writer().empty(GroupKind::Records, PagePosition::new(1)).unwrap_err(), FrameError::Group);
}

#[test]
fn version_one_bytes_never_change() {
    let header = header().encode();
    let group = writer()
        .records(&[(CommitSeq::new(11), Bytes::from_static(b"a")), (CommitSeq::new(12), Bytes::new())], positions())
        .unwrap();
    assert_eq!(header.len() + group.len(), 2 * PAGE_BYTES);
    assert_eq!(&header[..12], b"OUTCRLOG\x01\0\0\0");
    assert_eq!(&group[4..32], b"\x03\0\0\0\x64\0\0\0\0\0\0\0\x64\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&group[32..48], b"\x01\0\0\0\x02\0\0\0\x19\0\0\0\0\0\0\0");
    assert_eq!(&group[80..93], b"\x0b\0\0\0\0\0\0\0\x01\0\0\0a");
    // The stored checksums stand for all the other bytes.
    assert_eq!((&header[4092..], &group[..4]), (&GOLDEN_HEADER[..], &GOLDEN_GROUP[..]));
}

const GOLDEN_HEADER: [u8; 4] = [58, 41, 57, 92];
const GOLDEN_GROUP: [u8; 4] = [206, 161, 225, 52];

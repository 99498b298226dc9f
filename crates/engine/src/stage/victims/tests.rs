use super::*;

#[test]
fn victims_come_back_sorted() {
    let log_id = LogId::from_bytes([7; 16]);
    let address = |unit: u64, row: u32| RowAddress::new(UnitId::new(unit), RowOrdinal::new(row));
    let victims = vec![address(9, 5), address(1, 70_000), address(1, 3), address(u64::MAX, u32::MAX), address(9, 0)];
    let bytes = encode(log_id, &victims.iter().copied().collect());
    let (header, body) = envelope::open(&VICTIMS_KIND, &bytes).unwrap();
    assert_eq!(header.log_id, log_id);
    let mut sorted = victims;
    sorted.sort_unstable();
    assert_eq!(decode(body).unwrap(), sorted);
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let log_id = LogId::from_bytes([7; 16]);
    let victims: Vec<RowAddress> =
        (0..50).map(|row| RowAddress::new(UnitId::new(u64::from(row) / 20), RowOrdinal::new(row * 3))).collect();
    let bytes = encode(log_id, &victims.iter().copied().collect());
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        assert!(envelope::open(&VICTIMS_KIND, &damaged).is_err());
        drop(decode(Decoder::new(&damaged)));
        drop(decode(Decoder::new(&bytes[place..])));
    }
}

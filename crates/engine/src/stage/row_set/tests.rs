use super::*;

fn address(unit: u64, row: u32) -> RowAddress {
    RowAddress::new(UnitId::new(unit), RowOrdinal::new(row))
}

#[test]
fn a_set_has_each_row_once_in_order() {
    let mut set = RowSet::default();
    assert!(set.insert(address(7, 3)) && set.insert(address(2, 9)) && set.insert(address(7, 1)));
    assert!(!set.insert(address(7, 3)));
    assert_eq!((set.len(), set.is_empty()), (3, false));
    assert_eq!(set.iter().collect::<Vec<_>>(), [address(2, 9), address(7, 1), address(7, 3)]);
    assert!(set.remove(address(2, 9)) && !set.remove(address(2, 9)) && !set.contains(address(2, 9)));
    assert_eq!(set.units().collect::<Vec<_>>(), [UnitId::new(7)]);
    assert_eq!(set.of_unit(UnitId::new(7)).map(RowOrdinal::get).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_packed_row_is_the_address() {
    for row in [address(1, 0), address(77, SEGMENT_ROWS_MAX - 1), address((1 << 40) - 1, 5)] {
        assert_eq!(PackedRow::new(row).unwrap().get(), row);
    }
    assert!(PackedRow::new(address(1, SEGMENT_ROWS_MAX)).is_err());
    assert!(PackedRow::new(address(1 << 40, 0)).is_err());
    assert_eq!(size_of::<Option<PackedRow>>(), 8);
}

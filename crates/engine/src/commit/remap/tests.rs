use super::*;

fn address(unit: u64, row: u32) -> RowAddress {
    RowAddress::new(UnitId::new(unit), RowOrdinal::new(row))
}

fn map(rows: u32, dead: &[u32], output: u64) -> RowMap {
    let mut deletes = DeleteVector::new(rows);
    deletes.delete(&dead.iter().map(|row| RowOrdinal::new(*row)).collect::<Vec<_>>());
    RowMap::in_one(deletes, UnitId::new(output))
}

#[test]
fn a_row_moves_to_its_rank_among_the_live_ones() {
    let map = map(10, &[0, 3, 4], 2);
    let moved: Vec<Option<u32>> =
        (0..11).map(|row| map.address(RowOrdinal::new(row)).map(|address| address.row.get())).collect();
    let rank = |row| Some(row);
    assert_eq!(moved, [None, rank(0), rank(1), None, None, rank(2), rank(3), rank(4), rank(5), rank(6), None]);
}

#[test]
fn many_rows_go_where_each_of_them_goes() {
    let rows = 60_000;
    let dead: Vec<u32> = (0..rows).filter(|row| row % 3 == 0 || (20_000..20_500).contains(row)).collect();
    let map = map(rows, &dead, 2);
    let asked = (0..rows + 5).filter(|row| row % 7 < 3).map(RowOrdinal::new);
    let one_by_one: Vec<RowAddress> = asked.clone().filter_map(|row| map.address(row)).collect();
    assert!(one_by_one.len() > 15_000);
    assert_eq!(map.addresses(asked).collect::<Vec<_>>(), one_by_one);
}

#[test]
fn chains_of_installs_are_followed_and_forgotten_with_the_versions_that_need_them() {
    let mut remaps = Remaps::default();
    remaps.add(UnitId::new(1), CommitSeq::new(10), map(5, &[1], 2));
    remaps.add(UnitId::new(2), CommitSeq::new(20), map(4, &[0], 3));
    assert_eq!(remaps.translate(address(1, 2)), Some(address(3, 0)));
    assert_eq!(remaps.translate(address(1, 0)), None);
    assert_eq!(remaps.translate(address(1, 1)), None);
    assert_eq!(remaps.translate(address(2, 3)), Some(address(3, 2)));
    assert_eq!(remaps.translate(address(9, 0)), None);
    remaps.trim(CommitSeq::new(10));
    assert_eq!(remaps.translate(address(1, 2)), None);
    assert_eq!(remaps.translate(address(2, 3)), Some(address(3, 2)));
    remaps.trim(CommitSeq::new(20));
    assert_eq!(remaps.translate(address(2, 3)), None);
}

#[test]
fn sorted_rows_go_to_their_places_in_several_outputs() {
    let mut deletes = DeleteVector::new(4);
    deletes.delete(&[RowOrdinal::new(1)]);
    let outputs = Arc::from([(UnitId::new(7), 0), (UnitId::new(8), 3)]);
    // Two rows of an input before this one are at places 1 and 4.
    let map = RowMap::sorted(deletes, outputs, Arc::from([1, 4, 3, 0, 2]), 2);
    let moved: Vec<Option<RowAddress>> = (0..5).map(|row| map.address(RowOrdinal::new(row))).collect();
    assert_eq!(moved, [Some(address(8, 0)), None, Some(address(7, 0)), Some(address(7, 2)), None]);
    let mut remaps = Remaps::default();
    remaps.add(UnitId::new(1), CommitSeq::new(10), map);
    assert_eq!((remaps.len(), remaps.bytes()), (1, 12));
}

use super::Kill;

#[test]
fn a_kill_is_due_at_the_nth_time_of_its_mark() {
    let kill = Kill::parse("segments/renamed:3").unwrap();
    assert!(!kill.is_due("segments", "renamed"));
    assert!(!kill.is_due("segments", "synced"));
    assert!(!kill.is_due("manifest", "renamed"));
    assert!(!kill.is_due("segments", "renamed"));
    assert!(kill.is_due("segments", "renamed"));
}

#[test]
fn the_root_directory_is_an_empty_subject() {
    assert!(Kill::parse("/renamed:1").unwrap().is_due("", "renamed"));
}

#[test]
fn what_names_no_mark_asks_for_nothing() {
    for text in ["", "segments/renamed", "segments:1", "segments/renamed:0", "segments/renamed:soon"] {
        assert!(Kill::parse(text).is_none(), "{text}");
    }
}

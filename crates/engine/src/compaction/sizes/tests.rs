use super::*;

fn range(first: u32, last: u32) -> Option<KeyRange> {
    Some(KeyRange { first, last })
}

#[test]
fn bounds_become_ranks() {
    let int = |min, max| Some((Value::Int(min), Value::Int(max)));
    let bounds = [int(-5, 900), int(900, 1_000), None, int(7, 7)];
    assert_eq!(ranges(&bounds), [range(0, 2), range(2, 3), None, range(1, 1)]);
}

#[test]
fn texts_that_differ_too_late_count_as_one() {
    let text = |text: &str| compared(&Value::Text(text.to_owned()));
    let (long, longer) = ("https://example.com/a/page/1", "https://example.com/a/page/2");
    let bounds = [Some((text(long), text(longer))), Some((text("a"), text(long)))];
    assert_eq!(ranges(&bounds), [range(1, 1), range(0, 1)]);
}

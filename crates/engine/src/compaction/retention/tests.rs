use super::*;

const HOUR_US: i64 = 3_600 * 1_000_000;

fn at(seconds: u64) -> (Duration, i64) {
    (Duration::from_secs(seconds), 1_700_000_000_000_000 + i64::try_from(seconds).unwrap() * 1_000_000)
}

#[test]
fn a_clock_that_goes_is_believed_and_one_that_leaps_is_not_for_a_while() {
    let (now, wall) = at(0);
    let mut clock = WallClock::new(now, wall);
    let mut ask = |seconds, off_us: i64| {
        let (now, wall) = at(seconds);
        clock.is_believed(now, wall + off_us)
    };
    assert!(ask(60, 0) && ask(120, HOUR_US / 2) && ask(180, HOUR_US), "small corrections");
    assert!(!ask(240, 1_000 * HOUR_US) && !ask(800, 1_000 * HOUR_US));
    assert!(ask(840, 1_000 * HOUR_US), "it went on from there for ten minutes");
    assert!(!ask(900, 9_000 * HOUR_US));
    assert!(ask(960, 1_000 * HOUR_US), "it was set back");
    assert!(ask(1_020, 0));
}

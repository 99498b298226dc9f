//! Numbers for people, and lines to people.

use std::io::Write as _;

/// A line on standard error. Without one there is nobody to tell.
pub(crate) fn note(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}

/// `1,234,567`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 MB`
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", grouped(bytes / 1_000_000), bytes % 1_000_000 / 100_000)
}

/// `850 µs`, `12.3 ms`, `4.20 s`
pub(crate) fn duration(time: std::time::Duration) -> String {
    let us = time.as_micros();
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

/// Characters that a text takes on a terminal, near enough: one for each, two for wide East Asian ones.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The text cut to `most` columns, with `…` if something was cut.
pub(crate) fn fit(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut taken = 0;
    let mut fitted: String = text
        .chars()
        .take_while(|c| {
            taken += char_width(*c);
            taken < most
        })
        .collect();
    fitted.push('…');
    fitted
}

fn char_width(c: char) -> usize {
    match u32::from(c) {
        0..0x20 | 0x7f..0xa0 | 0x300..0x370 | 0x200b..0x2010 => 0,
        0x1100..0x1160
        | 0x2e80..0xa4d0
        | 0xac00..0xd7a4
        | 0xf900..0xfb00
        | 0xfe30..0xfe70
        | 0xff00..0xff61
        | 0x1f300..0x1f650
        | 0x1f900..0x1fa00
        | 0x20000..0x30000 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, fit, grouped, megabytes, width};

    #[test]
    fn numbers_are_grouped_and_rounded() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(megabytes(12_345_678), "12.3 MB");
        let times = [Duration::from_micros(850), Duration::from_micros(12_340), Duration::from_millis(4_200)];
        assert_eq!(times.map(duration), ["850 µs", "12.3 ms", "4.20 s"]);
    }

    #[test]
    fn texts_are_cut_by_their_width() {
        assert_eq!(width("日本"), 4);
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 3), "abc");
    }
}

//! A line of COPY's text format.

use std::borrow::Cow;

/// Iterates over the raw cells of a line, escapes included.
pub(super) fn split(line: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let mut from = 0;
        loop {
            let tail = bytes.get(from..).unwrap_or_default();
            let Some(at) = memchr::memchr2(delimiter, b'\\', tail) else {
                rest = None;
                return Some(bytes);
            };
            let at = from + at;
            if bytes.get(at) == Some(&delimiter) {
                rest = bytes.get(at + 1..);
                return bytes.get(..at);
            }
            // A backslash takes the next byte with it, also a delimiter.
            from = at + 2;
        }
    })
}

/// Resolves backslash escapes. The bytes may then no longer be UTF-8.
pub(super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let Some((code, tail)) = tail.split_first() else {
            out.push(b'\\');
            break;
        };
        rest = tail;
        match code {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'x' => match take_digits(tail, 16, 2) {
                Some((byte, tail)) => {
                    out.push(byte);
                    rest = tail;
                }
                None => out.push(b'x'),
            },
            b'0'..=b'7' => {
                let (byte, tail) = take_digits(tail, 8, 2).map_or((0, tail), |(byte, after)| (byte, after));
                let count = u32::try_from(rest.len() - tail.len()).unwrap_or(0);
                // As PostgreSQL: three octal digits beyond \377 lose their high bit.
                out.push((code - b'0').wrapping_mul(8_u8.wrapping_pow(count)).wrapping_add(byte));
                rest = tail;
            }
            other => out.push(*other),
        }
    }
    Cow::Owned(out)
}

/// Up to `count` digits of a base, and what is behind them.
fn take_digits(bytes: &[u8], base: u32, count: usize) -> Option<(u8, &[u8])> {
    let digits = bytes.iter().take(count).take_while(|byte| char::from(**byte).is_digit(base)).count();
    let (head, tail) = bytes.split_at_checked(digits)?;
    let text = std::str::from_utf8(head).ok()?;
    Some((u8::from_str_radix(text, base).ok()?, tail))
}

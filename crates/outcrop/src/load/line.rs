//! Lines of COPY's text format.

/// Adds the cells as a line, the line feed with it.
pub(super) fn write<'c>(cells: impl Iterator<Item = Option<&'c str>>, out: &mut Vec<u8>) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            out.push(b'\t');
        }
        match cell {
            None => out.extend_from_slice(b"\\N"),
            Some(text) => write_escaped(text, out),
        }
    }
    out.push(b'\n');
}

/// The cells of a line that [`write`] made.
pub(super) fn read(line: &[u8]) -> Vec<Option<String>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.split(|byte| *byte == b'\t').map(|cell| (cell != b"\\N").then(|| unescaped(cell))).collect()
}

fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| code(*byte).is_some()) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let [byte, after @ ..] = special {
            out.push(b'\\');
            out.extend(code(*byte));
            rest = after;
        }
    }
    out.extend_from_slice(rest);
}

fn code(byte: u8) -> Option<u8> {
    match byte {
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\\' => Some(b'\\'),
        _ => None,
    }
}

fn unescaped(cell: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(cell.len());
    let mut source = cell.iter().copied();
    while let Some(byte) = source.next() {
        bytes.push(match byte {
            b'\\' => match source.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

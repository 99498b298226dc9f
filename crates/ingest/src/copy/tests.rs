use arrow_array::RecordBatch;
use outcrop_types::{DataType, Error, Value};
use proptest::prelude::*;

use super::{CopyDecoder, CopyEncoder, Header, LINE_BYTES_MAX, Layout, Style};
use crate::{Cells, ColumnBuilder, TextSettings};

fn columns() -> Vec<(String, DataType)> {
    vec![("a".into(), DataType::Int4), ("b".into(), DataType::Text)]
}

fn decode(layout: Layout, columns: &[(String, DataType)], pieces: &[&[u8]]) -> Result<Vec<Vec<Value>>, Error> {
    let mut decoder = CopyDecoder::new("t", columns, layout, TextSettings::default());
    let mut rows = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(batch) = decoder.next_batch()? {
            rows.extend(values(&batch));
        }
    }
    if let Some(batch) = decoder.finish()? {
        rows.extend(values(&batch));
    }
    Ok(rows)
}

fn values(batch: &RecordBatch) -> Vec<Vec<Value>> {
    let columns: Vec<_> = batch.columns().iter().map(|column| Cells::try_new(column.as_ref()).unwrap()).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row)).collect()).collect()
}

fn row(a: impl Into<Option<i64>>, b: Option<&str>) -> Vec<Value> {
    vec![a.into().map_or(Value::Null, Value::Int), b.map_or(Value::Null, |b| Value::Text(b.into()))]
}

fn csv() -> Layout {
    Layout::new(Style::Csv)
}

fn text() -> Layout {
    Layout::new(Style::Text)
}

#[test]
fn text_lines_are_read_with_their_escapes() {
    let data = b"1\tx\\ty\\nz\\\\\n2\t\\N\r\n\\N\t\n3\ta\\\nb\n4\t\\x41\\102\\.\n5\tend";
    let rows = decode(text(), &columns(), &[data]).unwrap();
    assert_eq!(
        rows,
        [
            row(1, Some("x\ty\nz\\")),
            row(2, None),
            row(None, Some("")),
            row(3, Some("a\nb")),
            row(4, Some("AB.")),
            row(5, Some("end"))
        ]
    );
}

#[test]
fn csv_lines_are_read_with_their_quotes() {
    let data = b"a,b\r\n1,\"x,\"\"y\"\"\nz\"\r\n2,\n3,\"\"\n,ab\"c d\"e\n";
    let layout = Layout { header: Header::Present, ..csv() };
    let rows = decode(layout, &columns(), &[data]).unwrap();
    assert_eq!(rows, [row(1, Some("x,\"y\"\nz")), row(2, None), row(3, Some("")), row(None, Some("abc de"))]);
}

#[test]
fn csv_takes_other_delimiters_quotes_escapes_and_nulls() {
    let layout =
        Layout { delimiter: b';', quote: b'\'', escape: b'\\', null: "NULL".into(), force_null: vec![1], ..csv() };
    let rows = decode(layout, &columns(), &[b"1;'it\\'s; \\\\'\n2;NULL\n3;'NULL'\n4;"]).unwrap();
    assert_eq!(rows, [row(1, Some("it's; \\")), row(2, None), row(3, None), row(4, Some(""))]);
    let layout = Layout { force_not_null: vec![1], ..csv() };
    assert_eq!(decode(layout, &columns(), &[b"1,\n"]).unwrap(), [row(1, Some(""))]);
}

#[test]
fn the_end_mark_ends_the_data() {
    for layout in [text(), csv()] {
        let line = if layout.style == Style::Csv { b"1,x\n\\.\nrubbish".as_slice() } else { b"1\tx\n\\.\nrubbish" };
        assert_eq!(decode(layout, &columns(), &[line, b"more rubbish"]).unwrap(), [row(1, Some("x"))]);
    }
}

#[test]
fn bad_lines_are_named_by_line_and_column() {
    let two_long = "x".repeat(150);
    let long = format!("1,a\n{two_long},b\n");
    for (layout, data, state, message, context) in [
        (csv(), "1,a\n2,b,c\n", "22P04", "extra data after last expected column", "COPY t, line 2: \"2,b,c\""),
        (csv(), "1,a\n2\n", "22P04", "missing data for column \"b\"", "COPY t, line 2: \"2\""),
        (
            csv(),
            "1,\"a\nb\"\nx,b",
            "22P02",
            "invalid input syntax for type integer: \"x\"",
            "COPY t, line 3, column a: \"x\"",
        ),
        (csv(), "1,\"a", "22P04", "unterminated CSV quoted field", "COPY t, line 1: \"1,\"a\""),
        (text(), "1\ta\tb", "22P04", "extra data after last expected column", "COPY t, line 1: \"1\ta\tb\""),
        (text(), "1\n", "22P04", "missing data for column \"b\"", "COPY t, line 1: \"1\""),
        (text(), "1\ta\rb\n", "22P04", "literal carriage return found in data", "COPY t, line 1: \"1\ta\rb\""),
        (
            text(),
            "1\ta\\000\n",
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
            "COPY t, line 1, column b: \"a\0\"",
        ),
        (
            Layout { header: Header::Match, ..csv() },
            "a,c\n",
            "22P04",
            "column name mismatch in header line field 2: got \"c\", expected \"b\"",
            "COPY t, line 1: \"a,c\"",
        ),
    ] {
        let error = decode(layout, &columns(), &[data.as_bytes()]).unwrap_err();
        assert_eq!((error.condition().sqlstate(), error.message()), (state, message));
        assert_eq!(error.context(), Some(context));
    }
    let error = decode(csv(), &columns(), &[long.as_bytes()]).unwrap_err();
    assert_eq!(error.context().unwrap(), format!("COPY t, line 2, column a: \"{}...\"", "x".repeat(100)));
    let error = decode(csv(), &columns(), &[b"1,\xff\n"]).unwrap_err();
    assert_eq!(error.condition().sqlstate(), "22021");
    assert_eq!(error.message(), "invalid byte sequence for encoding \"UTF8\": 0xff");
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let mut decoder = CopyDecoder::new("t", &columns(), csv(), TextSettings::default());
    let piece = vec![b'x'; 1 << 20];
    let refused = (0..LINE_BYTES_MAX / piece.len() + 2).find_map(|_| {
        decoder.push(&piece);
        decoder.next_batch().err()
    });
    assert_eq!(refused.unwrap().condition().sqlstate(), "54000");
}

fn layouts() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(text()),
        Just(csv()),
        Just(Layout { delimiter: b'|', null: "-".into(), ..text() }),
        Just(Layout { delimiter: b';', quote: b'\'', escape: b'\\', ..csv() }),
        Just(Layout { header: Header::Match, force_quote: vec![1], ..csv() }),
        Just(binary()),
    ]
}

fn binary() -> Layout {
    Layout::new(Style::Binary)
}

/// A stream of tuples as PostgreSQL 15 writes it: `COPY (SELECT * FROM (VALUES (1, 'x'), (NULL, '')) v) TO STDOUT (FORMAT binary)`.
fn tuples() -> Vec<u8> {
    let mut data = b"PGCOPY\n\xff\r\n\0".to_vec();
    data.extend([0; 8]);
    data.extend([0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, b'x']);
    data.extend([0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    data.extend([0xff, 0xff]);
    data
}

#[test]
fn tuples_are_read_and_written_as_postgres_does() {
    let expected = [row(1, Some("x")), row(None, Some(""))];
    assert_eq!(decode(binary(), &columns(), &[&tuples()]).unwrap(), expected);
    // Without the end mark, and with an extension of the header.
    let data = tuples();
    assert_eq!(decode(binary(), &columns(), &[&data[..data.len() - 2]]).unwrap(), expected);
    let extended = [&data[..15], &[0, 0, 0, 3, 7, 7, 7], &data[19..]].concat();
    assert_eq!(decode(binary(), &columns(), &[&extended]).unwrap(), expected);
    assert_eq!(written(&binary(), &expected), data);
}

#[test]
fn bad_tuples_are_named_by_row_and_column() {
    let good = tuples();
    let with = |at: usize, bytes: &[u8]| {
        let mut data = good.clone();
        data.splice(at..at + bytes.len(), bytes.iter().copied());
        data
    };
    let first = 19;
    for (data, state, message, context) in [
        (Vec::new(), "22P04", "COPY file signature not recognized", "COPY t, line 1"),
        (with(0, b"1\t"), "22P04", "COPY file signature not recognized", "COPY t, line 1"),
        (with(11, &[0, 1, 0, 0]), "22P04", "invalid COPY file header (WITH OIDS)", "COPY t, line 1"),
        (with(11, &[0x80]), "22P04", "unrecognized critical flags in COPY file header", "COPY t, line 1"),
        (with(15, &[0x80]), "22P04", "invalid COPY file header (wrong length)", "COPY t, line 1"),
        (with(first, &[0, 3]), "22P04", "row field count is 3, expected 2", "COPY t, line 1"),
        (with(first + 15, &[0, 1]), "22P04", "row field count is 1, expected 2", "COPY t, line 2"),
        (with(first + 2, &[0xff, 0xff, 0xff, 0xfe]), "22P04", "invalid field size", "COPY t, line 1"),
        (
            with(first + 14, &[0xff]),
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0xff",
            "COPY t, line 1, column b",
        ),
        (
            with(first + 14, &[0]),
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
            "COPY t, line 1, column b",
        ),
        (
            [&good[..first], &[0, 2, 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff]].concat(),
            "22P03",
            "incorrect binary data format of a value",
            "COPY t, line 1, column a",
        ),
        ([&good, b"x".as_slice()].concat(), "22P04", "received copy data after EOF marker", "COPY t, line 3"),
        (good[..good.len() - 4].to_vec(), "22P04", "unexpected EOF in COPY data", "COPY t, line 2"),
    ] {
        let error = decode(binary(), &columns(), &[&data]).unwrap_err();
        assert_eq!((error.condition().sqlstate(), error.message()), (state, message));
        assert_eq!(error.context(), Some(context), "{message}");
    }
}

#[test]
fn a_tuple_without_end_is_refused_before_it_fills_the_memory() {
    let mut decoder = CopyDecoder::new("t", &columns(), binary(), TextSettings::default());
    decoder.push(&tuples()[..29]);
    decoder.push(&[0x7f, 0xff, 0xff, 0xff]);
    let piece = vec![b'x'; 1 << 20];
    let refused = (0..LINE_BYTES_MAX / piece.len() + 2).find_map(|_| {
        decoder.push(&piece);
        decoder.next_batch().err()
    });
    assert_eq!(refused.unwrap().condition().sqlstate(), "54000");
}

/// The rows as an encoder writes them.
fn written(layout: &Layout, rows: &[Vec<Value>]) -> Vec<u8> {
    let mut builders = [ColumnBuilder::new(&DataType::Int4), ColumnBuilder::new(&DataType::Text)];
    for row in rows {
        for (builder, value) in builders.iter_mut().zip(row) {
            builder.append_value(value).unwrap();
        }
    }
    let arrays = builders.map(|mut builder| builder.finish().unwrap());
    let cells: Vec<_> = arrays.iter().map(|array| Cells::try_new(array.as_ref()).unwrap()).collect();
    let mut encoder = CopyEncoder::new(layout.clone(), TextSettings::default());
    let mut data = Vec::new();
    encoder.write_header(["a", "b"], &mut data);
    (0..rows.len()).for_each(|row| encoder.write_row(&cells, row, &mut data));
    encoder.write_end(&mut data);
    data
}

/// Rubbish that is often something.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"\t\n\r\\\",.;|-'N01239axt".to_vec()),
        prop::sample::select(b"\t\n\\,1".to_vec()),
    ];
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_an_error_wherever_they_are_cut(layout in layouts(), data in rubbish(), cut: usize) {
        let (first, second) = data.split_at(cut % (data.len() + 1));
        let whole = decode(layout.clone(), &columns(), &[&data]);
        let parts = decode(layout, &columns(), &[first, second]);
        match (whole, parts) {
            (Ok(whole), Ok(parts)) => prop_assert_eq!(whole, parts),
            (Err(whole), Err(parts)) => {
                prop_assert_eq!((whole.condition(), whole.context()), (parts.condition(), parts.context()));
            }
            (whole, parts) => prop_assert!(false, "{:?} but {:?}", whole, parts),
        }
    }

    #[test]
    fn what_is_copied_out_copies_in_wherever_the_stream_is_cut(
        layout in layouts(),
        rows in prop::collection::vec((any::<Option<i32>>(), any::<Option<String>>()), 0..20),
        cuts in prop::collection::vec(1_usize..9, 1..50),
    ) {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(a, b)| row(a.map(i64::from), b.map(|b| b.replace('\0', "\r\n\t\\\"',;|-")).as_deref()))
            .collect();
        let data = written(&layout, &rows);
        let mut pieces = Vec::new();
        let mut rest = data.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(head);
            rest = tail;
        }
        let read = decode(layout, &columns(), &pieces).unwrap();
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn damaged_tuples_are_rows_or_an_error_wherever_they_are_cut(at: usize, bytes in rubbish(), cut: usize) {
        let mut data = tuples();
        let at = at % data.len();
        let end = (at + bytes.len()).min(data.len());
        data.splice(at..end, bytes);
        let (first, second) = data.split_at(cut % (data.len() + 1));
        match (decode(binary(), &columns(), &[&data]), decode(binary(), &columns(), &[first, second])) {
            (Ok(whole), Ok(parts)) => prop_assert_eq!(whole, parts),
            (Err(whole), Err(parts)) => {
                prop_assert_eq!((whole.condition(), whole.context()), (parts.condition(), parts.context()));
            }
            (whole, parts) => prop_assert!(false, "{:?} but {:?}", whole, parts),
        }
    }

    #[test]
    fn any_bytes_are_rows_or_an_error(layout in layouts(), pieces: Vec<Vec<u8>>) {
        let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
        drop(decode(layout, &columns(), &pieces));
    }
}

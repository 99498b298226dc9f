//! Rows of CSV and NDJSON, and where they are.

use std::io::Cursor;

use outcrop_types::DataType;

use crate::load::csv::{CsvFormat, CsvReader};
use crate::load::ndjson::NdjsonReader;
use crate::load::row::{Found, RowReader, TextRow};

type Rows = Vec<(u64, Found, Vec<Option<String>>)>;

fn all(reader: &mut dyn RowReader) -> Rows {
    let mut rows = Vec::new();
    let mut row = TextRow::default();
    loop {
        let found = reader.read(&mut row).unwrap();
        if found == Found::End {
            return rows;
        }
        rows.push((row.line, found, row.cells().map(|cell| cell.map(str::to_owned)).collect()));
    }
}

fn csv(bytes: &[u8], nulls: &[&str]) -> Rows {
    let nulls: Vec<String> = nulls.iter().map(|null| (*null).to_owned()).collect();
    let mut format = CsvFormat::new(None, &nulls).unwrap();
    format.find_delimiter(&mut Cursor::new(bytes.to_vec())).unwrap();
    all(&mut CsvReader::open(Box::new(Cursor::new(bytes.to_vec())), format).unwrap())
}

fn csv_lines(text: &str) -> Vec<u64> {
    csv(text.as_bytes(), &[]).into_iter().map(|(line, ..)| line).collect()
}

fn cells(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| (*cell != "NULL").then(|| (*cell).to_owned())).collect()
}

#[test]
fn csv_cells_are_unquoted_and_empty_ones_are_null() {
    let rows = csv(b"\xef\xbb\xbfa,b,c\n1,\"x,\"\"y\"\"\nz\",\n2,NA,\"\"\n", &["NA"]);
    assert_eq!(rows[0], (2, Found::Row, cells(&["1", "x,\"y\"\nz", "NULL"])));
    assert_eq!(rows[1], (4, Found::Row, cells(&["2", "NULL", "NULL"])));
    assert_eq!(rows.len(), 2);
}

#[test]
fn csv_rows_know_their_line() {
    assert_eq!(csv_lines("a\n1\n2\n3"), [2, 3, 4]);
    assert_eq!(csv_lines("a\n\n1\n\n\n2\n"), [3, 6]);
    assert_eq!(csv_lines("a,b\n1,\"x\ny\"\n2,z\n3,\"\n\n\"\n4,w"), [2, 4, 5, 8]);
    assert_eq!(csv_lines("a,b\r\n1,2\r\n3,4\r\n5,6"), [2, 3, 4]);
    assert_eq!(csv_lines("a,b\r\n1,\"2\r\n\"\r\n3,4\r\n"), [2, 4]);
}

#[test]
fn ragged_csv_rows_are_bad_and_the_next_ones_are_not() {
    let rows = csv(b"id,name,amount\n1,one,1.5\n2,two\n3,three,3.5,more\n4,four,4.5\n", &[]);
    let bad = |reason: &str| Found::Bad(reason.to_owned());
    assert_eq!(rows[1].0, 3);
    assert_eq!(rows[1].1, bad("it has 2 cells, the first line names 3 columns"));
    assert_eq!(rows[1].2, cells(&["2", "two"]));
    assert_eq!((rows[2].0, &rows[2].1), (4, &bad("it has 4 cells, the first line names 3 columns")));
    assert_eq!(rows[3], (5, Found::Row, cells(&["4", "four", "4.5"])));
}

#[test]
fn a_quote_that_is_never_closed_is_bad_and_a_closed_one_at_the_end_is_not() {
    let rows = csv(b"a,b\n1,x\n2,\"open\n3,y\n", &[]);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].0, 3);
    assert!(matches!(&rows[1].1, Found::Bad(reason) if reason.contains("never closed")), "{rows:?}");
    assert_eq!(csv(b"a,b\n2,\"x\ny\"", &[])[0].1, Found::Row);
    assert_eq!(csv(b"a,b\n2,\"x\ny\"\n", &[])[0].1, Found::Row);
}

#[test]
fn broken_utf8_is_bad() {
    let rows = csv(b"a,b\n1,\xff\xfe\n2,ok\n", &[]);
    assert_eq!(rows[0].1, Found::Bad("it is not valid UTF-8".to_owned()));
    assert_eq!(rows[1].1, Found::Row);
}

#[test]
fn a_row_without_end_stops_the_load() {
    let text = format!("a,b\n1,\"{}", "x".repeat(40 << 20));
    let mut reader =
        CsvReader::open(Box::new(Cursor::new(text.into_bytes())), CsvFormat::new(None, &[]).unwrap()).unwrap();
    let error = reader.read(&mut TextRow::default()).unwrap_err();
    assert!(format!("{error:#}").contains("longer than 16 MiB"), "{error:#}");
}

#[test]
fn the_delimiter_is_found_in_the_first_line() {
    for (text, expected) in [("a;b\n1;2,5\n", "2,5"), ("a\tb\n1\t2;3\n", "2;3"), ("\"x;y;z\",b\n1,2\n", "2")] {
        assert_eq!(csv(text.as_bytes(), &[])[0].2.last().unwrap().as_deref(), Some(expected), "{text}");
    }
    assert!(CsvFormat::new(Some('é'), &[]).is_err());
    assert!(CsvFormat::new(Some('"'), &[]).is_err());
}

#[test]
fn a_first_line_must_name_the_columns() {
    let open = |text: &str| {
        CsvReader::open(Box::new(Cursor::new(text.to_owned().into_bytes())), CsvFormat::new(None, &[]).unwrap())
    };
    assert!(open("").err().unwrap().to_string().contains("empty"));
    assert!(open("a,b,a\n").err().unwrap().to_string().contains("\"a\" twice"));
    assert_eq!(open("a, b ,\n").unwrap().names(), ["a", "b", "column3"]);
}

fn ndjson(text: &str, columns: &[(&str, DataType)]) -> Rows {
    let columns: Vec<_> =
        columns.iter().map(|(name, data_type)| ((*name).to_owned(), Some(data_type.clone()))).collect();
    all(&mut NdjsonReader::new(Box::new(Cursor::new(text.to_owned().into_bytes())), &columns))
}

#[test]
fn members_go_to_their_columns_as_the_type_wants_them() {
    let columns = [
        ("id", DataType::Int8),
        ("name", DataType::Text),
        ("doc", DataType::Jsonb),
        ("tags", DataType::Array(Box::new(DataType::Text))),
    ];
    let text = concat!(
        r#"{"name":"a\"b\n\u00e9","id":12345678901234567890,"doc":"text","tags":["x","a\"b\\",null]}"#,
        "\n\n",
        r#"{"id":2,"doc":{"b":1,"a":[]},"name":null}"#,
    );
    let rows = ndjson(text, &columns);
    let expected = ["12345678901234567890", "a\"b\né", "\"text\"", r#"{"x","a\"b\\",NULL}"#];
    assert_eq!(rows[0], (1, Found::Row, cells(&expected)));
    assert_eq!(rows[1], (3, Found::Row, cells(&["2", "NULL", r#"{"b":1,"a":[]}"#, "NULL"])));
}

#[test]
fn lines_that_are_no_object_of_the_columns_are_bad() {
    let text = "{\"id\":1}\n{\"id\":2,\"x\":1}\n{\"id\":3\n[1]\n7\n{\"id\":1,\"id\":2}\n{\"id\":8}\n";
    let rows = ndjson(text, &[("id", DataType::Int8)]);
    let reasons: Vec<_> = rows
        .iter()
        .map(|(line, found, _)| match found {
            Found::Bad(reason) => format!("{line}: {reason}"),
            Found::Row | Found::End => format!("{line}: ok"),
        })
        .collect();
    assert_eq!(reasons[0], "1: ok");
    assert_eq!(reasons[1], "2: no column takes its member \"x\"");
    assert!(reasons[2].starts_with("3: it is not a JSON object"), "{reasons:?}");
    assert!(reasons[3].starts_with("4: it is an array"), "{reasons:?}");
    assert!(reasons[4].starts_with("5: it is not a JSON object"), "{reasons:?}");
    assert!(reasons[5].contains("\"id\" occurs twice"), "{reasons:?}");
    assert_eq!(reasons[6], "7: ok");
}

#[test]
fn a_line_that_is_too_long_is_bad_and_the_next_one_is_read() {
    let text = format!("{{\"id\":\"{}\"}}\n{{\"id\":1}}\n", "x".repeat(40 << 20));
    let rows = ndjson(&text, &[("id", DataType::Int8)]);
    assert_eq!(rows[0].1, Found::Bad("it is longer than 16 MiB".to_owned()));
    assert_eq!(rows[1], (2, Found::Row, cells(&["1"])));
}

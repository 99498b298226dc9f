//! Data as clients send it: COPY, documents, values.

use arrow_array::{Array, RecordBatch};
use outcrop_ingest::copy::{CopyDecoder, CopyEncoder, Header, Layout, Style};
use outcrop_ingest::json::DocumentDecoder;
use outcrop_ingest::{Cells, ColumnBuilder, TextSettings, binary, text};
use outcrop_types::{DataType, Result, Value, jsonb as json_text};

use crate::rows::{all_types, printed, table};

/// First byte: columns and header. Second: how the rest is cut. The rest: COPY data in text format.
pub(crate) fn copy_text(input: &[u8]) {
    copy(Style::Text, input);
}

/// As [`copy_text`], in CSV.
pub(crate) fn copy_csv(input: &[u8]) {
    copy(Style::Csv, input);
}

fn copy(style: Style, input: &[u8]) {
    let Some(([shape, piece], data)) = input.split_first_chunk::<2>() else { return };
    let types = all_types();
    let columns: Vec<(String, DataType)> = types
        .iter()
        .take(usize::from(shape & 0x1f).clamp(1, types.len()))
        .enumerate()
        .map(|(number, data_type)| (format!("c{number}"), data_type.clone()))
        .collect();
    let mut layout = Layout::new(style);
    layout.header = match shape >> 5 & 3 {
        0 | 3 => Header::Absent,
        1 => Header::Present,
        _ => Header::Match,
    };
    if shape & 0x80 != 0 {
        layout.delimiter = b'|';
        layout.escape = b'\\';
        layout.null = "null".to_owned();
        layout.force_null = vec![1];
        layout.force_not_null = vec![0];
    }
    let whole = decode(&columns, &layout, [data]);
    let pieces = decode(&columns, &layout, data.chunks(usize::from(*piece) + 1));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            let rows: Vec<String> = whole.iter().map(printed).collect();
            assert_eq!(rows, pieces.iter().map(printed).collect::<Vec<_>>(), "other pieces, other rows");
            comes_back(&columns, &layout, &whole, &rows);
        }
        (Err(whole), Err(pieces)) => assert_eq!(told(&whole), told(&pieces), "other pieces, another error"),
        (whole, pieces) => panic!("other pieces, another outcome: {whole:?} and {pieces:?}"),
    }
}

fn told(error: &outcrop_types::Error) -> String {
    format!("{} {error} {:?}", error.condition().sqlstate(), error.context())
}

fn decode<'a>(
    columns: &[(String, DataType)],
    layout: &Layout,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<RecordBatch>> {
    let mut decoder = CopyDecoder::new("t", columns, layout.clone(), TextSettings::default());
    let mut batches = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(batch) = decoder.next_batch()? {
            batches.push(batch);
        }
    }
    batches.extend(decoder.finish()?);
    Ok(batches)
}

/// I2: what COPY writes of rows, COPY reads as the same rows.
fn comes_back(columns: &[(String, DataType)], layout: &Layout, batches: &[RecordBatch], rows: &[String]) {
    let layout = Layout { force_null: Vec::new(), force_not_null: Vec::new(), ..layout.clone() };
    let mut encoder = CopyEncoder::new(layout.clone(), TextSettings::default());
    let mut written = Vec::new();
    if layout.header != Header::Absent {
        encoder.write_header(columns.iter().map(|(name, _)| name.as_str()), &mut written);
    }
    for batch in batches {
        let cells: Vec<Cells<'_>> = columns
            .iter()
            .zip(batch.columns())
            .map(|((_, data_type), array)| Cells::of_type(array.as_ref(), data_type).expect("a column of the table"))
            .collect();
        (0..batch.num_rows()).for_each(|row| encoder.write_row(&cells, row, &mut written));
    }
    let again = decode(columns, &layout, [written.as_slice()]);
    let again = again.unwrap_or_else(|error| panic!("I2: {error} in {:?}", String::from_utf8_lossy(&written)));
    assert_eq!(rows, again.iter().map(printed).collect::<Vec<_>>(), "I2: {:?}", String::from_utf8_lossy(&written));
}

/// Lines, each of which may be a document. A bad one leaves no row.
pub(crate) fn documents(input: &[u8]) {
    let schema = table(&all_types());
    let texts: Vec<&str> =
        input.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let mut decoder = DocumentDecoder::new(std::sync::Arc::clone(&schema), TextSettings::default());
    let good: Vec<&str> = texts.into_iter().filter(|text| decoder.push(text).is_ok()).collect();
    let found = decoder.finish().and_then(|found| found.into_batch(&schema)).expect("good documents make a batch");
    assert_eq!(found.num_rows(), good.len());
    let mut alone = DocumentDecoder::new(std::sync::Arc::clone(&schema), TextSettings::default());
    good.iter().for_each(|text| alone.push(text).expect("a good document is good again"));
    let alone = alone.finish().and_then(|found| found.into_batch(&schema)).expect("good documents make a batch");
    assert_eq!(printed(&found), printed(&alone), "a bad document left something");
}

/// First byte: a type. The rest: a value's text, and its binary form.
pub(crate) fn values(input: &[u8]) {
    let Some((number, bytes)) = input.split_first() else { return };
    let types = all_types();
    let data_type = &types[usize::from(*number) % types.len()];
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(value) = text::parse(data_type, text, &TextSettings::default())
    {
        value_comes_back(data_type, &value);
        let mut builder = ColumnBuilder::new(data_type);
        builder.append_text(text, &TextSettings::default()).expect("a column takes the text of a value");
        assert_eq!(value_of(data_type, &mut builder), format!("{value:?}"), "a column holds another value");
    }
    if let Ok(value) = binary::decode(data_type, bytes) {
        value_comes_back(data_type, &value);
    }
}

fn value_of(data_type: &DataType, builder: &mut ColumnBuilder) -> String {
    let array = builder.finish().expect("an array of the value");
    assert_eq!(array.len(), 1);
    format!("{:?}", Cells::of_type(array.as_ref(), data_type).expect("its own type").value(0))
}

/// I2, for one value: as text and in binary.
fn value_comes_back(data_type: &DataType, value: &Value) {
    let mut builder = ColumnBuilder::new(data_type);
    builder.append_value(value).expect("a value of the type");
    let array = builder.finish().expect("an array of the value");
    let cells = Cells::of_type(array.as_ref(), data_type).expect("its own type");
    let stored = format!("{:?}", cells.value(0));
    let mut written = Vec::new();
    cells.write_text(0, &TextSettings::default(), &mut written);
    let text = std::str::from_utf8(&written).expect("text is UTF-8");
    let again = text::parse(data_type, text, &TextSettings::default());
    let again = again.unwrap_or_else(|error| panic!("I2: {value:?} is written as {text:?}: {error}"));
    assert_eq!(format!("{again:?}"), stored, "I2: as {text:?}");
    let mut written = Vec::new();
    cells.write_binary(0, &mut written);
    let again = binary::decode(data_type, &written);
    let again = again.unwrap_or_else(|error| panic!("I2: {value:?} is written as {written:?}: {error}"));
    assert_eq!(format!("{again:?}"), stored, "I2: as {written:?}");
}

/// JSON text. Its normal form is normal.
pub(crate) fn jsonb(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(normal) = json_text::normalize(text) else { return };
    let again = json_text::normalize(&normal).unwrap_or_else(|error| panic!("{normal:?} is not JSON: {error}"));
    assert_eq!(normal, again, "the normal form is not normal");
}

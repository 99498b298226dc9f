//! Decoders of `outcrop-format`.

use std::sync::OnceLock;

use outcrop_format::batch::{BatchDecoder, batch_rows, encode_batch};
use outcrop_format::cursor::{Decoder, Encoder};
use outcrop_format::deletes::{decode_deletes, encode_deletes};
use outcrop_format::envelope::TRAILER_BYTES;
use outcrop_format::schema::{decode_table_schema, encode_table_schema};
use outcrop_format::{CommitRecord, Manifest, SegmentMeta};
use outcrop_types::ColumnId;
use xxhash_rust::xxh3::xxh3_64;

use crate::rows::{all_types, printed, some_rows, table};

/// A whole manifest file but for its checksum.
pub(crate) fn manifest(bytes: &[u8]) {
    settles(&seal(bytes), |bytes| {
        let manifest = Manifest::decode(bytes).ok()?;
        let mut again = Vec::new();
        manifest.encode(&mut again);
        Some(again)
    });
}

/// A whole meta file but for its checksum.
pub(crate) fn meta(bytes: &[u8]) {
    settles(&seal(bytes), |bytes| {
        let meta = SegmentMeta::decode(bytes).ok()?;
        let mut again = Vec::new();
        meta.encode(&mut again);
        Some(again)
    });
}

/// A record of the log.
pub(crate) fn record(bytes: &[u8]) {
    settles(bytes, |bytes| {
        let record = CommitRecord::decode(bytes).ok()?;
        let mut again = Vec::new();
        record.encode(&mut again);
        Some(again)
    });
}

/// The schema of a table.
pub(crate) fn schema(bytes: &[u8]) {
    settles(bytes, |bytes| {
        let mut body = Decoder::new(bytes);
        let schema = decode_table_schema(&mut body).ok()?;
        let mut again = Vec::new();
        encode_table_schema(&schema, &mut Encoder::new(&mut again));
        Some(again)
    });
}

/// A batch of rows of a table that has a column of every type.
pub(crate) fn batch(bytes: &[u8]) {
    static DECODER: OnceLock<(BatchDecoder, Vec<ColumnId>)> = OnceLock::new();
    let (decoder, columns) = DECODER.get_or_init(|| {
        let schema = table(&all_types());
        (BatchDecoder::new(&schema), schema.columns.iter().map(|column| column.id).collect())
    });
    // What a column that is not there takes is no matter of the input (B2).
    if batch_rows(bytes).is_ok_and(|rows| rows > ROWS_MAX) {
        return;
    }
    let Ok(found) = decoder.decode(bytes) else { return };
    let mut again = Vec::new();
    encode_batch(&found, columns, &mut again).expect("what was decoded can be encoded");
    let second = decoder.decode(&again).expect("what was encoded can be decoded");
    assert_eq!(printed(&found), printed(&second), "B1");
}

/// Encoded batches of the target `batch`, for it to begin with.
///
/// # Panics
/// Never: the rows are of the table.
pub fn sound_batches() -> Vec<Vec<u8>> {
    let schema = table(&all_types());
    let columns: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    let encoded = |rows| {
        let mut bytes = Vec::new();
        encode_batch(&some_rows(&schema, rows), &columns, &mut bytes).expect("rows of the table");
        bytes
    };
    [0, 1, 3, 10].into_iter().map(encoded).collect()
}

/// The delete vector of a segment.
pub(crate) fn deletes(bytes: &[u8]) {
    const ROWS: u32 = 200_000;
    let Ok(found) = decode_deletes(bytes, ROWS) else { return };
    let rows: Vec<u32> = found.iter().map(|row| u32::try_from(row).expect("a row number")).collect();
    assert!(rows.iter().all(|row| *row < ROWS), "a row beyond the segment");
    let again = decode_deletes(&encode_deletes(rows.iter().copied()), ROWS).expect("what was encoded can be decoded");
    assert!(again == found, "B1");
}

/// What a decoder takes, its encoder writes; from then on the bytes stay the same (B1).
fn settles(bytes: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Some(first) = again(bytes) else { return };
    let second = again(&first).expect("what was encoded can be decoded");
    assert!(first == second, "B1: encoding changes with each round");
}

/// Sets the checksum of an envelope right.
pub(crate) fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some((content, trailer)) = bytes.split_last_chunk_mut::<TRAILER_BYTES>() {
        *trailer = xxh3_64(content).to_le_bytes();
    }
    bytes
}

const ROWS_MAX: u32 = 100_000;

//! Checking a segment against its metadata, past every cache.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use outcrop_env::Env;
use outcrop_format::SegmentMeta;
use outcrop_format::meta::{MetaFile, MetaFileKind, PAGE_BYTES, Zone};
use outcrop_types::{CommitSeq, Error, Result, Value};

use crate::columns::{Selection, Wanted};
use crate::files::DataFiles;
use crate::meta::{file_name, read_meta};
use crate::pages::{PageCache, PagedFile};
use crate::predicate::ZoneBuilder;

/// Blocks that are decoded at a time.
const BLOCKS_PER_STEP: u32 = 8;

/// Checks the meta file, every page of every file, and that every column decodes to what the metadata says of it.
pub(crate) fn verify(env: &Env, dir: &str, meta: &SegmentMeta) -> Result<()> {
    let stored = read_meta(env, dir, meta.log_id, meta.unit)?;
    let staged = (stored.min_seq, stored.max_seq) == (CommitSeq::ZERO, CommitSeq::ZERO);
    // A staged segment is written before its commit has a number; its owner adds that to the metadata later (W10).
    let expected = if staged {
        SegmentMeta { min_seq: meta.min_seq, max_seq: meta.max_seq, ..stored.clone() }
    } else {
        stored.clone()
    };
    // By their bytes: NaN in a bound is not equal to itself.
    if encoded(&expected) != encoded(meta) {
        let name = crate::meta_file_name(meta.log_id, meta.unit);
        return Err(Error::corrupt(name, 0, "it is not the metadata that the manifest holds"));
    }
    // No caching: what is in memory proves nothing about the disk.
    let cache = PageCache::new(0);
    for file in &meta.files {
        let name = file_name(dir, &file.name)?;
        PagedFile::open(&env.disk, &name, file.length, &file.page_crc32c, &cache)?.verify()?;
    }
    let cache = PageCache::new(u64::from(PAGE_BYTES) * 64);
    let files = DataFiles::new(env, dir, meta, &cache)?;
    let data = meta.files.iter().filter(|file| matches!(file.kind, MetaFileKind::Data { .. }));
    for (index, file) in data.enumerate() {
        verify_columns(meta, file, index, &files)?;
    }
    verify_seqs(meta, &files)
}

/// Decodes the columns of one file and compares their zone maps.
fn verify_columns(meta: &SegmentMeta, file: &MetaFile, index: usize, files: &DataFiles) -> Result<()> {
    for (position, id) in file.columns.iter().enumerate() {
        let column =
            meta.column(*id).ok_or_else(|| Error::corrupt(&file.name, 0, format!("column {id} has no description")))?;
        let wanted = [Wanted { position, data_type: Some(&column.data_type) }];
        let mut zones = ZoneBuilder::new([column.data_type.clone()], meta.block_rows);
        for rows in steps(meta) {
            let selection = Selection::all(usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX));
            let range = u64::from(rows.start)..u64::from(rows.end);
            let arrays = files.read(index, |reader| reader.project(&wanted, &range, &selection))?;
            zones.append(&arrays, rows.end - rows.start);
        }
        let zones = zones.finish().pop().unwrap_or_default();
        let null_count: u32 = zones.iter().map(|zone| zone.null_count).sum();
        let as_written = meta.zones_of(*id).is_none_or(|expected| same_zones(expected, &zones));
        if !as_written || null_count != column.null_count {
            return Err(Error::corrupt(&file.name, 0, format!("column {id} is not what its zone maps say")));
        }
    }
    Ok(())
}

/// Decodes the hidden column and compares its range. Without it all rows are of one commit, which the metadata names.
fn verify_seqs(meta: &SegmentMeta, files: &DataFiles) -> Result<()> {
    let Some(place) = files.seq_place() else { return Ok(()) };
    if !files.read(place.file, |reader| Ok(reader.has(place.position)))? {
        if meta.min_seq == meta.max_seq {
            return Ok(());
        }
        let name = crate::data_file_name(meta.log_id, meta.unit);
        return Err(Error::corrupt(name, 0, "it lacks the commits of its rows, and its metadata names several"));
    }
    let wanted = [Wanted { position: place.position, data_type: None }];
    let allowed = meta.min_seq.get()..=meta.max_seq.get();
    for rows in steps(meta) {
        let selection = Selection::all(usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX));
        let range = u64::from(rows.start)..u64::from(rows.end);
        let arrays = files.read(place.file, |reader| reader.project(&wanted, &range, &selection))?;
        let inside = |array: &Arc<dyn arrow_array::Array>| {
            array.as_primitive::<UInt64Type>().values().iter().all(|seq| allowed.contains(seq))
        };
        if !arrays.iter().all(inside) {
            let name = crate::data_file_name(meta.log_id, meta.unit);
            return Err(Error::corrupt(name, 0, "a row's commit is outside the range of the metadata"));
        }
    }
    Ok(())
}

fn encoded(meta: &SegmentMeta) -> Vec<u8> {
    let mut bytes = Vec::new();
    meta.encode(&mut bytes);
    bytes
}

fn same_zones(a: &[Zone], b: &[Zone]) -> bool {
    let same = |a: &Option<Value>, b: &Option<Value>| match (a, b) {
        (Some(a), Some(b)) => a.compare(b) == Some(Ordering::Equal),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let same_zone =
        |(a, b): (&Zone, &Zone)| a.null_count == b.null_count && same(&a.min, &b.min) && same(&a.max, &b.max);
    a.len() == b.len() && a.iter().zip(b).all(same_zone)
}

fn steps(meta: &SegmentMeta) -> impl Iterator<Item = Range<u32>> {
    let step = meta.block_rows.max(1).saturating_mul(BLOCKS_PER_STEP);
    let rows = meta.rows;
    (0..rows.div_ceil(step)).map(move |index| {
        let start = index * step;
        start..start.saturating_add(step).min(rows)
    })
}

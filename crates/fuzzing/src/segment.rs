//! Files of a segment and of a key run that were edited.

use std::sync::{Arc, OnceLock};

use outcrop_env::{DiskImage, Env, FileName, Sim};
use outcrop_format::key_run::{PAGE_BYTES, PagePlace};
use outcrop_format::{KeyHash, KeyWidth};
use outcrop_segment::{
    KeyRun, KeyRunBuilder, KeyRunPlace, PageCache, ScanColumn, Segment, SegmentOptions, SegmentWriter,
    key_run_file_name, meta_file_name, read_meta,
};
use outcrop_types::{IndexId, LogId, Result, TableId, TableSchema, UnitId};

use crate::edits::edits;
use crate::formats::seal;
use crate::rows::{all_types, printed, some_rows, table};

const LOG: LogId = LogId::from_bytes([0xab; 16]);
const UNIT: UnitId = UnitId::new(17);
const DIR: &str = "segments";
const ROWS: usize = 40;

/// Edits of a segment's data file and meta file. Without a new checksum over them the rows are the same, or there is an error
/// (G7).
pub(crate) fn segment(input: &[u8]) {
    let (sound, schema, rows) = sound_segment();
    let names: Vec<&FileName> = sound.files.keys().collect();
    let lengths: Vec<usize> = sound.files.values().map(Vec::len).collect();
    let mut image = sound.clone();
    let mut is_honest = true;
    for edit in edits(input, &lengths) {
        let Some(file) = image.files.get_mut(names[edit.file]) else { continue };
        edit.apply(file);
        if edit.is_sealed && names[edit.file].base() == meta_file_name(LOG, UNIT) {
            is_honest = false;
            *file = seal(file);
        }
    }
    let (env, _sim) = Sim::from_image(&image, 1);
    match read(&env, schema) {
        Ok(found) if is_honest => assert_eq!(&found, rows, "G7: other rows"),
        Ok(_) | Err(_) => {}
    }
}

fn read(env: &Env, schema: &TableSchema) -> Result<String> {
    let meta = Arc::new(read_meta(env, DIR, LOG, UNIT)?);
    if meta.rows > 1_000 {
        // Rows that no file has take memory for their absence.
        return Ok(String::new());
    }
    let segment = Segment::open(env, DIR, Arc::clone(&meta), &PageCache::new(1 << 20))?;
    let columns: Vec<ScanColumn> = schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    let rows = printed(&segment.scan(schema, &columns, 0..meta.rows, None, None)?.batch);
    segment.verify()?;
    Ok(rows)
}

fn sound_segment() -> &'static (DiskImage, Arc<TableSchema>, String) {
    static SOUND: OnceLock<(DiskImage, Arc<TableSchema>, String)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let (env, sim) = Env::simulated(3);
        env.disk.create_dir(DIR).expect("a directory");
        let schema = table(&all_types());
        let batch = some_rows(&schema, ROWS);
        let options = SegmentOptions::default();
        let mut writer =
            SegmentWriter::create(&env, DIR, LOG, UNIT, Arc::clone(&schema), &options).expect("a new segment");
        let seqs = arrow_array::UInt64Array::from_iter_values(1..=ROWS as u64);
        writer.write(&batch, &seqs).expect("rows");
        writer.finish().expect("a segment");
        (sim.image(), schema, printed(&batch))
    })
}

/// Edits of a key run of several pages. First byte: its width. Without a new checksum every key is found, or there is an error.
pub(crate) fn key_run(input: &[u8]) {
    let Some((width, input)) = input.split_first() else { return };
    let width = if width & 1 == 0 { KeyWidth::Half } else { KeyWidth::Whole };
    let sound = sound_key_run(width);
    let lengths: Vec<usize> = sound.files.values().map(Vec::len).collect();
    let mut image = sound.clone();
    let mut is_honest = true;
    for edit in edits(input, &lengths) {
        let Some(file) = image.files.values_mut().next() else { continue };
        edit.apply(file);
        if edit.is_sealed {
            is_honest = false;
            let first = edit.offset / PAGE_BYTES;
            let last = (edit.offset + edit.bytes.len().max(1) - 1) / PAGE_BYTES;
            (first..=last).for_each(|page| seal_page(file, page));
        }
    }
    let (env, _sim) = Sim::from_image(&image, 1);
    match look_up(&env, width) {
        Ok(found) if is_honest => assert!(found.is_none_or(|found| found == ROWS as u64 * 25), "a key is lost"),
        Ok(_) | Err(_) => {}
    }
}

/// How many of the keys are found; `None` when the run is not there or not usable.
fn look_up(env: &Env, width: KeyWidth) -> Result<Option<u64>> {
    let Some(run) = KeyRun::open(env, DIR, (LOG, UNIT), &PageCache::new(1 << 20))? else { return Ok(None) };
    let mut keys: Vec<(KeyHash, u32)> = (0..ROWS as u64 * 25).map(|number| key(number, width)).zip(0..).collect();
    keys.sort_unstable();
    let mut found = 0;
    run.lookup(&keys, |_| found += 1)?;
    run.verify(|_| {})?;
    Ok(Some(found))
}

fn key(number: u64, width: KeyWidth) -> KeyHash {
    let high = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    match width {
        KeyWidth::Half => KeyHash::of_high(high),
        KeyWidth::Whole => KeyHash::new(high & !0 << 60, high),
    }
}

fn sound_key_run(width: KeyWidth) -> &'static DiskImage {
    static SOUND: [OnceLock<DiskImage>; 2] = [OnceLock::new(), OnceLock::new()];
    let place = match width {
        KeyWidth::Half => &SOUND[0],
        KeyWidth::Whole => &SOUND[1],
    };
    place.get_or_init(|| {
        let (env, sim) = Env::simulated(4);
        env.disk.create_dir(DIR).expect("a directory");
        let mut builder = KeyRunBuilder::new(UNIT, width);
        builder.add(&(0..ROWS as u64 * 25).map(|number| key(number, width)).collect::<Vec<_>>());
        let (table, index) = (TableId::new(1), IndexId::new(1));
        let place = KeyRunPlace { dir: DIR.to_owned(), log_id: LOG, unit: UNIT, table, index, width };
        builder.finish(&env, &place).expect("a key run");
        let image = sim.image();
        assert!(image.files.keys().any(|name| name.base() == key_run_file_name(LOG, UNIT)));
        image
    })
}

/// Sets the checksum of a page right: of the first, which is an envelope, or of any other.
fn seal_page(file: &mut [u8], number: usize) {
    let Some(bytes) = file.get_mut(number * PAGE_BYTES..(number + 1) * PAGE_BYTES) else { return };
    if number == 0 {
        let length = bytes[56..64].try_into().map_or(0, u64::from_le_bytes);
        let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(72);
        if let Some(envelope) = bytes.get_mut(..end) {
            let sealed = seal(envelope);
            envelope.copy_from_slice(&sealed);
        }
    } else if let Ok(page) = bytes.try_into() {
        PagePlace { log_id: LOG, unit: UNIT, number: u32::try_from(number).unwrap_or(u32::MAX) }.seal(page);
    }
}

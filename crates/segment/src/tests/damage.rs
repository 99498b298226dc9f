//! Damage on disk is an error that names file and offset (G7).

use std::sync::Arc;

use outcrop_env::{Env, FileName};
use outcrop_types::{Condition, DataType, Result, TableSchema};

use super::data::*;
use crate::{PageCache, Segment, data_file_name, meta_file_name, read_meta};

fn small() -> (Env, Arc<TableSchema>, arrow_array::RecordBatch) {
    let schema = schema(&[(DataType::Int8, false), (DataType::Text, true), (DataType::Uuid, true)]);
    let env = environment(3);
    let batch = batch(&schema, 3, 2000, Spread::Wild, 10);
    write(&env, &schema, &batch, 700, &options(512, 4096));
    (env, schema, batch)
}

fn read_all(env: &Env, schema: &TableSchema) -> Result<arrow_array::RecordBatch> {
    let meta = Arc::new(read_meta(env, DIR, LOG, UNIT)?);
    let segment = Segment::open(env, DIR, Arc::clone(&meta), &PageCache::new(1 << 20))?;
    let whole = segment.scan(schema, &all_columns(schema), 0..meta.rows, None, None)?;
    Ok(whole.batch)
}

fn verify(env: &Env) -> Result<()> {
    let meta = Arc::new(read_meta(env, DIR, LOG, UNIT)?);
    Segment::open(env, DIR, meta, &PageCache::new(1 << 20))?.verify()
}

#[test]
fn g7_every_flipped_byte_is_found() {
    let (env, schema, _) = small();
    for base in [data_file_name(LOG, UNIT), meta_file_name(LOG, UNIT)] {
        let name = FileName::in_dir(DIR, &base).unwrap();
        let file = env.disk.open(&name).unwrap();
        let length = file.len().unwrap();
        let step = if base.ends_with("meta") { 3 } else { 97 };
        for offset in (0..length).step_by(step).chain(length.saturating_sub(40)..length) {
            let mut byte = [0];
            file.read_exact_at(offset, &mut byte).unwrap();
            file.write_all_at(offset, &[byte[0] ^ 0x41]).unwrap();
            let error = read_all(&env, &schema).expect_err(&format!("byte {offset} of {base}"));
            assert!(
                matches!(error.condition(), Condition::DataCorrupted | Condition::UnsupportedVersion),
                "byte {offset} of {base}: {error:?}"
            );
            assert!(error.message().contains(&base), "{error}");
            assert!(error.condition() != Condition::DataCorrupted || error.message().contains("offset"), "{error}");
            file.write_all_at(offset, &byte).unwrap();
        }
    }
    verify(&env).unwrap();
}

#[test]
fn g7_short_long_and_missing_files_are_found() {
    let (env, schema, _) = small();
    for base in [data_file_name(LOG, UNIT), meta_file_name(LOG, UNIT)] {
        let name = FileName::in_dir(DIR, &base).unwrap();
        let file = env.disk.open(&name).unwrap();
        let length = file.len().unwrap();
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        for cut in [0, 1, length / 2, length - 1, length + 1] {
            file.set_len(cut).unwrap();
            for outcome in [read_all(&env, &schema).map(drop), verify(&env)] {
                let error = outcome.expect_err(&format!("{base} cut to {cut}"));
                assert_eq!(error.condition(), Condition::DataCorrupted, "{base} cut to {cut}: {error}");
            }
            file.set_len(length).unwrap();
            file.write_all_at(0, &bytes).unwrap();
        }
        env.disk.remove(&name).unwrap();
        assert_eq!(read_all(&env, &schema).unwrap_err().condition(), Condition::DataCorrupted);
        env.disk.create(&name).unwrap().write_all_at(0, &bytes).unwrap();
    }
    verify(&env).unwrap();
}

#[test]
fn reading_goes_on_after_the_damage_is_repaired() {
    let (env, schema, batch) = small();
    let meta = Arc::new(read_meta(&env, DIR, LOG, UNIT).unwrap());
    let segment = Segment::open(&env, DIR, meta, &PageCache::new(0)).unwrap();
    let file = env.disk.open(&FileName::in_dir(DIR, &data_file_name(LOG, UNIT)).unwrap()).unwrap();
    let scan = || segment.scan(&schema, &all_columns(&schema), 0..2000, None, None).map(|scan| scan.batch);
    let mut byte = [0];
    file.read_exact_at(1000, &mut byte).unwrap();
    file.write_all_at(1000, &[!byte[0]]).unwrap();
    assert_eq!(scan().unwrap_err().condition(), Condition::DataCorrupted);
    file.write_all_at(1000, &byte).unwrap();
    assert_eq!(scan().unwrap(), batch);
}

#[test]
fn a_segment_in_the_place_of_another_is_found() {
    let (env, _, _) = small();
    let other = outcrop_types::UnitId::new(18);
    let from = FileName::in_dir(DIR, &meta_file_name(LOG, UNIT)).unwrap();
    env.disk.publish(&from, &FileName::in_dir(DIR, &meta_file_name(LOG, other)).unwrap()).unwrap();
    let error = read_meta(&env, DIR, LOG, other).unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted, "{error}");
}

#[test]
fn a_full_disk_is_reported_as_such_and_leaves_nothing() {
    let schema = schema(&[(DataType::Int8, false)]);
    let (env, sim) = Env::simulated(5);
    env.disk.create_dir(DIR).unwrap();
    sim.set_capacity(Some(100_000));
    let batch = batch(&schema, 3, 40_000, Spread::Wild, 0);
    let mut writer =
        crate::SegmentWriter::create(&env, DIR, LOG, UNIT, Arc::clone(&schema), &options(1024, 4096)).unwrap();
    let seqs = arrow_array::UInt64Array::from_iter_values(0..40_000);
    let outcome = writer.write(&batch, &seqs).and_then(|()| writer.finish());
    assert_eq!(outcome.unwrap_err().condition(), Condition::DiskFull);
    assert_eq!(env.disk.list(DIR).unwrap(), []);
}

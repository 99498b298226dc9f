//! Segments of several data files.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use outcrop_env::Env;
use outcrop_format::SegmentMeta;
use outcrop_types::{ColumnId, Condition, DataType, RowOrdinal, TableSchema};

use super::data::*;
use crate::{LiveFiles, PageCache, ScanColumn, Segment, SegmentWriter, data_file_name_of, orphans, read_meta};

const ROWS: usize = 5_000;

fn wide() -> Arc<TableSchema> {
    let types = [DataType::Int8, DataType::Text, DataType::Float8, DataType::Timestamp, DataType::Bool, DataType::Uuid];
    schema(&types.map(|data_type| (data_type, true)))
}

fn begin(env: &Env, schema: &Arc<TableSchema>, groups: &[&[usize]]) -> SegmentWriter {
    let groups = groups.iter().map(|group| group.to_vec()).collect();
    SegmentWriter::create_grouped(env, DIR, (LOG, UNIT), Arc::clone(schema), &options(512, 4_096), groups).unwrap()
}

fn write_groups(env: &Env, schema: &Arc<TableSchema>, batch: &RecordBatch, groups: &[&[usize]]) -> SegmentMeta {
    let mut writer = begin(env, schema, groups);
    writer.set_order(&[ColumnId::new(3)]);
    for piece in (0..ROWS).step_by(700) {
        let rows = batch.project(writer.group()).unwrap().slice(piece, 700.min(ROWS - piece));
        let seqs = UInt64Array::from_iter_values((piece..piece + rows.num_rows()).map(|row| 100 + row as u64));
        writer.write(&rows, &seqs).unwrap();
    }
    while writer.next_group().unwrap() {
        let rows = batch.project(writer.group()).unwrap();
        writer.write_group(&rows.slice(0, 3_000)).unwrap();
        writer.write_group(&rows.slice(3_000, ROWS - 3_000)).unwrap();
    }
    assert_eq!(writer.rows() as usize, ROWS);
    writer.finish().unwrap()
}

#[test]
fn g1_rows_keep_their_numbers_in_every_file() {
    let schema = wide();
    let batch = batch(&schema, 5, ROWS, Spread::Wild, 9);
    let env = environment(1);
    let meta = write_groups(&env, &schema, &batch, &[&[5, 0], &[1], &[4, 2, 3]]);
    let names: Vec<String> = (0..3).map(|number| data_file_name_of(LOG, UNIT, number)).collect();
    assert_eq!(meta.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>(), names);
    assert_eq!(meta.columns.iter().map(|column| column.id.get()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(meta.sorted_by, [ColumnId::new(3)]);
    // It holds what one of a single file holds.
    let single = write_groups(&environment(2), &schema, &batch, &[&[0, 1, 2, 3, 4, 5]]);
    // By their print: NaN in a bound is not equal to itself.
    let same = format!("{:?} {:?}", meta.columns, meta.zones) == format!("{:?} {:?}", single.columns, single.zones);
    assert!(same, "columns and zones");

    assert_eq!(read_meta(&env, DIR, LOG, UNIT).unwrap().files, meta.files);
    let segment = Segment::open(&env, DIR, Arc::new(meta), &PageCache::new(1 << 20)).unwrap();
    segment.verify().unwrap();
    let mut columns: Vec<ScanColumn> = schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    columns.push(ScanColumn::CommitSeq);
    let scanned = segment.scan(&schema, &columns, 100..4_900, None, None).unwrap().batch;
    for (position, column) in batch.columns().iter().enumerate() {
        assert_same(scanned.column(position), &column.slice(100, 4_800), "scan");
    }
    assert_same(scanned.column(6), &UInt64Array::from_iter_values(200..5_000), "commits");
    let taken = segment.take(&schema, &columns, &[RowOrdinal::new(4_000), RowOrdinal::new(2)]).unwrap();
    assert_same(&taken.column(1).slice(1, 1), &batch.column(1).slice(2, 1), "take");
    assert_same(&taken.column(3).slice(0, 1), &batch.column(3).slice(4_000, 1), "take");
}

#[test]
fn all_files_of_a_segment_belong_to_it() {
    let schema = wide();
    let batch = batch(&schema, 5, ROWS, Spread::Wild, 9);
    let env = environment(1);
    let meta = write_groups(&env, &schema, &batch, &[&[5, 0], &[1], &[4, 2, 3]]);
    let mut live = LiveFiles::default();
    assert_eq!(orphans(&env, DIR, &live).unwrap().len(), 4, "three data files and the meta file");
    live.segments.insert((LOG, UNIT));
    assert_eq!(orphans(&env, DIR, &live).unwrap(), []);

    let last = outcrop_env::FileName::in_dir(DIR, &data_file_name_of(LOG, UNIT, 2)).unwrap();
    env.disk.remove(&last).unwrap();
    let segment = Segment::open(&env, DIR, Arc::new(meta), &PageCache::new(1 << 20)).unwrap();
    let error = segment.verify().unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted);
    assert!(error.message().contains(last.base()), "{error}");
}

#[test]
fn groups_that_are_not_the_columns_or_lack_rows_are_refused() {
    let schema = wide();
    let batch = batch(&schema, 5, 10, Spread::Wild, 9);
    let env = environment(1);
    for groups in [vec![vec![0, 1], vec![1, 2, 3, 4, 5]], vec![vec![0, 1, 2]]] {
        let writer =
            SegmentWriter::create_grouped(&env, DIR, (LOG, UNIT), Arc::clone(&schema), &options(512, 4_096), groups);
        assert_eq!(writer.map(|_| ()).unwrap_err().condition(), Condition::InternalError);
    }
    let mut writer = begin(&env, &schema, &[&[0, 1, 2], &[3, 4, 5]]);
    writer.write(&batch.project(&[0, 1, 2]).unwrap(), &UInt64Array::from(vec![1; 10])).unwrap();
    assert!(writer.write_group(&batch.project(&[3, 4, 5]).unwrap()).is_err(), "the first group is not over");
    assert!(writer.next_group().unwrap());
    writer.write_group(&batch.project(&[3, 4, 5]).unwrap().slice(0, 9)).unwrap();
    assert_eq!(writer.finish().unwrap_err().condition(), Condition::InternalError, "a row is missing");
    let mut writer = begin(&env, &schema, &[&[0, 1, 2], &[3, 4, 5]]);
    writer.write(&batch.project(&[0, 1, 2]).unwrap(), &UInt64Array::from(vec![1; 10])).unwrap();
    assert_eq!(writer.finish().unwrap_err().condition(), Condition::InternalError, "a group is missing");
}

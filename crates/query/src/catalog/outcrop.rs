//! The schema `outcrop`: what the database tells of its storage. Tables and segments are those of the statement's snapshot.

use datafusion::arrow::array::RecordBatch;
use outcrop_engine::status::{CompactionOutcome, CompactionStatus};
use outcrop_engine::{Engine, FeedCursor, FeedTables, Snapshot};
use outcrop_types::{CommitSeq, Result, TableName};

use super::quoted;
use super::rows::Kind::{Bool, Int8, Int8List, Name, Text, TextList, Timestamp};
use super::rows::{Cell, Rows};
use crate::session::Position;

/// The rows of a view; `None` if there is none of this name.
pub(super) fn table(name: &str, snapshot: Option<&Snapshot>, engine: &Engine) -> Result<Option<RecordBatch>> {
    Ok(Some(match name {
        "compactions" => compactions(snapshot, engine)?,
        "feeds" => feeds(snapshot, engine)?,
        "segments" => segments(snapshot, engine)?,
        "tables" => tables(snapshot)?,
        _ => return Ok(None),
    }))
}

fn tables(snapshot: Option<&Snapshot>) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("table_schema", Name),
        ("table_name", Name),
        ("live_rows", Int8),
        ("memtable_rows", Int8),
        ("memtable_bytes", Int8),
        ("segments", Int8),
        ("segment_rows", Int8),
        ("dead_rows", Int8),
        ("segment_bytes", Int8),
        ("key_runs", Int8),
        ("key_run_bytes", Int8),
        ("key_index_bytes", Int8),
    ]);
    for schema in snapshot.iter().flat_map(|snapshot| snapshot.catalog().tables()) {
        let Some(status) = snapshot.and_then(|snapshot| snapshot.table(schema.id)).map(|table| table.status()) else {
            continue;
        };
        let numbers = [
            status.live_rows,
            status.memtable_rows,
            status.memtable_bytes,
            status.segments,
            status.segment_rows,
            status.dead_rows,
            status.segment_bytes,
            status.key_runs,
            status.key_run_bytes,
            status.key_index_bytes,
        ];
        rows.push(names(Some(&schema.name)).into_iter().chain(numbers.map(number)))?;
    }
    rows.finish()
}

fn segments(snapshot: Option<&Snapshot>, engine: &Engine) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("table_schema", Name),
        ("table_name", Name),
        ("segment_id", Int8),
        ("rows", Int8),
        ("dead_rows", Int8),
        ("bytes", Int8),
        ("oldest_commit", Text),
        ("newest_commit", Text),
        ("key_run_id", Int8),
    ]);
    for schema in snapshot.iter().flat_map(|snapshot| snapshot.catalog().tables()) {
        let table = snapshot.and_then(|snapshot| snapshot.table(schema.id));
        for segment in table.iter().flat_map(|table| table.segments()) {
            let sizes = [segment.unit.get(), segment.rows, segment.dead_rows, segment.bytes].map(number);
            let commits = [segment.min_seq, segment.max_seq].map(|seq| position(engine, seq));
            let run = segment.key_run.map_or(Cell::Null, |unit| number(unit.get()));
            rows.push(names(Some(&schema.name)).into_iter().chain(sizes).chain(commits).chain([run]))?;
        }
    }
    rows.finish()
}

fn compactions(snapshot: Option<&Snapshot>, engine: &Engine) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("table_schema", Name),
        ("table_name", Name),
        ("state", Text),
        ("started_at", Timestamp),
        ("ended_at", Timestamp),
        ("segments", Int8List),
        ("rows", Int8),
        ("bytes", Int8),
        ("commit", Text),
        ("error", Text),
    ]);
    for CompactionStatus { table, inputs, rows: live, bytes, started_us, ended_us, outcome } in engine.compactions() {
        // A table that was dropped has no name any more.
        let name = snapshot.and_then(|snapshot| snapshot.catalog().table_by_id(table)).map(|schema| &schema.name);
        let (state, commit, error) = match outcome {
            CompactionOutcome::Running => ("running", Cell::Null, Cell::Null),
            CompactionOutcome::Installed(seq) => ("installed", position(engine, seq), Cell::Null),
            CompactionOutcome::Abandoned => ("abandoned", Cell::Null, Cell::Null),
            CompactionOutcome::Failed(error) => ("failed", Cell::Null, error.into()),
        };
        let segments = inputs.iter().map(|unit| i64::try_from(unit.get()).unwrap_or(i64::MAX)).collect();
        let rest: [Cell; 8] = [
            state.into(),
            started_us.into(),
            ended_us.into(),
            Cell::Ints(segments),
            number(live),
            number(bytes),
            commit,
            error,
        ];
        rows.push(names(name).into_iter().chain(rest))?;
    }
    rows.finish()
}

fn feeds(snapshot: Option<&Snapshot>, engine: &Engine) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("name", Text),
        ("all_tables", Bool),
        ("tables", TextList),
        ("position", Text),
        ("retained_bytes", Int8),
        ("ended", Text),
    ]);
    for FeedCursor { name, tables, position: at, retained_bytes, ended, .. } in engine.feed_cursors() {
        let table_name = |table| {
            let schema = snapshot.and_then(|snapshot| snapshot.catalog().table_by_id(table));
            schema.map(|schema| format!("{}.{}", quoted(&schema.name.schema), quoted(&schema.name.table)))
        };
        let (all, tables) = match tables {
            FeedTables::All => (true, Cell::Null),
            FeedTables::Some(tables) => (false, Cell::Texts(tables.into_iter().filter_map(table_name).collect())),
        };
        let ended = ended.map_or(Cell::Null, Cell::Text);
        let cells = [Cell::Text(name), Cell::Bool(all), tables, position(engine, at), number(retained_bytes), ended];
        rows.push(cells)?;
    }
    rows.finish()
}

fn names(name: Option<&TableName>) -> [Cell; 2] {
    [name.map(|name| name.schema.as_str()).into(), name.map(|name| name.table.as_str()).into()]
}

fn number(value: u64) -> Cell {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

/// As clients see it everywhere (F7).
fn position(engine: &Engine, seq: CommitSeq) -> Cell {
    Position::new(engine.log_id(), seq).to_string().into()
}

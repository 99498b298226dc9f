//! What somebody sees who reads all of a database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use outcrop_engine::{Engine, FeedEvent, ScanColumn, Snapshot};
use outcrop_testkit::{Row, batch_of, rows_of};
use outcrop_types::{Result, RowAddress, RowOrdinal, TableSchema, UnitId};

/// Everything that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Schema and rows of each table, in an order of their own.
    tables: BTreeMap<String, (String, Vec<String>)>,
    /// What the cursors of feeds still have to show.
    feeds: BTreeMap<String, Vec<String>>,
}

impl Contents {
    /// Reads everything, each row by scan and by key.
    pub(crate) fn read(engine: &Engine) -> Result<Self> {
        let snapshot = engine.snapshot();
        let mut tables = BTreeMap::new();
        for schema in snapshot.catalog().tables() {
            let mut rows = read_table(&snapshot, schema)?;
            rows.sort();
            tables.insert(schema.name.to_string(), (format!("{schema:?}"), rows));
        }
        let mut feeds = BTreeMap::new();
        for cursor in engine.feed_cursors() {
            let mut events = vec![format!("{} {:?}", cursor.position, cursor.tables)];
            let mut feed = engine.feed(&cursor.name, None)?;
            while let Some(mut commit) = feed.next_commit(Duration::ZERO)? {
                let seq = commit.seq();
                while let Some(event) = commit.next_event()? {
                    events.push(format!("{seq} {}", shown(&event)));
                }
            }
            feeds.insert(cursor.name, events);
        }
        Ok(Self { tables, feeds })
    }

    /// Rows of a table.
    pub(crate) fn rows(&self, table: &str) -> usize {
        self.tables[table].1.len()
    }

    /// How many events the feeds show.
    pub(crate) fn events(&self) -> usize {
        self.feeds.values().map(|events| events.len() - 1).sum()
    }
}

fn shown(event: &FeedEvent) -> String {
    match event {
        FeedEvent::Inserted { new, .. } => format!("+ {:?}", rows_of(new)),
        FeedEvent::Updated { old, new, .. } => format!("* {:?} {:?}", rows_of(old), rows_of(new)),
        FeedEvent::Deleted { old, .. } => format!("- {:?}", rows_of(old)),
        FeedEvent::Table(_)
        | FeedEvent::TableDropped(_)
        | FeedEvent::Truncated(_)
        | FeedEvent::SchemaCreated(_)
        | FeedEvent::SchemaDropped(_)
        | _ => format!("{event:?}"),
    }
}

/// The rows that a scan gives, each found again by its key.
fn read_table(snapshot: &Snapshot, schema: &TableSchema) -> Result<Vec<String>> {
    let table = snapshot.table(schema.id).expect("a table of the catalog");
    let width = schema.columns.len();
    let mut columns: Vec<ScanColumn> = schema.columns.iter().map(|column| ScanColumn::Column(column.id)).collect();
    columns.extend([ScanColumn::Unit, ScanColumn::Row]);
    let mut found = Vec::new();
    for morsel in table.morsels(8_192) {
        let scanned = table.scan(&morsel, &columns, None)?;
        let units = Arc::clone(scanned.column(width));
        let numbers = Arc::clone(scanned.column(width + 1));
        let data = scanned.project(&(0..width).collect::<Vec<_>>()).unwrap();
        for (index, row) in rows_of(&data).into_iter().enumerate() {
            let unit = UnitId::new(units.as_primitive::<UInt64Type>().value(index));
            let number = RowOrdinal::new(numbers.as_primitive::<UInt32Type>().value(index));
            found.push((RowAddress::new(unit, number), row));
        }
    }
    assert_eq!(table.live_rows(), found.len() as u64, "{}", schema.name);
    if let Some(key) = schema.primary_key().filter(|_| !found.is_empty()) {
        let columns = key.columns.iter().map(|id| schema.column(*id).unwrap().clone()).collect();
        let of_keys = TableSchema { columns, keys: Vec::new(), ..schema.clone() };
        let positions: Vec<usize> = key.columns.iter().map(|id| schema.position(*id).unwrap()).collect();
        let keys: Vec<Row> =
            found.iter().map(|(_, row)| positions.iter().map(|at| row[*at].clone()).collect()).collect();
        let places = table.lookup(&batch_of(&of_keys, &keys))?;
        for ((address, row), place) in found.iter().zip(places) {
            assert_eq!(place, Some(*address), "{}: key of {row:?}", schema.name);
        }
    }
    Ok(found.into_iter().map(|(_, row)| format!("{row:?}")).collect())
}

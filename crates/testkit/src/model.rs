//! The model database: every version of every row in a map, read by looking for the newest that is old enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use outcrop_types::{Column, ColumnId, CommitSeq, DataType, TableId, TableSchema, Value};

use crate::Row;
use crate::compare::{Difference, Key, same_rows};

/// Rows of each table that exists.
pub type Tables = BTreeMap<TableId, Vec<Row>>;

/// A change, as a client asks for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A new table.
    CreateTable(TableSchema),
    /// The table goes.
    DropTable(TableId),
    /// All its rows go.
    Truncate(TableId),
    /// New rows; a key that exists, or exists twice among them, refuses all.
    Insert(TableId, Vec<Row>),
    /// New rows in the place of those with the same key; of several with one key the last counts.
    Upsert(TableId, Vec<Row>),
    /// The rows with these keys go.
    DeleteByKey(TableId, Vec<Row>),
    /// The row with this key gets these values; its key may change.
    UpdateByKey(TableId, Row, Vec<(ColumnId, Value)>),
    /// The columns become others, all of these changes at once.
    Alter(TableId, Vec<Alteration>),
}

/// A change of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Alteration {
    /// A column with a new id; rows that are there hold its initial default.
    Add(Column),
    /// The column goes.
    Drop(ColumnId),
    /// It has another name.
    Rename(ColumnId, String),
    /// It has a wider type.
    Widen(ColumnId, DataType),
    /// NULL is allowed in it, or not.
    Nullable(ColumnId, bool),
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Rows inserted, replaced, changed or deleted; 0 for DDL.
    pub rows: usize,
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The table exists already.
    TableExists(TableId),
    /// No such table.
    NoTable(TableId),
    /// The table has no primary key.
    NoKey(TableId),
    /// The key exists already.
    Unique(Key),
    /// NULL, or no value, where the column allows none.
    NotNull(ColumnId),
}

/// A database that is easy to believe.
#[derive(Clone, Debug, Default)]
pub struct Model {
    tables: BTreeMap<TableId, ModelTable>,
    commits: BTreeSet<CommitSeq>,
    /// Key of the next row of a table without primary key.
    next_hidden_key: i64,
}

#[derive(Clone, Debug)]
struct ModelTable {
    schema: TableSchema,
    /// Schemas before, each with the commit that ended it.
    earlier: Vec<(CommitSeq, TableSchema)>,
    created: CommitSeq,
    dropped: Option<CommitSeq>,
    /// Versions of each row, oldest first; `None` = deleted.
    rows: BTreeMap<Key, Vec<(CommitSeq, Option<Row>)>>,
}

impl Model {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a change as the commit `seq`, which the engine chose.
    ///
    /// # Errors
    /// The violated constraint; then nothing changed (K2) and `seq` is not a commit.
    ///
    /// # Panics
    /// If `seq` is not after the last commit.
    pub fn apply(&mut self, seq: CommitSeq, operation: &Operation) -> Result<Applied, Violation> {
        assert!(self.last_seq() < seq, "commit {seq} after commit {}", self.last_seq());
        let applied = match operation {
            Operation::CreateTable(schema) => self.create(seq, schema)?,
            Operation::DropTable(table) => {
                self.live_table_mut(*table)?.dropped = Some(seq);
                0
            }
            Operation::Truncate(table) => {
                let table = self.live_table_mut(*table)?;
                for key in table.live_keys() {
                    table.put(key, seq, None);
                }
                0
            }
            Operation::Insert(table, rows) => self.insert(seq, *table, rows)?,
            Operation::Upsert(table, rows) => self.upsert(seq, *table, rows)?,
            Operation::DeleteByKey(table, keys) => {
                let table = self.keyed_table_mut(*table)?;
                let live = table.live_keys();
                let doomed: BTreeSet<Key> = keys.iter().cloned().map(Key).filter(|key| live.contains(key)).collect();
                let count = doomed.len();
                doomed.into_iter().for_each(|key| table.put(key, seq, None));
                count
            }
            Operation::UpdateByKey(table, key, values) => self.update(seq, *table, key, values)?,
            Operation::Alter(table, changes) => {
                let table = self.live_table_mut(*table)?;
                let mut altered = table.clone();
                altered.schema.version = altered.schema.version.next().expect("a test has few versions");
                changes.iter().for_each(|change| altered.alter(seq, change));
                let live = altered.live_keys();
                live.iter().filter_map(|key| altered.live(key)).try_for_each(|row| altered.check_nulls(row))?;
                altered.earlier.push((seq, table.schema.clone()));
                *table = altered;
                0
            }
        };
        self.commits.insert(seq);
        Ok(Applied { rows: applied })
    }

    /// Forgets every commit after `seq`: they were lost in a crash.
    pub fn forget_after(&mut self, seq: CommitSeq) {
        self.commits.retain(|commit| *commit <= seq);
        self.tables.retain(|_, table| table.created <= seq);
        for table in self.tables.values_mut() {
            table.dropped = table.dropped.filter(|dropped| *dropped <= seq);
            for versions in table.rows.values_mut() {
                versions.retain(|(commit, _)| *commit <= seq);
            }
            if let Some(lost) = table.earlier.iter().position(|(ended, _)| *ended > seq) {
                table.schema = table.earlier[lost].1.clone();
                table.earlier.truncate(lost);
                table.key_rows_again();
            }
        }
    }

    /// The last commit.
    pub fn last_seq(&self) -> CommitSeq {
        self.commits.last().copied().unwrap_or(CommitSeq::ZERO)
    }

    /// All tables as of `seq` (K1).
    pub fn at(&self, seq: CommitSeq) -> Tables {
        self.tables
            .iter()
            .filter(|(_, table)| table.exists_at(seq))
            .map(|(id, table)| (*id, table.rows_at(seq)))
            .collect()
    }

    /// Rows of one table as of `seq`; none if it did not exist.
    pub fn rows_at(&self, table: TableId, seq: CommitSeq) -> Vec<Row> {
        self.tables.get(&table).filter(|table| table.exists_at(seq)).map(|table| table.rows_at(seq)).unwrap_or_default()
    }

    /// Rows of one table now.
    pub fn rows(&self, table: TableId) -> Vec<Row> {
        self.rows_at(table, self.last_seq())
    }

    /// Schema of a table that exists now.
    pub fn schema(&self, table: TableId) -> Option<&TableSchema> {
        self.tables.get(&table).filter(|table| table.dropped.is_none()).map(|table| &table.schema)
    }

    /// Schema of a table as of `seq`, if it existed.
    pub fn schema_at(&self, table: TableId, seq: CommitSeq) -> Option<&TableSchema> {
        let table = self.tables.get(&table).filter(|table| table.exists_at(seq))?;
        let earlier = table.earlier.iter().find(|(ended, _)| *ended > seq);
        Some(earlier.map_or(&table.schema, |(_, schema)| schema))
    }

    /// After a crash: `found` must be the state after some commit that is not before `acknowledged`. Returns the first
    /// commit that fits.
    ///
    /// # Panics
    /// With the difference from the state that comes nearest, if none fits.
    #[track_caller]
    pub fn assert_prefix(&self, found: &Tables, acknowledged: CommitSeq) -> CommitSeq {
        let candidates = std::iter::once(acknowledged).chain(self.commits.iter().copied());
        let mut nearest: Option<(usize, CommitSeq, String)> = None;
        for seq in candidates.filter(|seq| *seq >= acknowledged) {
            let Err((distance, text)) = same_tables(&self.at(seq), found) else { return seq };
            if nearest.as_ref().is_none_or(|(least, ..)| distance < *least) {
                nearest = Some((distance, seq, text));
            }
        }
        let (_, seq, text) = nearest.expect("the acknowledged commit is a candidate");
        panic!(
            "no state from commit {acknowledged} to {} is the one found; nearest is commit {seq}:\n{text}",
            self.last_seq()
        );
    }

    fn create(&mut self, seq: CommitSeq, schema: &TableSchema) -> Result<usize, Violation> {
        if self.tables.contains_key(&schema.id) {
            return Err(Violation::TableExists(schema.id));
        }
        let table = ModelTable {
            schema: schema.clone(),
            earlier: Vec::new(),
            created: seq,
            dropped: None,
            rows: BTreeMap::new(),
        };
        self.tables.insert(schema.id, table);
        Ok(0)
    }

    fn insert(&mut self, seq: CommitSeq, id: TableId, rows: &[Row]) -> Result<usize, Violation> {
        let first_hidden = self.next_hidden_key;
        let table = self.live_table_mut(id)?;
        let mut taken = table.live_keys();
        let mut keyed = Vec::new();
        for (row, hidden) in rows.iter().zip(first_hidden..) {
            table.check_nulls(row)?;
            let key = table.key_of(row, hidden);
            if !taken.insert(key.clone()) {
                return Err(Violation::Unique(key));
            }
            keyed.push((key, row.clone()));
        }
        for (key, row) in keyed {
            table.put(key, seq, Some(row));
        }
        self.advance_hidden(rows.len());
        Ok(rows.len())
    }

    fn upsert(&mut self, seq: CommitSeq, id: TableId, rows: &[Row]) -> Result<usize, Violation> {
        let first_hidden = self.next_hidden_key;
        let table = self.live_table_mut(id)?;
        let mut keyed = BTreeMap::new();
        for (row, hidden) in rows.iter().zip(first_hidden..) {
            table.check_nulls(row)?;
            keyed.insert(table.key_of(row, hidden), row.clone());
        }
        let count = keyed.len();
        for (key, row) in keyed {
            table.put(key, seq, Some(row));
        }
        self.advance_hidden(rows.len());
        Ok(count)
    }

    fn update(
        &mut self,
        seq: CommitSeq,
        id: TableId,
        key: &Row,
        values: &[(ColumnId, Value)],
    ) -> Result<usize, Violation> {
        let table = self.keyed_table_mut(id)?;
        let old_key = Key(key.clone());
        let Some(mut row) = table.live(&old_key).cloned() else { return Ok(0) };
        for (column, value) in values {
            let position = table.schema.position(*column).expect("an update names columns of its table");
            row[position] = value.clone();
        }
        table.check_nulls(&row)?;
        let new_key = table.key_of(&row, 0);
        if new_key != old_key {
            if table.live(&new_key).is_some() {
                return Err(Violation::Unique(new_key));
            }
            table.put(old_key, seq, None);
        }
        table.put(new_key, seq, Some(row));
        Ok(1)
    }

    fn live_table_mut(&mut self, id: TableId) -> Result<&mut ModelTable, Violation> {
        self.tables.get_mut(&id).filter(|table| table.dropped.is_none()).ok_or(Violation::NoTable(id))
    }

    fn keyed_table_mut(&mut self, id: TableId) -> Result<&mut ModelTable, Violation> {
        let table = self.live_table_mut(id)?;
        if table.schema.primary_key().is_none() { Err(Violation::NoKey(id)) } else { Ok(table) }
    }

    fn advance_hidden(&mut self, rows: usize) {
        self.next_hidden_key += i64::try_from(rows).expect("a test has fewer rows");
    }
}

impl ModelTable {
    fn exists_at(&self, seq: CommitSeq) -> bool {
        self.created <= seq && self.dropped.is_none_or(|dropped| dropped > seq)
    }

    fn rows_at(&self, seq: CommitSeq) -> Vec<Row> {
        self.rows
            .values()
            .filter_map(|versions| versions.iter().rev().find(|(commit, _)| *commit <= seq))
            .filter_map(|(_, row)| row.clone())
            .collect()
    }

    fn live(&self, key: &Key) -> Option<&Row> {
        self.rows.get(key).and_then(|versions| versions.last()).and_then(|(_, row)| row.as_ref())
    }

    fn live_keys(&self) -> BTreeSet<Key> {
        self.rows.keys().filter(|key| self.live(key).is_some()).cloned().collect()
    }

    fn put(&mut self, key: Key, seq: CommitSeq, row: Option<Row>) {
        self.rows.entry(key).or_default().push((seq, row));
    }

    fn key_of(&self, row: &Row, hidden: i64) -> Key {
        match self.schema.primary_key() {
            Some(_) => Key(key_values(&self.schema, row)),
            None => Key(vec![Value::Int(hidden)]),
        }
    }

    /// Changes a column, and every row there is.
    fn alter(&mut self, seq: CommitSeq, change: &Alteration) {
        let position =
            |schema: &TableSchema, id| schema.position(id).expect("an alteration names a column of its table");
        match change {
            Alteration::Add(column) => {
                self.schema.columns.push(column.clone());
                self.each_row(seq, |row| row.push(column.initial_default.clone()));
            }
            Alteration::Drop(id) => {
                let position = position(&self.schema, *id);
                self.schema.columns.remove(position);
                let after = id.next().expect("a test has few columns");
                self.schema.next_column = self.schema.next_column.max(after);
                self.each_row(seq, |row| drop(row.remove(position)));
            }
            Alteration::Rename(id, name) => {
                let position = position(&self.schema, *id);
                self.schema.columns[position].name.clone_from(name);
            }
            Alteration::Widen(id, data_type) => {
                let position = position(&self.schema, *id);
                let column = &mut self.schema.columns[position];
                column.data_type = data_type.clone();
                column.initial_default = widened(&column.initial_default, data_type);
                self.each_row(seq, |row| row[position] = widened(&row[position], data_type));
                self.key_rows_again();
            }
            Alteration::Nullable(id, nullable) => {
                let position = position(&self.schema, *id);
                self.schema.columns[position].nullable = *nullable;
            }
        }
    }

    fn each_row(&mut self, seq: CommitSeq, change: impl Fn(&mut Row)) {
        for key in self.live_keys() {
            let mut row = self.live(&key).expect("a live key has a row").clone();
            change(&mut row);
            self.put(key, seq, Some(row));
        }
    }

    /// The keys of live rows may have another type.
    fn key_rows_again(&mut self) {
        if self.schema.primary_key().is_none() {
            return;
        }
        for (old, versions) in std::mem::take(&mut self.rows) {
            let newest = versions.last().and_then(|(_, row)| row.as_ref());
            let key = newest.map_or(old, |row| self.key_of(row, 0));
            self.rows.entry(key).or_default().extend(versions);
        }
        self.rows.values_mut().for_each(|versions| versions.sort_by_key(|(seq, _)| *seq));
    }

    fn check_nulls(&self, row: &Row) -> Result<(), Violation> {
        assert_eq!(row.len(), self.schema.columns.len(), "a row has a value for each column");
        let key = self.schema.primary_key().map(|key| key.columns.as_slice()).unwrap_or_default();
        self.schema
            .columns
            .iter()
            .zip(row)
            .find(|(column, value)| **value == Value::Null && (!column.nullable || key.contains(&column.id)))
            .map_or(Ok(()), |(column, _)| Err(Violation::NotNull(column.id)))
    }
}

/// A number with more digits after the point; every other wider value looks as it did.
fn widened(value: &Value, data_type: &DataType) -> Value {
    let DataType::Numeric { scale: wider, .. } = data_type else { return value.clone() };
    let (digits, scale) = if let Value::Int(whole) = value {
        (i128::from(*whole), 0)
    } else if let Value::Decimal(digits, scale) = value {
        (*digits, *scale)
    } else {
        return value.clone();
    };
    Value::Decimal((scale..*wider).fold(digits, |digits, _| digits * 10), *wider)
}

/// The primary-key values of a row, in key order; none for a table without primary key.
pub fn key_values(schema: &TableSchema, row: &Row) -> Row {
    let key = schema.primary_key().map(|key| key.columns.as_slice()).unwrap_or_default();
    key.iter().map(|column| row[schema.position(*column).expect("a key names columns of its table")].clone()).collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableExists(table) => write!(f, "table {table} exists"),
            Self::NoTable(table) => write!(f, "table {table} does not exist"),
            Self::NoKey(table) => write!(f, "table {table} has no primary key"),
            Self::Unique(key) => write!(f, "key {key} exists"),
            Self::NotNull(column) => write!(f, "column {column} is NULL"),
        }
    }
}

/// How many rows differ, and which, by table.
fn same_tables(expected: &Tables, found: &Tables) -> Result<(), (usize, String)> {
    let mut distance = 0;
    let mut text = String::new();
    let ids: BTreeSet<&TableId> = expected.keys().chain(found.keys()).collect();
    for id in ids {
        let problem = match (expected.get(id), found.get(id)) {
            (Some(expected), Some(found)) => match same_rows(expected, found) {
                Ok(()) => continue,
                Err(difference) => {
                    let Difference { missing, unexpected } = &difference;
                    distance += missing.len() + unexpected.len();
                    difference.to_string()
                }
            },
            (Some(rows), None) => {
                distance += rows.len() + 1;
                "table is missing\n".to_owned()
            }
            (None, Some(rows)) => {
                distance += rows.len() + 1;
                "table should not exist\n".to_owned()
            }
            (None, None) => continue,
        };
        text.push_str(&format!("table {id}: {problem}"));
    }
    if text.is_empty() { Ok(()) } else { Err((distance, text)) }
}

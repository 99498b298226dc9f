//! What SQL would evaluate.

use arrow_array::{BooleanArray, RecordBatch};
use outcrop_engine::{ConflictRows, ConflictUpdate, Engine, OnConflict, Recheck, Rechecked, WriteMode};
use outcrop_testkit::{Row, batch_of, rows_of};
use outcrop_types::{Result, TableId, TableSchema, Value};

/// `UPDATE t SET value = value || suffix WHERE value LIKE prefix%`, or `DELETE` with that WHERE.
pub(crate) struct Append {
    schema: TableSchema,
    prefix: &'static str,
    suffix: Option<&'static str>,
}

impl Append {
    pub(crate) fn boxed(
        engine: &Engine,
        table: TableId,
        prefix: &'static str,
        suffix: Option<&'static str>,
    ) -> Box<Self> {
        let schema = TableSchema::clone(engine.snapshot().catalog().table_by_id(table).unwrap());
        Box::new(Self { schema, prefix, suffix })
    }

    pub(crate) fn apply(&self, rows: &[Row], suffix: &str) -> RecordBatch {
        let changed: Vec<Row> = rows
            .iter()
            .map(|row| match row.as_slice() {
                [id, Value::Text(value)] => vec![id.clone(), Value::Text(format!("{value}{suffix}"))],
                other => panic!("{other:?}"),
            })
            .collect();
        batch_of(&self.schema, &changed)
    }
}

impl Recheck for Append {
    fn recheck(&mut self, current: &RecordBatch) -> Result<Rechecked> {
        let rows = rows_of(current);
        let matches: BooleanArray = rows
            .iter()
            .map(|row| Some(matches!(&row[1], Value::Text(value) if value.starts_with(self.prefix))))
            .collect();
        Ok(Rechecked { matches, rows: self.suffix.map(|suffix| self.apply(&rows, suffix)) })
    }
}

/// `DO UPDATE SET value = t.value || EXCLUDED.value WHERE t.value <> 'keep'`.
struct Concat(TableSchema);

impl ConflictUpdate for Concat {
    fn update(&mut self, existing: &RecordBatch, proposed: &RecordBatch) -> Result<ConflictRows> {
        assert_eq!(existing.num_rows(), proposed.num_rows());
        let mut matches = Vec::new();
        let mut rows = Vec::new();
        for (old, new) in rows_of(existing).into_iter().zip(rows_of(proposed)) {
            assert_eq!(old[0], new[0]);
            let (Value::Text(before), Value::Text(after)) = (&old[1], &new[1]) else { panic!("text expected") };
            matches.push(before != "keep");
            rows.push(vec![old[0].clone(), Value::Text(format!("{before}{after}"))]);
        }
        Ok(ConflictRows { matches: BooleanArray::from(matches), rows: batch_of(&self.0, &rows) })
    }
}

pub(crate) fn concat(engine: &Engine, table: TableId) -> WriteMode {
    let schema = TableSchema::clone(engine.snapshot().catalog().table_by_id(table).unwrap());
    WriteMode::Insert(OnConflict::Update(Box::new(Concat(schema))))
}

/// `DO UPDATE SET c = EXCLUDED.c` for the columns of these names.
pub(crate) fn overwrite(engine: &Engine, table: TableId, names: &[&str]) -> WriteMode {
    let snapshot = engine.snapshot();
    let columns = snapshot.catalog().table_by_id(table).unwrap().columns.iter();
    let columns = columns.filter(|column| names.contains(&column.name.as_str())).map(|column| column.id).collect();
    WriteMode::Insert(OnConflict::Overwrite(columns))
}

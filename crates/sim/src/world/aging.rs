//! A table whose rows expire. The engine deletes them by itself, so a model cannot say when: young rows must be there, old ones may.

use std::collections::BTreeMap;

use outcrop_engine::{Ddl, Engine, Snapshot, WriteMode};
use outcrop_env::Sim;
use outcrop_types::{ColumnId, DataType, Result, Retention, TableId, TableSchema, Value};

use crate::draw::Draw;
use crate::statements::{check_index, column, id_of, keyed, name, scan, send};

const NAME: &str = "aging";
const HOUR_US: i64 = 3_600 * 1_000_000;
const PERIOD_US: i64 = 10 * HOUR_US;

#[derive(Debug)]
pub(super) struct Aging {
    table: TableId,
    /// The time of each row that was sent, and whether it was acknowledged.
    rows: BTreeMap<i64, (i64, bool)>,
    /// The latest that the clock ever said.
    latest_us: i64,
}

impl Aging {
    pub(super) fn create(engine: &Engine, sim: &Sim) -> Self {
        let mut table = keyed(NAME);
        table.columns.push(column("at", DataType::TimestampTz, true));
        table.options.retention = Some(Retention { column: ColumnId::new(3), period_us: PERIOD_US });
        engine.ddl(Ddl::CreateTable(table)).wait().expect("a sound disk");
        let table = engine.snapshot().catalog().table(&name(NAME)).expect("it was created").id;
        Self { table, rows: BTreeMap::new(), latest_us: sim.env().clock.wall_us() }
    }

    pub(super) fn is(table: &TableSchema) -> bool {
        table.name.table == NAME
    }

    /// Some rows, young and old, each with a key of its own.
    pub(super) fn write(&mut self, engine: &Engine, sim: &Sim, draw: &mut Draw) -> Result<()> {
        let now = sim.env().clock.wall_us();
        self.latest_us = self.latest_us.max(now);
        let first = i64::try_from(self.rows.len()).unwrap_or(0);
        let new: Vec<(i64, i64)> = (first..first + 1 + i64::try_from(draw.below(20)).unwrap_or(0))
            .map(|id| (id, now - i64::try_from(draw.below(20)).unwrap_or(0) * HOUR_US))
            .collect();
        self.rows.extend(new.iter().map(|(id, at)| (*id, (*at, false))));
        let rows: Vec<_> = new
            .iter()
            .map(|(id, at)| vec![Value::Int(*id), Value::Text("row".to_owned()), Value::TimestampTz(*at)])
            .collect();
        send(engine, self.table, WriteMode::Upsert, &rows)?.wait()?;
        self.rows.extend(new.iter().map(|(id, at)| (*id, (*at, true))));
        Ok(())
    }

    pub(super) fn check(&mut self, snapshot: &Snapshot, sim: &Sim) -> Result<()> {
        self.latest_us = self.latest_us.max(sim.env().clock.wall_us());
        let found = scan(snapshot, self.table)?;
        check_index(snapshot, self.table, &found)?;
        let mut there: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, row) in &found {
            let Some(Value::TimestampTz(at)) = row.last() else { panic!("{row:?}") };
            assert_eq!(self.rows.get(&id_of(row)).map(|(at, _)| at), Some(at), "nobody wrote {row:?}");
            there.insert(id_of(row), *at);
        }
        for (id, (at, is_certain)) in &self.rows {
            let is_young = *at > self.latest_us - PERIOD_US;
            assert!(!is_certain || !is_young || there.contains_key(id), "young row {id} of {at} is gone");
        }
        // What was not acknowledged and is there stays; what is not there never comes.
        let gone: Vec<i64> = self.rows.keys().copied().filter(|id| !there.contains_key(id)).collect();
        for (id, (at, is_certain)) in &mut self.rows {
            *is_certain = there.contains_key(id);
            if gone.contains(id) {
                *at = i64::MIN;
            }
        }
        Ok(())
    }
}

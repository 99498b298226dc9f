//! Changed rows of one shard, with the addresses of the rows that they replace (architecture F3).
//!
//! Fields: table, shard, schema version, generation, first row, row count, rows (length, batch bytes), operations.
//! Operations are a tag byte: 0 = all inserts; 1 = runs to the count of operations. A run is a varint
//! `length << 2 | kind` (0 insert, 1 update, 2 delete) and, for updates and deletes, one victim each: the signed
//! difference of its unit from the victim before; then, in the same unit, the signed difference of the row, else the row.

use bytes::Bytes;
use outcrop_types::{RowAddress, RowOrdinal, SchemaVersion, ShardId, TableId, UnitId};

use super::changes::{decode_shard, decode_table};
use crate::batch::batch_rows;
use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};

const OPS_ALL_INSERTS: u8 = 0;
const OPS_LIST: u8 = 1;

const RUN_INSERT: u64 = 0;
const RUN_UPDATE: u64 = 1;
const RUN_DELETE: u64 = 2;

/// Insert · update(victim) · delete(victim), kept paired. `rows` holds the new rows of inserts and updates, in the order
/// of the operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The table.
    pub table: TableId,
    /// The shard.
    pub shard: ShardId,
    /// Version of the schema that the rows obey.
    pub schema_version: SchemaVersion,
    /// The memtable generation that the rows enter.
    pub generation: UnitId,
    /// Number of the first new row in it.
    pub first_row: RowOrdinal,
    /// The new rows as a batch ([`crate::batch`]); empty if there are none.
    pub rows: Bytes,
    /// How many new rows.
    pub row_count: u32,
    /// What happens, in order.
    pub ops: Ops,
}

/// Operations of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ops {
    /// Every row is an insert that replaces nothing.
    AllInserts {
        /// Rows inserted.
        count: u32,
    },
    /// One by one.
    List(Vec<Op>),
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A new row.
    Insert,
    /// A new row in the place of this one.
    Update(RowAddress),
    /// This row dies.
    Delete(RowAddress),
}

impl Ops {
    /// How many operations make a new row.
    pub fn new_rows(&self) -> usize {
        match self {
            Self::AllInserts { count } => usize::try_from(*count).unwrap_or(usize::MAX),
            Self::List(ops) => ops.iter().filter(|op| !matches!(op, Op::Delete(_))).count(),
        }
    }

    /// The rows that die, in order.
    pub fn victims(&self) -> impl Iterator<Item = RowAddress> {
        let ops: &[Op] = match self {
            Self::AllInserts { .. } => &[],
            Self::List(ops) => ops,
        };
        ops.iter().filter_map(|op| match op {
            Op::Insert => None,
            Op::Update(victim) | Op::Delete(victim) => Some(*victim),
        })
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        let ops = match self {
            Self::AllInserts { .. } => return out.put_u8(OPS_ALL_INSERTS),
            Self::List(ops) => ops,
        };
        out.put_u8(OPS_LIST);
        out.put_count(ops.len());
        let mut delta = AddressDelta::default();
        for run in ops.chunk_by(|a, b| a.kind() == b.kind()) {
            let kind = run.first().map_or(RUN_INSERT, |op| op.kind());
            out.put_varint((run.len() as u64) << 2 | kind);
            for op in run {
                match op {
                    Op::Insert => {}
                    Op::Update(victim) | Op::Delete(victim) => delta.encode(*victim, out),
                }
            }
        }
    }

    /// `row_count` has been checked against the rows that are there, so it bounds the inserts; a victim takes bytes.
    fn decode(bytes: &mut Decoder<'_>, row_count: u32) -> Result<Self, DecodeError> {
        let at = bytes.offset();
        match bytes.u8()? {
            OPS_ALL_INSERTS => Ok(Self::AllInserts { count: row_count }),
            OPS_LIST => decode_list(bytes, row_count).map(Self::List),
            found => Err(DecodeError::new(at, DecodeProblem::Tag { what: "operations", found })),
        }
    }
}

fn decode_list(bytes: &mut Decoder<'_>, row_count: u32) -> Result<Vec<Op>, DecodeError> {
    let at = bytes.offset();
    let wanted = bytes.varint()?;
    let max = u64::from(row_count) + bytes.remaining() as u64;
    if wanted > max {
        return Err(DecodeError::new(at, DecodeProblem::Limit { what: "operations", found: wanted, max }));
    }
    let mut ops = Vec::new();
    let mut rows = 0_u64;
    let mut delta = AddressDelta::default();
    while (ops.len() as u64) < wanted {
        let at = bytes.offset();
        let head = bytes.varint()?;
        let (len, kind) = (head >> 2, head & 0b11);
        let left = wanted - ops.len() as u64;
        if len == 0 || len > left {
            return Err(DecodeError::new(at, DecodeProblem::Limit { what: "run length", found: len, max: left }));
        }
        rows += if kind == RUN_DELETE { 0 } else { len };
        for _ in 0..len {
            ops.push(match kind {
                RUN_INSERT => Op::Insert,
                RUN_UPDATE => Op::Update(delta.decode(bytes)?),
                RUN_DELETE => Op::Delete(delta.decode(bytes)?),
                _ => return Err(DecodeError::new(at, DecodeProblem::Inconsistent("unknown kind of operation"))),
            });
        }
    }
    if rows != u64::from(row_count) {
        return Err(bytes.error(DecodeProblem::Inconsistent("operations do not match the rows")));
    }
    Ok(ops)
}

impl Op {
    fn kind(&self) -> u64 {
        match self {
            Self::Insert => RUN_INSERT,
            Self::Update(_) => RUN_UPDATE,
            Self::Delete(_) => RUN_DELETE,
        }
    }
}

impl RowChange {
    pub(super) fn encode(&self, out: &mut Encoder<'_>) {
        let Self { table, shard, schema_version, generation, first_row, rows, row_count, ops } = self;
        assert!(
            u32::try_from(ops.new_rows()) == Ok(*row_count),
            "F3 violated: operations make {} rows, the change of {table} has {row_count}",
            ops.new_rows()
        );
        out.put_varint(u64::from(table.get()));
        out.put_varint(u64::from(shard.get()));
        out.put_varint(u64::from(schema_version.get()));
        out.put_varint(generation.get());
        out.put_varint(u64::from(first_row.get()));
        out.put_varint(u64::from(*row_count));
        out.put_bytes(rows);
        ops.encode(out);
    }

    pub(super) fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let table = decode_table(bytes)?;
        let shard = decode_shard(bytes)?;
        let schema_version = SchemaVersion::new(bytes.varint_u32("schema version")?);
        let generation = UnitId::new(bytes.varint()?);
        let at = bytes.offset();
        let first_row = bytes.varint_u32("first row")?;
        let row_count = bytes.varint_u32("row count")?;
        if first_row.checked_add(row_count).is_none() {
            return Err(DecodeError::new(at, DecodeProblem::Inconsistent("row numbers overflow")));
        }
        let mut rows = bytes.nested()?;
        let rows_at = rows.offset();
        let rows = rows.take_rest();
        let stored = if rows.is_empty() { 0 } else { batch_rows(rows).map_err(|error| error.shifted(rows_at))? };
        if stored != row_count {
            return Err(DecodeError::new(rows_at, DecodeProblem::Inconsistent("row count differs from the batch's")));
        }
        let ops = Ops::decode(bytes, row_count)?;
        let rows = Bytes::copy_from_slice(rows);
        let first_row = RowOrdinal::new(first_row);
        Ok(Self { table, shard, schema_version, generation, first_row, rows, row_count, ops })
    }
}

/// Addresses one after the other, each as its difference from the one before.
#[derive(Debug, Default)]
pub(super) struct AddressDelta {
    unit: u64,
    row: u32,
}

impl AddressDelta {
    pub(super) fn encode(&mut self, address: RowAddress, out: &mut Encoder<'_>) {
        let (unit, row) = (address.unit.get(), address.row.get());
        out.put_signed(unit.wrapping_sub(self.unit).cast_signed());
        if unit == self.unit {
            out.put_signed(i64::from(row) - i64::from(self.row));
        } else {
            out.put_varint(u64::from(row));
        }
        *self = Self { unit, row };
    }

    pub(super) fn decode(&mut self, bytes: &mut Decoder<'_>) -> Result<RowAddress, DecodeError> {
        let at = bytes.offset();
        let unit = self.unit.wrapping_add(bytes.signed()?.cast_unsigned());
        let row = if unit == self.unit {
            bytes.signed()?.checked_add(i64::from(self.row)).and_then(|row| u32::try_from(row).ok())
        } else {
            u32::try_from(bytes.varint()?).ok()
        };
        let row =
            row.ok_or_else(|| DecodeError::new(at, DecodeProblem::Inconsistent("row of an address out of range")))?;
        *self = Self { unit, row };
        Ok(RowAddress::new(UnitId::new(unit), RowOrdinal::new(row)))
    }
}

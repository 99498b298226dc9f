//! What a commit can change besides rows: the catalog, the units of a shard, staged segments.
//!
//! | part | fields |
//! |---|---|
//! | DDL | tag byte; then name, table id or table schema |
//! | feed cursor | [`FeedChange`] |
//! | install | table, shard, inputs (count, unit ids), outputs (count, each nested: [`InstalledSegment`]) |
//! | expire | table, shard, units (count, unit ids) |
//! | staged commit | table, shard, schema version, segments (as outputs), victims: 0 + addresses, or 1 + name, count, CRC32C |

use outcrop_types::{RowAddress, SchemaVersion, ShardId, TableId, TableSchema, UnitId};

use super::rows::{AddressDelta, RowChange};
use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};
use crate::feed::FeedChange;
use crate::schema::{decode_table_schema, encode_table_schema};
use crate::section::WhenUnknown;

const ROWS: u16 = 16;
const DDL: u16 = 17;
const INSTALL: u16 = 18;
const STAGED: u16 = 19;
const FEED: u16 = 23;
const EXPIRE: u16 = 24;

mod ddl_tag {
    pub(super) const CREATE_SCHEMA: u8 = 1;
    pub(super) const DROP_SCHEMA: u8 = 2;
    pub(super) const PUT_TABLE: u8 = 3;
    pub(super) const DROP_TABLE: u8 = 4;
    pub(super) const TRUNCATE: u8 = 5;
}

const VICTIMS_INLINE: u8 = 0;
const VICTIMS_FILE: u8 = 1;

/// Fewest bytes of an address in a list of victims.
const ADDRESS_BYTES_MIN: usize = 2;

/// One change of a commit. A new kind of change is a new section that must be understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Rows inserted, updated and deleted in one shard.
    Rows(RowChange),
    /// The catalog changes.
    Ddl(DdlChange),
    /// Flush or compaction puts new segments in the place of older units.
    Install(Install),
    /// Staged segments become visible (W10).
    Staged(StagedCommit),
    /// A feed cursor changes.
    Feed(FeedChange),
    /// All rows of some segments are deleted, and the segments leave.
    Expire(Expire),
}

/// A change of the catalog. Never skipped by a reader.
#[derive(Clone, Debug, PartialEq)]
pub enum DdlChange {
    /// A new schema.
    CreateSchema {
        /// Its name.
        name: String,
    },
    /// A schema goes.
    DropSchema {
        /// Its name.
        name: String,
    },
    /// A new table, or a new version of one.
    PutTable(TableSchema),
    /// A table goes.
    DropTable {
        /// The table.
        table: TableId,
    },
    /// All rows of a table go.
    Truncate {
        /// The table.
        table: TableId,
    },
}

/// Flush or compaction: inputs gone, outputs in, with the outputs' delete vectors by value at this place of the log (W1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The table.
    pub table: TableId,
    /// The shard.
    pub shard: ShardId,
    /// Generations or segments that leave.
    pub inputs: Vec<UnitId>,
    /// Segments that enter.
    pub outputs: Vec<InstalledSegment>,
}

/// Retention: the rows of these segments that were alive die, all at once, and nothing takes their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expire {
    /// The table.
    pub table: TableId,
    /// The shard.
    pub shard: ShardId,
    /// Segments that leave.
    pub units: Vec<UnitId>,
}

/// A segment as a record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledSegment {
    /// Its identity, and with the `LogId` the name of its files.
    pub unit: UnitId,
    /// Rows in it, dead ones included.
    pub rows: u32,
    /// CRC32C of its meta file.
    pub meta_crc: u32,
    /// Its delete vector ([`crate::deletes`]); empty if no row is dead.
    pub deletes: Vec<u8>,
}

/// W10: segments written before the commit become visible, and the rows that they replace die.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedCommit {
    /// The table.
    pub table: TableId,
    /// The shard.
    pub shard: ShardId,
    /// Version of the schema that the segments were written with.
    pub schema_version: SchemaVersion,
    /// The staged segments, in row order.
    pub segments: Vec<InstalledSegment>,
    /// Rows that die.
    pub victims: Victims,
}

/// Where the victims of a staged commit are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Victims {
    /// In the record.
    Inline(Vec<RowAddress>),
    /// In a file of their own.
    File {
        /// Its name in the data directory.
        name: String,
        /// Addresses in it.
        count: u64,
        /// CRC32C of the whole file.
        crc32c: u32,
    },
}

impl Change {
    pub(super) fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Self::Rows(change) => out.put_section(ROWS, WhenUnknown::Refuse, |out| change.encode(out)),
            Self::Ddl(change) => out.put_section(DDL, WhenUnknown::Refuse, |out| change.encode(out)),
            Self::Install(change) => out.put_section(INSTALL, WhenUnknown::Refuse, |out| change.encode(out)),
            Self::Staged(change) => out.put_section(STAGED, WhenUnknown::Refuse, |out| change.encode(out)),
            Self::Feed(change) => out.put_section(FEED, WhenUnknown::Refuse, |out| change.encode(out)),
            Self::Expire(change) => out.put_section(EXPIRE, WhenUnknown::Refuse, |out| change.encode(out)),
        }
    }

    /// The change in a section with this tag; `None` if the tag is not one of a change.
    pub(super) fn decode(tag: u16, bytes: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let change = match tag {
            ROWS => Self::Rows(RowChange::decode(bytes)?),
            DDL => Self::Ddl(DdlChange::decode(bytes)?),
            INSTALL => Self::Install(Install::decode(bytes)?),
            STAGED => Self::Staged(StagedCommit::decode(bytes)?),
            FEED => Self::Feed(FeedChange::decode(bytes)?),
            EXPIRE => Self::Expire(Expire::decode(bytes)?),
            _ => return Ok(None),
        };
        bytes.extensions("change")?;
        Ok(Some(change))
    }
}

impl DdlChange {
    fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Self::CreateSchema { name } => {
                out.put_u8(ddl_tag::CREATE_SCHEMA);
                out.put_text(name);
            }
            Self::DropSchema { name } => {
                out.put_u8(ddl_tag::DROP_SCHEMA);
                out.put_text(name);
            }
            Self::PutTable(schema) => {
                out.put_u8(ddl_tag::PUT_TABLE);
                out.put_nested(|out| encode_table_schema(schema, out));
            }
            Self::DropTable { table } => {
                out.put_u8(ddl_tag::DROP_TABLE);
                out.put_varint(u64::from(table.get()));
            }
            Self::Truncate { table } => {
                out.put_u8(ddl_tag::TRUNCATE);
                out.put_varint(u64::from(table.get()));
            }
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let at = bytes.offset();
        Ok(match bytes.u8()? {
            ddl_tag::CREATE_SCHEMA => Self::CreateSchema { name: bytes.text()?.to_owned() },
            ddl_tag::DROP_SCHEMA => Self::DropSchema { name: bytes.text()?.to_owned() },
            ddl_tag::PUT_TABLE => Self::PutTable(decode_table_schema(&mut bytes.nested()?)?),
            ddl_tag::DROP_TABLE => Self::DropTable { table: decode_table(bytes)? },
            ddl_tag::TRUNCATE => Self::Truncate { table: decode_table(bytes)? },
            found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "DDL", found })),
        })
    }
}

impl Install {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { table, shard, inputs, outputs } = self;
        out.put_varint(u64::from(table.get()));
        out.put_varint(u64::from(shard.get()));
        encode_units(inputs, out);
        encode_segments(outputs, out);
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            table: decode_table(bytes)?,
            shard: decode_shard(bytes)?,
            inputs: decode_units(bytes, "inputs")?,
            outputs: decode_segments(bytes)?,
        })
    }
}

impl Expire {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { table, shard, units } = self;
        out.put_varint(u64::from(table.get()));
        out.put_varint(u64::from(shard.get()));
        encode_units(units, out);
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { table: decode_table(bytes)?, shard: decode_shard(bytes)?, units: decode_units(bytes, "units")? })
    }
}

impl InstalledSegment {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { unit, rows, meta_crc, deletes } = self;
        out.put_varint(unit.get());
        out.put_varint(u64::from(*rows));
        out.put_u32(*meta_crc);
        out.put_bytes(deletes);
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let segment = Self {
            unit: UnitId::new(bytes.varint()?),
            rows: bytes.varint_u32("rows of a segment")?,
            meta_crc: bytes.u32()?,
            deletes: bytes.bytes()?.to_vec(),
        };
        bytes.extensions("installed segment")?;
        Ok(segment)
    }
}

impl StagedCommit {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { table, shard, schema_version, segments, victims } = self;
        out.put_varint(u64::from(table.get()));
        out.put_varint(u64::from(shard.get()));
        out.put_varint(u64::from(schema_version.get()));
        encode_segments(segments, out);
        match victims {
            Victims::Inline(addresses) => {
                out.put_u8(VICTIMS_INLINE);
                out.put_count(addresses.len());
                let mut delta = AddressDelta::default();
                addresses.iter().for_each(|address| delta.encode(*address, out));
            }
            Victims::File { name, count, crc32c } => {
                out.put_u8(VICTIMS_FILE);
                out.put_text(name);
                out.put_varint(*count);
                out.put_u32(*crc32c);
            }
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let table = decode_table(bytes)?;
        let shard = decode_shard(bytes)?;
        let schema_version = SchemaVersion::new(bytes.varint_u32("schema version")?);
        let segments = decode_segments(bytes)?;
        let at = bytes.offset();
        let victims = match bytes.u8()? {
            VICTIMS_INLINE => {
                let count = bytes.count("victims", ADDRESS_BYTES_MIN)?;
                let mut delta = AddressDelta::default();
                Victims::Inline((0..count).map(|_| delta.decode(bytes)).collect::<Result<_, _>>()?)
            }
            VICTIMS_FILE => {
                Victims::File { name: bytes.text()?.to_owned(), count: bytes.varint()?, crc32c: bytes.u32()? }
            }
            found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "victims", found })),
        };
        Ok(Self { table, shard, schema_version, segments, victims })
    }
}

fn encode_units(units: &[UnitId], out: &mut Encoder<'_>) {
    out.put_count(units.len());
    units.iter().for_each(|unit| out.put_varint(unit.get()));
}

fn decode_units(bytes: &mut Decoder<'_>, what: &'static str) -> Result<Vec<UnitId>, DecodeError> {
    (0..bytes.count(what, 1)?).map(|_| bytes.varint().map(UnitId::new)).collect()
}

fn encode_segments(segments: &[InstalledSegment], out: &mut Encoder<'_>) {
    out.put_count(segments.len());
    segments.iter().for_each(|segment| out.put_nested(|out| segment.encode(out)));
}

fn decode_segments(bytes: &mut Decoder<'_>) -> Result<Vec<InstalledSegment>, DecodeError> {
    (0..bytes.count("segments", 1)?).map(|_| InstalledSegment::decode(&mut bytes.nested()?)).collect()
}

pub(super) fn decode_table(bytes: &mut Decoder<'_>) -> Result<TableId, DecodeError> {
    bytes.varint_u32("table id").map(TableId::new)
}

pub(super) fn decode_shard(bytes: &mut Decoder<'_>) -> Result<ShardId, DecodeError> {
    bytes.varint_u16("shard id").map(ShardId::new)
}

//! The manifest: the state of a log at a checkpoint, from which recovery replays (architecture W1, F1, F2).
//!
//! An [`envelope`] whose body is sections:
//!
//! | section | payload |
//! |---|---|
//! | 1 state | checkpoint, wall clock µs, next unit, next table, log start |
//! | 2 schema, one each | name |
//! | 3 table, one each | schema (nested), shards (count, each nested) |
//! | 4 feeds | feed cursors and what they keep ([`ManifestFeeds`]); only if there are any |
//! | 5 pin | reserved: named manifests and forks that keep files |
//! | 6 dead rows | files of dead rows ([`crate::deletes_file`]), each nested: number, length, checksum; only if there are any |
//!
//! A shard is: number, segments (count, each nested), generations (count, each nested). A segment is: unit, log id,
//! rows, meta file as blob, dead rows that no file of section 6 says. A generation is: unit, rows, first commit. After them a shard may have section 1,
//! which may be skipped: key runs (count, each nested: unit, log id, and the count and units of the segments that it covers).

use bytes::Bytes;
use outcrop_types::{CommitSeq, Epoch, LogId, ShardId, TableId, TableSchema, UnitId};

use crate::cursor::{Decoder, Encoder};
use crate::deletes_file::NamedDeletesFile;
use crate::envelope::{self, Features, FileKind, Header};
use crate::error::DecodeError;
use crate::feed::ManifestFeeds;
use crate::schema::{decode_table_schema, encode_table_schema};
use crate::section::WhenUnknown;

/// What a manifest's first bytes say.
pub const MANIFEST_KIND: FileKind = FileKind { name: "manifest", magic: *b"OUTCRMAN", version: 1, features: 0 };

const STATE: u16 = 1;
const SCHEMA: u16 = 2;
const TABLE: u16 = 3;
const FEEDS: u16 = 4;
const DELETES_FILES: u16 = 6;

/// Section of a shard.
const KEY_RUNS: u16 = 1;

const MANIFEST: &str = "manifest";
const SHARD: &str = "manifest shard";

/// The state of a log at a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The log.
    pub log_id: LogId,
    /// Reign of the writer.
    pub epoch: Epoch,
    /// Feature bits; those that this build sets are none.
    pub features: Features,
    /// The last commit whose effects are all in here or in the log from `log_start` on.
    pub checkpoint: CommitSeq,
    /// Wall clock at the checkpoint in µs since 1970.
    pub wall_us: i64,
    /// The unit counter: the next unit gets this id or a later one.
    pub next_unit: UnitId,
    /// The table counter: the next table gets this id or a later one.
    pub next_table: TableId,
    /// First commit that recovery needs from the log.
    pub log_start: CommitSeq,
    /// Names of the schemas.
    pub schemas: Vec<String>,
    /// The tables.
    pub tables: Vec<ManifestTable>,
    /// The feed cursors, and what is kept for them.
    pub feeds: ManifestFeeds,
    /// Files that say which rows are dead, beside [`ManifestSegment::deletes`].
    pub deletes_files: Vec<NamedDeletesFile>,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestTable {
    /// Name, columns, keys.
    pub schema: TableSchema,
    /// Its shards.
    pub shards: Vec<ManifestShard>,
}

/// A shard of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestShard {
    /// Its number.
    pub shard: ShardId,
    /// Its segments, in scan order.
    pub segments: Vec<ManifestSegment>,
    /// Generations not flushed at the checkpoint, oldest first.
    pub generations: Vec<ManifestGeneration>,
    /// The key runs over its segments. A run that is not named or not there is made again from its segments.
    pub runs: Vec<ManifestRun>,
}

/// A key run of a shard ([`crate::key_run`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRun {
    /// Its identity, and with the log id the name of its file.
    pub unit: UnitId,
    /// The log that wrote it: another one after a fork.
    pub log_id: LogId,
    /// The segments whose rows it has.
    pub segments: Vec<UnitId>,
}

/// A segment of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSegment {
    /// Its identity.
    pub unit: UnitId,
    /// The log that wrote it: another one after a fork.
    pub log_id: LogId,
    /// Rows in it, dead ones included.
    pub rows: u32,
    /// The whole meta file ([`crate::meta`]), which has a checksum of its own.
    pub meta: Bytes,
    /// Its dead rows ([`crate::deletes`]) but for those that [`Manifest::deletes_files`] say; empty if there are none.
    pub deletes: Bytes,
}

/// A memtable generation of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestGeneration {
    /// Its identity.
    pub unit: UnitId,
    /// Rows in it at the checkpoint.
    pub rows: u32,
    /// The first commit with rows in it.
    pub first_seq: CommitSeq,
}

impl Manifest {
    /// Appends the whole file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let header = Header { log_id: self.log_id, epoch: self.epoch, features: self.features };
        envelope::seal(&MANIFEST_KIND, &header, out, |out| {
            out.put_section(STATE, WhenUnknown::Refuse, |out| {
                out.put_varint(self.checkpoint.get());
                out.put_signed(self.wall_us);
                out.put_varint(self.next_unit.get());
                out.put_varint(u64::from(self.next_table.get()));
                out.put_varint(self.log_start.get());
            });
            for name in &self.schemas {
                out.put_section(SCHEMA, WhenUnknown::Refuse, |out| out.put_text(name));
            }
            for table in &self.tables {
                out.put_section(TABLE, WhenUnknown::Refuse, |out| table.encode(out));
            }
            if !self.feeds.is_empty() {
                // Who does not know them would remove what they keep.
                out.put_section(FEEDS, WhenUnknown::Refuse, |out| self.feeds.encode(out));
            }
            if !self.deletes_files.is_empty() {
                out.put_section(DELETES_FILES, WhenUnknown::Refuse, |out| {
                    out.put_count(self.deletes_files.len());
                    self.deletes_files.iter().for_each(|file| out.put_nested(|out| file.encode(out)));
                });
            }
        });
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Those of [`envelope::open`]; any [`crate::DecodeProblem`] of the body.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (Header { log_id, epoch, features }, mut body) = envelope::open(&MANIFEST_KIND, bytes)?;
        let mut state = None;
        let (mut schemas, mut tables, mut feeds, mut deletes_files) = (Vec::new(), Vec::new(), None, None);
        while let Some(mut section) = body.section()? {
            match section.tag {
                STATE => {
                    let value = State::decode(&mut section.payload)?;
                    section.set(&mut state, MANIFEST, value)?;
                }
                SCHEMA => {
                    schemas.push(section.payload.text()?.to_owned());
                    section.payload.extensions(MANIFEST)?;
                }
                TABLE => tables.push(ManifestTable::decode(&mut section.payload)?),
                FEEDS => {
                    let value = ManifestFeeds::decode(&mut section.payload)?;
                    section.set(&mut feeds, MANIFEST, value)?;
                }
                DELETES_FILES => {
                    let value = decode_list(&mut section.payload, "files of dead rows", NamedDeletesFile::decode)?;
                    section.payload.extensions("files of dead rows")?;
                    section.set(&mut deletes_files, MANIFEST, value)?;
                }
                _ => section.unknown(MANIFEST)?,
            }
        }
        let (feeds, deletes_files) = (feeds.unwrap_or_default(), deletes_files.unwrap_or_default());
        let State { checkpoint, wall_us, next_unit, next_table, log_start } = body.required(state, MANIFEST, STATE)?;
        Ok(Self {
            log_id,
            epoch,
            features,
            checkpoint,
            wall_us,
            next_unit,
            next_table,
            log_start,
            schemas,
            tables,
            feeds,
            deletes_files,
        })
    }
}

struct State {
    checkpoint: CommitSeq,
    wall_us: i64,
    next_unit: UnitId,
    next_table: TableId,
    log_start: CommitSeq,
}

impl State {
    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let state = Self {
            checkpoint: CommitSeq::new(bytes.varint()?),
            wall_us: bytes.signed()?,
            next_unit: UnitId::new(bytes.varint()?),
            next_table: TableId::new(bytes.varint_u32("table id")?),
            log_start: CommitSeq::new(bytes.varint()?),
        };
        bytes.extensions("manifest state")?;
        Ok(state)
    }
}

impl ManifestTable {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { schema, shards } = self;
        out.put_nested(|out| encode_table_schema(schema, out));
        out.put_count(shards.len());
        shards.iter().for_each(|shard| out.put_nested(|out| shard.encode(out)));
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let schema = decode_table_schema(&mut bytes.nested()?)?;
        let shards = decode_list(bytes, "shards", ManifestShard::decode)?;
        bytes.extensions("manifest table")?;
        Ok(Self { schema, shards })
    }
}

impl ManifestShard {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { shard, segments, generations, runs } = self;
        out.put_varint(u64::from(shard.get()));
        out.put_count(segments.len());
        segments.iter().for_each(|segment| out.put_nested(|out| segment.encode(out)));
        out.put_count(generations.len());
        generations.iter().for_each(|generation| out.put_nested(|out| generation.encode(out)));
        if !runs.is_empty() {
            out.put_section(KEY_RUNS, WhenUnknown::Skip, |out| {
                out.put_count(runs.len());
                runs.iter().for_each(|run| out.put_nested(|out| run.encode(out)));
            });
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let shard = ShardId::new(bytes.varint_u16("shard id")?);
        let segments = decode_list(bytes, "segments", ManifestSegment::decode)?;
        let generations = decode_list(bytes, "generations", ManifestGeneration::decode)?;
        let mut runs = None;
        while let Some(mut section) = bytes.section()? {
            if section.tag == KEY_RUNS {
                let value = decode_list(&mut section.payload, "key runs", ManifestRun::decode)?;
                section.payload.extensions("key runs")?;
                section.set(&mut runs, SHARD, value)?;
            } else {
                section.unknown(SHARD)?;
            }
        }
        Ok(Self { shard, segments, generations, runs: runs.unwrap_or_default() })
    }
}

impl ManifestRun {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { unit, log_id, segments } = self;
        out.put_varint(unit.get());
        out.put_raw(log_id.as_bytes());
        out.put_count(segments.len());
        segments.iter().for_each(|segment| out.put_varint(segment.get()));
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let unit = UnitId::new(bytes.varint()?);
        let log_id = LogId::from_bytes(bytes.take_array()?);
        let segments = (0..bytes.count("segments of a key run", 1)?)
            .map(|_| bytes.varint().map(UnitId::new))
            .collect::<Result<_, _>>()?;
        bytes.extensions("key run of a manifest")?;
        Ok(Self { unit, log_id, segments })
    }
}

impl ManifestSegment {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { unit, log_id, rows, meta, deletes } = self;
        out.put_varint(unit.get());
        out.put_raw(log_id.as_bytes());
        out.put_varint(u64::from(*rows));
        out.put_bytes(meta);
        out.put_bytes(deletes);
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let segment = Self {
            unit: UnitId::new(bytes.varint()?),
            log_id: LogId::from_bytes(bytes.take_array()?),
            rows: bytes.varint_u32("rows of a segment")?,
            meta: Bytes::copy_from_slice(bytes.bytes()?),
            deletes: Bytes::copy_from_slice(bytes.bytes()?),
        };
        bytes.extensions("manifest segment")?;
        Ok(segment)
    }
}

impl ManifestGeneration {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { unit, rows, first_seq } = self;
        out.put_varint(unit.get());
        out.put_varint(u64::from(*rows));
        out.put_varint(first_seq.get());
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let generation = Self {
            unit: UnitId::new(bytes.varint()?),
            rows: bytes.varint_u32("rows of a generation")?,
            first_seq: CommitSeq::new(bytes.varint()?),
        };
        bytes.extensions("manifest generation")?;
        Ok(generation)
    }
}

fn decode_list<T>(
    bytes: &mut Decoder<'_>,
    what: &'static str,
    decode: impl Fn(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    (0..bytes.count(what, 1)?).map(|_| decode(&mut bytes.nested()?)).collect()
}

#[cfg(test)]
mod tests;

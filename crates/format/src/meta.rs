//! Segment metadata: the `.meta` file beside a segment's data files (architecture S1–S3).
//!
//! An [`envelope`] whose body is sections:
//!
//! | section | payload |
//! |---|---|
//! | 1 segment | unit, table, rows, least and greatest `CommitSeq` of its rows, schema version, created (µs), rows per block |
//! | 2 column, one each | id, type, null count, min, max |
//! | 3 file, one each | name, kind (0 data, 1 index + kind number), version, length, pages (count, CRC32C each), column ids |
//! | 4 zones, one per column, may be skipped | column id, zone count, zones |
//! | 5 order, if rows are sorted, may be skipped | column count, column ids |
//!
//! A bound is a presence byte and a value. A zone is a flag byte (1 has min, 2 has max), the null count, then min and max;
//! a bound that is a whole number or a time is written as its difference from the bound written before it in the column.
//! An index kind that a reader does not know is kept and not used.

use outcrop_types::{ColumnId, CommitSeq, DataType, Epoch, LogId, SchemaVersion, TableId, UnitId, Value};

use crate::cursor::{Decoder, Encoder};
use crate::envelope::{self, Features, FileKind, Header};
use crate::error::{DecodeError, DecodeProblem};
use crate::section::WhenUnknown;
use crate::value::{decode_data_type, decode_value, encode_data_type, encode_value};

/// What a meta file's first bytes say.
pub const META_KIND: FileKind = FileKind { name: "segment meta file", magic: *b"OUTCRSEG", version: 1, features: 0 };

/// Bytes of a page: the unit of checksums of data and index files.
pub const PAGE_BYTES: u32 = 64 * 1024;
/// Rows of a block: the unit of zone maps, in segments that this build writes.
pub const BLOCK_ROWS: u32 = 8_192;

const SEGMENT: u16 = 1;
const COLUMN: u16 = 2;
const FILE: u16 = 3;
const ZONES: u16 = 4;
const ORDER: u16 = 5;

const FILE_DATA: u8 = 0;
const FILE_INDEX: u8 = 1;

const ZONE_HAS_MIN: u8 = 1;
const ZONE_HAS_MAX: u8 = 2;

const SEGMENT_META: &str = "segment meta file";

/// Everything about a segment but its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentMeta {
    /// The log that wrote it.
    pub log_id: LogId,
    /// Its identity in the log.
    pub unit: UnitId,
    /// The table.
    pub table: TableId,
    /// Rows in every data file.
    pub rows: u32,
    /// Least insert `CommitSeq` of its rows.
    pub min_seq: CommitSeq,
    /// Greatest insert `CommitSeq` of its rows.
    pub max_seq: CommitSeq,
    /// Version of the schema that its rows obey.
    pub schema_version: SchemaVersion,
    /// Wall clock when it was written, in µs since 1970.
    pub created_wall_us: i64,
    /// Rows of a block; the last block may have fewer.
    pub block_rows: u32,
    /// Its columns.
    pub columns: Vec<MetaColumn>,
    /// Its data and index files.
    pub files: Vec<MetaFile>,
    /// Zone maps, for columns that have them.
    pub zones: Vec<ColumnZones>,
    /// The columns by which its rows were sorted when it was written; empty if they were not.
    pub sorted_by: Vec<ColumnId>,
}

/// A column of a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaColumn {
    /// Identity in the table.
    pub id: ColumnId,
    /// Its type as stored.
    pub data_type: DataType,
    /// Rows that are NULL.
    pub null_count: u32,
    /// No row is below this; `None` = unknown, or all rows are NULL.
    pub min: Option<Value>,
    /// No row is above this; `None` = unknown, or all rows are NULL.
    pub max: Option<Value>,
}

/// A file of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFile {
    /// Its name in the data directory.
    pub name: String,
    /// What is in it.
    pub kind: MetaFileKind,
    /// Its length in bytes.
    pub length: u64,
    /// CRC32C of each page of [`PAGE_BYTES`]; the last page may be shorter.
    pub page_crc32c: Vec<u32>,
    /// The columns that it holds or indexes.
    pub columns: Vec<ColumnId>,
}

/// What is in a file of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaFileKind {
    /// Columns, as a Vortex file.
    Data {
        /// Version of our use of the file format.
        version: u16,
    },
    /// An index (S2). A kind or version that a reader does not know means: scan.
    Index {
        /// Which kind.
        kind: u16,
        /// Version of that kind.
        version: u16,
    },
}

/// Zone maps of one column: one zone a block, in row order.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnZones {
    /// The column.
    pub column: ColumnId,
    /// Its zones.
    pub zones: Vec<Zone>,
}

/// Bounds of one column in one block.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// No row is below this; `None` = unknown, or all rows are NULL.
    pub min: Option<Value>,
    /// No row is above this; `None` = unknown, or all rows are NULL.
    pub max: Option<Value>,
    /// Rows that are NULL.
    pub null_count: u32,
}

impl SegmentMeta {
    /// Appends the whole file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // Files of a segment are named by a unit, which no two reigns share: they need no epoch.
        let header = Header { log_id: self.log_id, epoch: Epoch::new(0), features: Features::default() };
        envelope::seal(&META_KIND, &header, out, |out| {
            out.put_section(SEGMENT, WhenUnknown::Refuse, |out| self.encode_segment(out));
            for column in &self.columns {
                out.put_section(COLUMN, WhenUnknown::Refuse, |out| column.encode(out));
            }
            for file in &self.files {
                out.put_section(FILE, WhenUnknown::Refuse, |out| file.encode(out));
            }
            for zones in &self.zones {
                out.put_section(ZONES, WhenUnknown::Skip, |out| zones.encode(out));
            }
            if !self.sorted_by.is_empty() {
                out.put_section(ORDER, WhenUnknown::Skip, |out| {
                    out.put_count(self.sorted_by.len());
                    self.sorted_by.iter().for_each(|column| out.put_varint(u64::from(column.get())));
                });
            }
        });
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Those of [`envelope::open`]; any [`DecodeProblem`] of the body; `Inconsistent` if the pages of a file do not cover
    /// its length, or the zones of a column not its rows.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (header, mut body) = envelope::open(&META_KIND, bytes)?;
        let mut segment = None;
        let (mut columns, mut files, mut zones) = (Vec::new(), Vec::new(), Vec::new());
        let mut order = None;
        while let Some(mut section) = body.section()? {
            match section.tag {
                SEGMENT => {
                    let value = Self::decode_segment(header.log_id, &mut section.payload)?;
                    section.set(&mut segment, SEGMENT_META, value)?;
                }
                COLUMN => columns.push(MetaColumn::decode(&mut section.payload)?),
                FILE => files.push(MetaFile::decode(&mut section.payload)?),
                ZONES => zones.push(ColumnZones::decode(&mut section.payload)?),
                ORDER => {
                    let value = decode_order(&mut section.payload)?;
                    section.set(&mut order, SEGMENT_META, value)?;
                }
                _ => section.unknown(SEGMENT_META)?,
            }
        }
        let segment = body.required(segment, SEGMENT_META, SEGMENT)?;
        let blocks = segment.blocks() as usize;
        if zones.iter().any(|of_column: &ColumnZones| of_column.zones.len() != blocks) {
            return Err(body.error(DecodeProblem::Inconsistent("zones do not cover the rows")));
        }
        Ok(Self { columns, files, zones, sorted_by: order.unwrap_or_default(), ..segment })
    }

    /// How many blocks the rows make.
    pub fn blocks(&self) -> u32 {
        self.rows.div_ceil(self.block_rows.max(1))
    }

    /// The column with this id, if the segment has it.
    pub fn column(&self, id: ColumnId) -> Option<&MetaColumn> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The zones of a column, if it has any.
    pub fn zones_of(&self, id: ColumnId) -> Option<&[Zone]> {
        self.zones.iter().find(|zones| zones.column == id).map(|zones| zones.zones.as_slice())
    }

    fn encode_segment(&self, out: &mut Encoder<'_>) {
        out.put_varint(self.unit.get());
        out.put_varint(u64::from(self.table.get()));
        out.put_varint(u64::from(self.rows));
        out.put_varint(self.min_seq.get());
        out.put_varint(self.max_seq.get());
        out.put_varint(u64::from(self.schema_version.get()));
        out.put_signed(self.created_wall_us);
        out.put_varint(u64::from(self.block_rows));
    }

    fn decode_segment(log_id: LogId, bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let segment = Self {
            log_id,
            unit: UnitId::new(bytes.varint()?),
            table: TableId::new(bytes.varint_u32("table id")?),
            rows: bytes.varint_u32("rows of a segment")?,
            min_seq: CommitSeq::new(bytes.varint()?),
            max_seq: CommitSeq::new(bytes.varint()?),
            schema_version: SchemaVersion::new(bytes.varint_u32("schema version")?),
            created_wall_us: bytes.signed()?,
            block_rows: bytes.varint_u32("rows of a block")?,
            columns: Vec::new(),
            files: Vec::new(),
            zones: Vec::new(),
            sorted_by: Vec::new(),
        };
        if segment.block_rows == 0 {
            return Err(bytes.error(DecodeProblem::Inconsistent("blocks without rows")));
        }
        bytes.extensions("segment")?;
        Ok(segment)
    }
}

impl MetaColumn {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { id, data_type, null_count, min, max } = self;
        out.put_varint(u64::from(id.get()));
        encode_data_type(data_type, out);
        out.put_varint(u64::from(*null_count));
        for bound in [min, max] {
            out.put_u8(u8::from(bound.is_some()));
            if let Some(value) = bound {
                encode_value(value, out);
            }
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let column = Self {
            id: ColumnId::new(bytes.varint_u32("column id")?),
            data_type: decode_data_type(bytes)?,
            null_count: bytes.varint_u32("null count")?,
            min: decode_bound(bytes)?,
            max: decode_bound(bytes)?,
        };
        bytes.extensions("segment column")?;
        Ok(column)
    }
}

fn decode_bound(bytes: &mut Decoder<'_>) -> Result<Option<Value>, DecodeError> {
    let at = bytes.offset();
    match bytes.u8()? {
        0 => Ok(None),
        1 => decode_value(bytes).map(Some),
        found => Err(DecodeError::new(at, DecodeProblem::Tag { what: "bound", found })),
    }
}

fn decode_order(bytes: &mut Decoder<'_>) -> Result<Vec<ColumnId>, DecodeError> {
    let columns = (0..bytes.count("columns of an order", 1)?)
        .map(|_| bytes.varint_u32("column id").map(ColumnId::new))
        .collect::<Result<_, _>>()?;
    bytes.extensions("order")?;
    Ok(columns)
}

impl MetaFile {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { name, kind, length, page_crc32c, columns } = self;
        out.put_text(name);
        match kind {
            MetaFileKind::Data { version } => {
                out.put_u8(FILE_DATA);
                out.put_varint(u64::from(*version));
            }
            MetaFileKind::Index { kind, version } => {
                out.put_u8(FILE_INDEX);
                out.put_varint(u64::from(*kind));
                out.put_varint(u64::from(*version));
            }
        }
        out.put_varint(*length);
        out.put_count(page_crc32c.len());
        page_crc32c.iter().for_each(|crc| out.put_u32(*crc));
        out.put_count(columns.len());
        columns.iter().for_each(|column| out.put_varint(u64::from(column.get())));
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let name = bytes.text()?.to_owned();
        let at = bytes.offset();
        let kind = match bytes.u8()? {
            FILE_DATA => MetaFileKind::Data { version: bytes.varint_u16("file version")? },
            FILE_INDEX => MetaFileKind::Index {
                kind: bytes.varint_u16("index kind")?,
                version: bytes.varint_u16("index version")?,
            },
            found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "file", found })),
        };
        let at = bytes.offset();
        let length = bytes.varint()?;
        let pages = bytes.count("pages", 4)?;
        if length.div_ceil(u64::from(PAGE_BYTES)) != pages as u64 {
            return Err(DecodeError::new(at, DecodeProblem::Inconsistent("pages do not cover the file")));
        }
        let page_crc32c = (0..pages).map(|_| bytes.u32()).collect::<Result<_, _>>()?;
        let columns = (0..bytes.count("columns of a file", 1)?)
            .map(|_| bytes.varint_u32("column id").map(ColumnId::new))
            .collect::<Result<_, _>>()?;
        bytes.extensions("segment file")?;
        Ok(Self { name, kind, length, page_crc32c, columns })
    }
}

impl ColumnZones {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.put_varint(u64::from(self.column.get()));
        out.put_count(self.zones.len());
        let mut last = 0;
        for Zone { min, max, null_count } in &self.zones {
            let has_min = if min.is_some() { ZONE_HAS_MIN } else { 0 };
            let has_max = if max.is_some() { ZONE_HAS_MAX } else { 0 };
            out.put_u8(has_min | has_max);
            out.put_varint(u64::from(*null_count));
            for bound in [min, max].into_iter().flatten() {
                let (stored, next) = map_whole(bound, last, i64::wrapping_sub);
                encode_value(stored.as_ref().unwrap_or(bound), out);
                last = next.unwrap_or(last);
            }
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let column = ColumnId::new(bytes.varint_u32("column id")?);
        // Flags and null count.
        let count = bytes.count("zones", 2)?;
        let mut last = 0;
        let mut zones = Vec::with_capacity(count);
        for _ in 0..count {
            let at = bytes.offset();
            let flags = bytes.u8()?;
            if flags & !(ZONE_HAS_MIN | ZONE_HAS_MAX) != 0 {
                return Err(DecodeError::new(at, DecodeProblem::Tag { what: "zone", found: flags }));
            }
            let null_count = bytes.varint_u32("null count")?;
            let mut bound = |flag: u8| -> Result<Option<Value>, DecodeError> {
                if flags & flag == 0 {
                    return Ok(None);
                }
                let stored = decode_value(bytes)?;
                let (value, _) = map_whole(&stored, last, |difference, last| last.wrapping_add(difference));
                let value = value.unwrap_or(stored);
                last = map_whole(&value, 0, |value, _| value).1.unwrap_or(last);
                Ok(Some(value))
            };
            zones.push(Zone { min: bound(ZONE_HAS_MIN)?, max: bound(ZONE_HAS_MAX)?, null_count });
        }
        bytes.extensions("zones")?;
        Ok(Self { column, zones })
    }
}

/// For values that are 64-bit whole numbers: the same kind of value with `map(number, last)`, and the number itself.
fn map_whole(value: &Value, last: i64, map: impl Fn(i64, i64) -> i64) -> (Option<Value>, Option<i64>) {
    match value {
        Value::Int(v) => (Some(Value::Int(map(*v, last))), Some(*v)),
        Value::Time(v) => (Some(Value::Time(map(*v, last))), Some(*v)),
        Value::Timestamp(v) => (Some(Value::Timestamp(map(*v, last))), Some(*v)),
        Value::TimestampTz(v) => (Some(Value::TimestampTz(map(*v, last))), Some(*v)),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::Decimal(..)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Date(_)
        | Value::Uuid(_)
        | Value::Array(_) => (None, None),
    }
}

#[cfg(test)]
mod tests;

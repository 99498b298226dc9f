//! Feed cursors, as records change them and manifests keep them.
//!
//! | part | fields |
//! |---|---|
//! | tables of a cursor | 0 = all; 1, count, table ids ascending |
//! | change of a cursor | tag byte, name; then 1 create: tables; 2 advance: commit; 3 end: reason; 4 drop: nothing |
//! | feeds of a manifest | cursors (count, each nested), kept units (count, each nested), kept schemas (count, each nested) |
//! | cursor | name, tables, position, 0 or 1 and the reason why it was ended |
//! | kept unit | unit, table, commit that took it out, bytes of its files, 0 or its first commit if it was a generation; section 1 if its rows went with it: the rows that were dead before, as a blob |
//! | kept schema | commit that replaced it, table schema (nested) |

use std::collections::BTreeSet;

use bytes::Bytes;
use outcrop_types::{CommitSeq, TableId, TableSchema, UnitId};

use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};
use crate::schema::{decode_table_schema, encode_table_schema};
use crate::section::WhenUnknown;

mod change_tag {
    pub(super) const CREATE: u8 = 1;
    pub(super) const ADVANCE: u8 = 2;
    pub(super) const END: u8 = 3;
    pub(super) const DROP: u8 = 4;
}

const ALL_TABLES: u8 = 0;
const SOME_TABLES: u8 = 1;

/// Section of a kept unit.
const EXPIRED: u16 = 1;

const ACTIVE: u8 = 0;
const ENDED: u8 = 1;

/// Which tables a feed shows. It never grows: it is all or a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeedTables {
    /// Every table, those to come too.
    All,
    /// These.
    Some(BTreeSet<TableId>),
}

/// A change of one feed cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedChange {
    /// A new cursor, which stands behind the commit that creates it.
    Create {
        /// Its name.
        name: String,
        /// Its tables.
        tables: FeedTables,
    },
    /// Its consumer has everything up to this commit.
    Advance {
        /// Its name.
        name: String,
        /// The last commit that is not needed any more.
        to: CommitSeq,
    },
    /// It keeps nothing any more, and says why.
    End {
        /// Its name.
        name: String,
        /// Why, for its consumer.
        reason: String,
    },
    /// It goes.
    Drop {
        /// Its name.
        name: String,
    },
}

/// The feed cursors of a manifest, and what is kept for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestFeeds {
    /// The cursors.
    pub cursors: Vec<ManifestCursor>,
    /// Units that left tables and whose rows a cursor may still have to show.
    pub units: Vec<KeptUnit>,
    /// Schemas of tables that were changed or dropped since.
    pub schemas: Vec<KeptSchema>,
}

/// A feed cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestCursor {
    /// Its name.
    pub name: String,
    /// Its tables.
    pub tables: FeedTables,
    /// The last commit that its consumer has.
    pub position: CommitSeq,
    /// Why it was ended; `None` while it keeps what its consumer has not seen.
    pub ended: Option<String>,
}

/// A unit that left its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptUnit {
    /// The unit.
    pub unit: UnitId,
    /// The table that it was of.
    pub table: TableId,
    /// The commit that took it out.
    pub left_at: CommitSeq,
    /// Bytes of its files; none for a generation.
    pub bytes: u64,
    /// The commit of its first row if it was a generation: its rows are in the log. `None` for a segment.
    pub first_seq: Option<CommitSeq>,
    /// Set if retention took it out: its rows went with it, but for those that this delete vector ([`crate::deletes`]; empty if no
    /// row is dead) has.
    pub expired: Option<Bytes>,
}

/// A schema that is not the table's any more.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptSchema {
    /// The commit that replaced it, or dropped the table.
    pub left_at: CommitSeq,
    /// The schema.
    pub schema: TableSchema,
}

impl FeedTables {
    /// Whether the table is among them.
    pub fn has(&self, table: TableId) -> bool {
        match self {
            Self::All => true,
            Self::Some(tables) => tables.contains(&table),
        }
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Self::All => out.put_u8(ALL_TABLES),
            Self::Some(tables) => {
                out.put_u8(SOME_TABLES);
                out.put_count(tables.len());
                tables.iter().for_each(|table| out.put_varint(u64::from(table.get())));
            }
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let at = bytes.offset();
        match bytes.u8()? {
            ALL_TABLES => Ok(Self::All),
            SOME_TABLES => {
                let tables = (0..bytes.count("tables of a feed", 1)?).map(|_| decode_table(bytes));
                Ok(Self::Some(tables.collect::<Result<_, _>>()?))
            }
            found => Err(DecodeError::new(at, DecodeProblem::Tag { what: "tables of a feed", found })),
        }
    }
}

impl FeedChange {
    /// Appends the change.
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        let (tag, name) = match self {
            Self::Create { name, .. } => (change_tag::CREATE, name),
            Self::Advance { name, .. } => (change_tag::ADVANCE, name),
            Self::End { name, .. } => (change_tag::END, name),
            Self::Drop { name } => (change_tag::DROP, name),
        };
        out.put_u8(tag);
        out.put_text(name);
        match self {
            Self::Create { tables, .. } => tables.encode(out),
            Self::Advance { to, .. } => out.put_varint(to.get()),
            Self::End { reason, .. } => out.put_text(reason),
            Self::Drop { .. } => {}
        }
    }

    /// Reads a change.
    ///
    /// # Errors
    /// Any [`DecodeProblem`] of its parts.
    pub(crate) fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let at = bytes.offset();
        let tag = bytes.u8()?;
        let name = bytes.text()?.to_owned();
        Ok(match tag {
            change_tag::CREATE => Self::Create { name, tables: FeedTables::decode(bytes)? },
            change_tag::ADVANCE => Self::Advance { name, to: CommitSeq::new(bytes.varint()?) },
            change_tag::END => Self::End { name, reason: bytes.text()?.to_owned() },
            change_tag::DROP => Self::Drop { name },
            found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "change of a feed", found })),
        })
    }
}

impl ManifestFeeds {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.cursors.is_empty() && self.units.is_empty() && self.schemas.is_empty()
    }

    /// Appends all of it.
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        let Self { cursors, units, schemas } = self;
        out.put_count(cursors.len());
        cursors.iter().for_each(|cursor| out.put_nested(|out| cursor.encode(out)));
        out.put_count(units.len());
        units.iter().for_each(|unit| out.put_nested(|out| unit.encode(out)));
        out.put_count(schemas.len());
        schemas.iter().for_each(|schema| out.put_nested(|out| schema.encode(out)));
    }

    /// Reads what [`ManifestFeeds::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeProblem`] of its parts.
    pub(crate) fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let cursors = (0..bytes.count("feed cursors", 1)?).map(|_| ManifestCursor::decode(&mut bytes.nested()?));
        let cursors = cursors.collect::<Result<_, _>>()?;
        let units = (0..bytes.count("kept units", 1)?).map(|_| KeptUnit::decode(&mut bytes.nested()?));
        let units = units.collect::<Result<_, _>>()?;
        let schemas = (0..bytes.count("kept schemas", 1)?).map(|_| KeptSchema::decode(&mut bytes.nested()?));
        let schemas = schemas.collect::<Result<_, _>>()?;
        bytes.extensions("feeds of a manifest")?;
        Ok(Self { cursors, units, schemas })
    }
}

impl ManifestCursor {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { name, tables, position, ended } = self;
        out.put_text(name);
        tables.encode(out);
        out.put_varint(position.get());
        match ended {
            None => out.put_u8(ACTIVE),
            Some(reason) => {
                out.put_u8(ENDED);
                out.put_text(reason);
            }
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let name = bytes.text()?.to_owned();
        let tables = FeedTables::decode(bytes)?;
        let position = CommitSeq::new(bytes.varint()?);
        let at = bytes.offset();
        let ended = match bytes.u8()? {
            ACTIVE => None,
            ENDED => Some(bytes.text()?.to_owned()),
            found => return Err(DecodeError::new(at, DecodeProblem::Tag { what: "state of a feed", found })),
        };
        bytes.extensions("feed cursor")?;
        Ok(Self { name, tables, position, ended })
    }
}

impl KeptUnit {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { unit, table, left_at, bytes, first_seq, expired } = self;
        out.put_varint(unit.get());
        out.put_varint(u64::from(table.get()));
        out.put_varint(left_at.get());
        out.put_varint(*bytes);
        out.put_varint(first_seq.map_or(0, CommitSeq::get));
        if let Some(deletes) = expired {
            out.put_section(EXPIRED, WhenUnknown::Refuse, |out| out.put_bytes(deletes));
        }
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let unit = UnitId::new(bytes.varint()?);
        let table = decode_table(bytes)?;
        let left_at = CommitSeq::new(bytes.varint()?);
        let size = bytes.varint()?;
        let first_seq = Some(CommitSeq::new(bytes.varint()?)).filter(|seq| *seq > CommitSeq::ZERO);
        let mut expired = None;
        while let Some(mut section) = bytes.section()? {
            if section.tag == EXPIRED {
                let deletes = Bytes::copy_from_slice(section.payload.bytes()?);
                section.payload.extensions("expired unit")?;
                section.set(&mut expired, "kept unit", deletes)?;
            } else {
                section.unknown("kept unit")?;
            }
        }
        Ok(Self { unit, table, left_at, bytes: size, first_seq, expired })
    }
}

impl KeptSchema {
    fn encode(&self, out: &mut Encoder<'_>) {
        let Self { left_at, schema } = self;
        out.put_varint(left_at.get());
        out.put_nested(|out| encode_table_schema(schema, out));
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let left_at = CommitSeq::new(bytes.varint()?);
        let schema = decode_table_schema(&mut bytes.nested()?)?;
        bytes.extensions("kept schema")?;
        Ok(Self { left_at, schema })
    }
}

fn decode_table(bytes: &mut Decoder<'_>) -> Result<TableId, DecodeError> {
    bytes.varint_u32("table id").map(TableId::new)
}

//! The record as a whole.

use outcrop_types::{CommitSeq, Epoch};

use super::changes::Change;
use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};
use crate::section::WhenUnknown;

/// Version of commit records that this build writes, and the newest it reads.
pub const RECORD_VERSION: u8 = 1;

const HEAD: u16 = 1;
const TOKEN: u16 = 2;
const OFFSET: u16 = 3;

const COMMIT_RECORD: &str = "commit record";

/// One commit: everything that becomes visible at once under one `CommitSeq`.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitRecord {
    /// Place in the total order.
    pub seq: CommitSeq,
    /// Reign of the writer.
    pub epoch: Epoch,
    /// Wall clock in µs since 1970, never going back within a log; never used for order.
    pub wall_us: i64,
    /// Transaction, 0 for a single statement.
    pub transaction: u64,
    /// The client's token for "did my commit happen?".
    pub token: Option<Vec<u8>>,
    /// How far each source has been read once this commit is in.
    pub offsets: Vec<SourceOffset>,
    /// What changes, in order.
    pub changes: Vec<Change>,
}

/// A source's position that becomes durable with the commit that holds its rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceOffset {
    /// The source, unique in the log ("topic/7").
    pub source: String,
    /// Position in the source's own form.
    pub position: Vec<u8>,
}

impl CommitRecord {
    /// Appends the record's bytes.
    ///
    /// # Panics
    /// If a [`super::RowChange`] has another number of rows than its operations say: such a record could not be replayed.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { seq, epoch, wall_us, transaction, token, offsets, changes } = self;
        let mut out = Encoder::new(out);
        out.put_u8(RECORD_VERSION);
        out.put_section(HEAD, WhenUnknown::Refuse, |out| {
            out.put_varint(seq.get());
            out.put_varint(u64::from(epoch.get()));
            out.put_signed(*wall_us);
            out.put_varint(*transaction);
        });
        if let Some(token) = token {
            out.put_section(TOKEN, WhenUnknown::Refuse, |out| out.put_bytes(token));
        }
        for SourceOffset { source, position } in offsets {
            out.put_section(OFFSET, WhenUnknown::Refuse, |out| {
                out.put_text(source);
                out.put_bytes(position);
            });
        }
        changes.iter().for_each(|change| change.encode(&mut out));
    }

    /// Reads a record that fills all of `bytes`.
    ///
    /// # Errors
    /// Any [`DecodeProblem`]; `Version` and `Section` mean that a newer Outcrop wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut bytes = Decoder::new(bytes);
        let version = bytes.u8()?;
        if version == 0 || version > RECORD_VERSION {
            let (found, newest) = (u16::from(version), u16::from(RECORD_VERSION));
            return Err(DecodeError::new(0, DecodeProblem::Version { what: COMMIT_RECORD, found, newest }));
        }
        let (mut head, mut token) = (None, None);
        let (mut offsets, mut changes) = (Vec::new(), Vec::new());
        while let Some(mut section) = bytes.section()? {
            match section.tag {
                HEAD => {
                    let value = decode_head(&mut section.payload)?;
                    section.set(&mut head, COMMIT_RECORD, value)?;
                }
                TOKEN => {
                    let value = section.payload.bytes()?.to_vec();
                    section.payload.extensions("token")?;
                    section.set(&mut token, COMMIT_RECORD, value)?;
                }
                OFFSET => offsets.push(decode_offset(&mut section.payload)?),
                tag => match Change::decode(tag, &mut section.payload)? {
                    Some(change) => changes.push(change),
                    None => section.unknown(COMMIT_RECORD)?,
                },
            }
        }
        let (seq, epoch, wall_us, transaction) = bytes.required(head, COMMIT_RECORD, HEAD)?;
        Ok(Self { seq, epoch, wall_us, transaction, token, offsets, changes })
    }
}

fn decode_head(bytes: &mut Decoder<'_>) -> Result<(CommitSeq, Epoch, i64, u64), DecodeError> {
    let seq = CommitSeq::new(bytes.varint()?);
    let epoch = Epoch::new(bytes.varint_u32("epoch")?);
    let head = (seq, epoch, bytes.signed()?, bytes.varint()?);
    bytes.extensions("commit head")?;
    Ok(head)
}

fn decode_offset(bytes: &mut Decoder<'_>) -> Result<SourceOffset, DecodeError> {
    let offset = SourceOffset { source: bytes.text()?.to_owned(), position: bytes.bytes()?.to_vec() };
    bytes.extensions("source offset")?;
    Ok(offset)
}

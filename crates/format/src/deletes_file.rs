//! A file of dead rows: what manifests say of delete vectors beside what they hold themselves, so that a checkpoint writes what
//! died since the one before, and not every delete vector anew.
//!
//! An [`envelope`] whose body is sections 1, one for each unit: unit, and the dead rows as blob ([`crate::deletes`]). A manifest names such
//! files with their checksums. A row is dead when the manifest or one of its files says so: dead rows stay dead, so the order of the
//! files means nothing, and what a file says of units that the manifest does not have means nothing either.

use bytes::Bytes;
use outcrop_types::{Epoch, LogId, UnitId};

use crate::cursor::{Decoder, Encoder};
use crate::envelope::{self, Features, FileKind, Header};
use crate::error::DecodeError;
use crate::section::WhenUnknown;

/// What the first bytes of a file of dead rows say.
pub const DELETES_FILE_KIND: FileKind =
    FileKind { name: "file of dead rows", magic: *b"OUTCRDEL", version: 1, features: 0 };

const UNIT: u16 = 1;

/// Dead rows of some units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletesFile {
    /// The log.
    pub log_id: LogId,
    /// Reign of the writer.
    pub epoch: Epoch,
    /// Dead rows by unit, as blobs ([`crate::deletes`]); no unit twice.
    pub units: Vec<(UnitId, Bytes)>,
}

/// A file of dead rows, as a manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedDeletesFile {
    /// Its number: that of the manifest with which it was written.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// The checksum at its end.
    pub checksum: u64,
}

impl DeletesFile {
    /// Appends the whole file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let header = Header { log_id: self.log_id, epoch: self.epoch, features: Features::default() };
        envelope::seal(&DELETES_FILE_KIND, &header, out, |out| {
            for (unit, blob) in &self.units {
                out.put_section(UNIT, WhenUnknown::Refuse, |out| {
                    out.put_varint(unit.get());
                    out.put_bytes(blob);
                });
            }
        });
    }

    /// Reads a whole file. The blobs are not looked into.
    ///
    /// # Errors
    /// Those of [`envelope::open`]; any [`crate::DecodeProblem`] of the body.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (Header { log_id, epoch, .. }, mut body) = envelope::open(&DELETES_FILE_KIND, bytes)?;
        let mut units = Vec::new();
        while let Some(mut section) = body.section()? {
            if section.tag == UNIT {
                let unit = UnitId::new(section.payload.varint()?);
                units.push((unit, Bytes::copy_from_slice(section.payload.bytes()?)));
                section.payload.extensions("dead rows of a unit")?;
            } else {
                section.unknown(DELETES_FILE_KIND.name)?;
            }
        }
        Ok(Self { log_id, epoch, units })
    }
}

impl NamedDeletesFile {
    /// Names the file with these bytes, as [`DeletesFile::encode`] made them.
    pub fn of(number: u64, bytes: &[u8]) -> Self {
        Self { number, bytes: bytes.len() as u64, checksum: envelope::checksum(bytes).unwrap_or_default() }
    }

    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        let Self { number, bytes, checksum } = self;
        out.put_varint(*number);
        out.put_varint(*bytes);
        out.put_u64(*checksum);
    }

    pub(crate) fn decode(bytes: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let file = Self { number: bytes.varint()?, bytes: bytes.varint()?, checksum: bytes.u64()? };
        bytes.extensions("file of dead rows of a manifest")?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests;

//! Victims of a staged commit that are too many for its record.
//!
//! The file is an envelope ([`outcrop_format::envelope`]) whose body is a count and that many addresses, sorted: unit as
//! the difference from the one before, and row, as the difference within a unit.

use outcrop_env::Env;
use outcrop_format::cursor::{Decoder, Encoder};
use outcrop_format::envelope::{self, Features, FileKind, Header};
use outcrop_format::record::Victims;
use outcrop_format::{DecodeError, DecodeProblem};
use outcrop_types::{Epoch, Error, LogId, Result, RowAddress, RowOrdinal, UnitId};

use super::row_set::RowSet;
use crate::commit::VICTIM_BYTES;
use crate::files::{file_name, read_file, write_file};
use crate::node::{Node, STAGED_DIR};
use crate::recovery::Identity;
use crate::rewrite::is_harmless;

/// Victims as the record names them: in it when they are few, or on a full disk fit into what the log keeps for deletes;
/// else in a file.
pub(super) fn store_victims(node: &Node, victims: &RowSet) -> Result<Victims> {
    if victims.len() <= INLINE_MAX {
        return Ok(Victims::Inline(victims.iter().collect()));
    }
    let name = file_name(STAGED_DIR, &format!("{}-{}.victims", node.log_id, node.ids.unit().get()))?;
    let bytes = encode(node.log_id, victims);
    if let Err(error) = write_file(&node.env, &name, &bytes) {
        // The space of the log that is kept for deletes is there when there is no other (W9).
        let most = node.space.reserve_bytes() / VICTIM_BYTES;
        return match error {
            error if !is_harmless(&error) => Err(error),
            _ if victims.len() <= most => Ok(Victims::Inline(victims.iter().collect())),
            error => Err(error.with_hint(format!("Free space on the disk, or delete at most {most} rows at a time."))),
        };
    }
    Ok(Victims::File { name: name.as_str().to_owned(), count: victims.len(), crc32c: crc32c::crc32c(&bytes) })
}

/// Reads a victims file that a record names.
///
/// # Errors
/// `DataCorrupted` when it is not the file that the record means; `IoError`.
pub(crate) fn read_victims(
    env: &Env,
    identity: &Identity,
    name: &str,
    count: u64,
    crc: u32,
) -> Result<Vec<RowAddress>> {
    let name = file_name("", name)?;
    let path = env.disk.describe(&name);
    let bytes = read_file(env, &name)?;
    if crc32c::crc32c(&bytes) != crc {
        return Err(Error::corrupt(path, 0, "checksum differs from the one in the log"));
    }
    let (header, body) = envelope::open(&VICTIMS_KIND, &bytes).map_err(|error| error.in_file(&path, 0))?;
    let victims = decode(body).map_err(|error| error.in_file(&path, 0))?;
    if !identity.descends_from(header.log_id) || victims.len() as u64 != count {
        return Err(Error::corrupt(path, 0, "it is not the file that the log names"));
    }
    Ok(victims)
}

fn encode(log_id: LogId, victims: &RowSet) -> Vec<u8> {
    let header = Header { log_id, epoch: Epoch::default(), features: Features::default() };
    let mut bytes = Vec::new();
    envelope::seal(&VICTIMS_KIND, &header, &mut bytes, |out: &mut Encoder<'_>| {
        out.put_varint(victims.len());
        let (mut unit, mut row) = (0, 0);
        for victim in victims.iter() {
            let next = victim.unit.get();
            out.put_varint(next - unit);
            if next != unit {
                row = 0;
            }
            out.put_varint(u64::from(victim.row.get() - row));
            (unit, row) = (next, victim.row.get());
        }
    });
    bytes
}

fn decode(mut body: Decoder<'_>) -> std::result::Result<Vec<RowAddress>, DecodeError> {
    let count = body.count("victims", 2)?;
    let mut victims = Vec::with_capacity(count);
    let (mut unit, mut row) = (0_u64, 0_u64);
    for _ in 0..count {
        let step = body.varint()?;
        unit = unit.saturating_add(step);
        row = if step > 0 { body.varint()? } else { row.saturating_add(body.varint()?) };
        let number = u32::try_from(row)
            .map_err(|_too_large| body.error(DecodeProblem::Inconsistent("row of an address out of range")))?;
        victims.push(RowAddress::new(UnitId::new(unit), RowOrdinal::new(number)));
    }
    body.finish()?;
    Ok(victims)
}

const VICTIMS_KIND: FileKind = FileKind { name: "victims file", magic: *b"OUTCRVIC", version: 1, features: 0 };

/// Victims that a record holds itself.
const INLINE_MAX: u64 = 16_384;

#[cfg(test)]
mod tests;

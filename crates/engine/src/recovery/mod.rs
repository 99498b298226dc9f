//! From a directory to a running node: identity, manifest, replay, indexes, leftovers. All of it is read and makes sense
//! before the first byte is written.
//!
//! Replay starts at the checkpoint of the newest valid manifest and follows W1: of records up to the checkpoint only rows
//! and victims of generations that were not flushed then are applied, later records in full. Rows of a generation whose
//! install lies further on are applied like all others and leave memory again at the install, so replay never holds more
//! rows than the running node did. Records that only the older of the two kept manifests needs are asked for the files that
//! they name, so that these stay. No key is looked up. Key runs are opened, not read; at the end the keys of rows in memory
//! are entered in the index, and a run that is missing or damaged is built anew from its segment.

mod identity;
mod leftovers;
mod open;
mod progress;
mod replay;

pub(crate) use identity::{Identity, sealed_text};
pub(crate) use leftovers::{Claimed, find_leftovers};
pub(crate) use open::{Chosen, RESTORING, Start, choose, holds_units, lock, open, refuse_others, replay};
pub(crate) use replay::{Replayed, decode_deletes};

//! Checkpoints: the manifest from which recovery starts, and what a newer one makes needless.
//!
//! A manifest is built from a published version, so everything in it is durable, and gets its name only when it is
//! complete. The newest valid one wins; two are kept, so that a damaged one can be replaced by the one before and the log.
//! Therefore files and log go by what the *older* of the two needs, and by what a backup needs that is being taken. Delete vectors
//! are not in every manifest anew ([`deletes`]).

mod build;
mod checkpoints;
mod deletes;
mod holds;
mod retire;
mod store;

pub(crate) use checkpoints::{Checkpoints, Kept};
pub(crate) use deletes::{deletes_file_name, is_deletes_file, read_deletes};
pub(crate) use holds::Holds;
pub(crate) use retire::{remove_segment_files, remove_staged_file};
pub(crate) use store::{StoredManifest, list_manifests, publish_manifest, read_manifest};

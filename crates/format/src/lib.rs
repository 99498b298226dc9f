//! Bytes on disk: commit records, manifests, segment metadata, row batches, delete vectors, keys, key runs and log frames.
//!
//! # What it is not
//! It opens no file, reads no clock and keeps no state: every encoder appends to a `Vec<u8>`, every decoder borrows a
//! slice. Data files are standard Vortex files, which only `outcrop-segment` knows.
//!
//! # Flow
//! ```text
//! RecordBatch ─▶ batch ─┐
//! victims, DDL, installs ┴▶ record ─▶ frame ─▶ log file
//! table schemas, shards ─▶ manifest ─┐
//! columns, pages, zones ─▶ meta ─────┼▶ envelope ─▶ file
//! key columns ─▶ key ─▶ key_run ─────┘
//!                   all of them on: section ─▶ cursor
//! ```
//!
//! # Invariants
//! - B1. Little-endian always; the same value always encodes to the same bytes.
//! - B2. No input makes a decoder panic, and none makes it allocate more than a constant times the input's length, plus
//!   what columns of the caller's own schema take that the input does not hold.
//! - B3. A decoder that meets something it must understand and does not refuses it by name; what may be skipped is
//!   skipped.
//! - B4. A file's checksum is verified before any other byte of it is believed.
//! - B5. A format change adds a version and a golden file (`tests/formats/`); it never edits one.
//!
//! # Start reading at
//! [`cursor`] and [`section`], then [`record`].

pub mod batch;
pub mod cursor;
pub mod deletes;
pub mod deletes_file;
pub mod envelope;
pub mod error;
pub mod feed;
pub mod frame;
pub mod key;
pub mod key_run;
pub mod manifest;
pub mod meta;
pub mod record;
pub mod schema;
pub mod section;
pub mod value;

pub use batch::{BatchDecoder, decode_batch, encode_batch};
pub use deletes_file::{DeletesFile, NamedDeletesFile};
pub use error::{DecodeError, DecodeProblem, EncodeError};
pub use key::{KeyCodec, KeyError, KeyHash, KeyWidth};
pub use manifest::Manifest;
pub use meta::SegmentMeta;
pub use record::CommitRecord;

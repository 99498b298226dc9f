//! Columns in Vortex files: the only place that knows Vortex.
//!
//! Writing streams batches through Vortex's own pipeline into a [`writer::ColumnWriter`]; reading drives one layout
//! reader per column with a mask of ours ([`reader::ColumnReader`], architecture S4). Neither starts a thread: Vortex's
//! tasks run on the thread that waits for them ([`executor`]).

mod executor;
mod failure;
mod filter;
mod reader;
mod sink;
mod source;
mod types;
mod writer;

pub(crate) use filter::{conjuncts, single_column};
pub(crate) use reader::{ColumnReader, ReadSession, Selection, Wanted};
pub(crate) use writer::{ColumnWriter, Layout, SEQ_NAME};

#[cfg(test)]
pub(crate) use types::to_file;

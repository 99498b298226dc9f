//! Writing the columns of a segment as one Vortex file.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::ArrayRef;
use arrow_schema::{DataType as ArrowType, Field};
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use outcrop_env::File;
use outcrop_types::{Column, DataType, Error, Result};
use parking_lot::Mutex;
use vortex::VortexSessionDefault;
use vortex::array::arrays::StructArray;
use vortex::array::stream::ArrayStreamAdapter;
use vortex::array::validity::Validity;
use vortex::array::{ArrayRef as VortexArray, IntoArray};
use vortex::arrow::ArrowSessionExt;
use vortex::dtype::{DType, FieldName, FieldNames};
use vortex::error::{VortexError, VortexResult, vortex_err};
use vortex::file::{WriteOptionsSessionExt, WriteStrategyBuilder, WriteSummary};
use vortex::io::session::RuntimeSessionExt;
use vortex::layout::BufferedBytesTracker;
use vortex::session::VortexSession;
use vortex_btrblocks::schemes::string::{FSSTScheme, OnPairScheme};
use vortex_btrblocks::{BtrBlocksCompressorBuilder, SchemeExt as _};

use super::executor::{LocalExecutor, poll_boxed};
use super::failure::encoding;
use super::sink::{PageSink, WriteFailure};
use super::types::{file_field, to_file};
use crate::failure::io_error;
use crate::writer::{Compression, RowSeqs};

/// Name of the hidden column that holds each row's insert `CommitSeq` (F4).
pub(crate) const SEQ_NAME: &str = "__seq";

/// Key of the file's metadata segment that tells a foreign reader what the columns are: a line each of id, name and SQL
/// type, tab-separated. We never read it.
const COLUMNS_KEY: &str = "outcrop.columns";

/// How Vortex lays the file out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Rows of a block, the granule of zone maps.
    pub(crate) block_rows: u32,
    /// Uncompressed bytes that a chunk of a column aims at; the smallest unit that can be read.
    pub(crate) chunk_bytes: u64,
    pub(crate) compression: Compression,
}

/// A Vortex file that is being written. Batches pass through Vortex's pipeline, which holds what it needs to fill chunks
/// and dictionaries; finished chunks go to the file at once.
pub(crate) struct ColumnWriter {
    path: String,
    types: Vec<DataType>,
    fields: Vec<Field>,
    executor: LocalExecutor,
    batches: mpsc::Sender<VortexResult<VortexArray>>,
    summary: BoxFuture<'static, VortexResult<WriteSummary>>,
    sink: PageSink,
    buffered: BufferedBytesTracker,
    /// Goes last: the next writer may take it.
    session: WriteSession,
}

/// Vortex's registries with the executor of one writer. Filling them takes longer than a small file, so the next writer gets them.
struct WriteSession(VortexSession);

static IDLE: Mutex<Vec<VortexSession>> = Mutex::new(Vec::new());
/// More writers than this at once are rare.
const IDLE_MAX: usize = 4;

impl WriteSession {
    fn new(executor: &LocalExecutor) -> Self {
        let idle = IDLE.lock().pop();
        let session = idle.unwrap_or_else(<VortexSession as VortexSessionDefault>::default);
        Self(session.with_handle(executor.handle()))
    }
}

impl Drop for WriteSession {
    fn drop(&mut self) {
        let mut idle = IDLE.lock();
        if idle.len() < IDLE_MAX {
            idle.push(self.0.clone());
        }
    }
}

/// What a finished file is.
pub(crate) struct WrittenFile {
    pub(crate) length: u64,
    pub(crate) page_checksums: Vec<u32>,
}

impl ColumnWriter {
    /// Starts a file with these columns, and the hidden one if it is wanted. `path` is for messages.
    pub(crate) fn new(
        file: Arc<dyn File>,
        path: String,
        columns: &[Column],
        row_seqs: RowSeqs,
        layout: Layout,
    ) -> Result<Self> {
        let fields = file_fields(columns, row_seqs);
        let executor = LocalExecutor::new();
        let own = WriteSession::new(&executor);
        let WriteSession(session) = &own;
        let sink = PageSink::new(file);
        let (batches, received) = mpsc::channel(0);
        let started = encoding(&path, || {
            let dtype = session.arrow().from_arrow_fields(&fields.iter().cloned().collect())?;
            let dtype = DType::Struct(dtype, vortex::dtype::Nullability::NonNullable);
            let compressor = BtrBlocksCompressorBuilder::from_session(session);
            let strategy = WriteStrategyBuilder::from_session(session)
                .with_btrblocks_builder(match layout.compression {
                    Compression::Thorough => compressor,
                    Compression::Quick => compressor.exclude_schemes([FSSTScheme.id(), OnPairScheme.id()]),
                })
                .with_row_block_size(usize::try_from(layout.block_rows)?)
                .with_data_block_target_bytes(Some(layout.chunk_bytes))
                .build();
            // The default editions are the newest frozen ones, and the writer enforces them (S4). File-level statistics
            // are ours, in the meta file.
            let options = session
                .write_options()
                .with_strategy(strategy)
                .with_file_statistics(Vec::new())
                .with_metadata_segment(COLUMNS_KEY, describe(columns).into_bytes());
            let buffered = options.buffered_bytes_tracker();
            let stream = ArrayStreamAdapter::new(dtype, received.boxed());
            let summary = options.write(sink.clone(), stream).boxed();
            Ok((buffered, summary))
        });
        let (buffered, summary) = started?;
        let types = columns.iter().map(|column| column.data_type.clone()).collect();
        Ok(Self { path, types, fields, executor, batches, summary, sink, buffered, session: own })
    }

    /// Adds rows: the columns in the order of [`ColumnWriter::new`], and the hidden one if the file has it.
    pub(crate) fn write(&mut self, columns: &[ArrayRef], seqs: Option<ArrayRef>, rows: usize) -> Result<()> {
        let columns = columns.iter().zip(&self.types).map(|(array, data_type)| to_file(array, data_type));
        let mut arrays = columns.collect::<Result<Vec<_>>>()?;
        arrays.extend(seqs);
        let chunk = encoding(&self.path, || {
            let columns = arrays.into_iter().zip(&self.fields);
            let columns: Vec<_> = columns
                .map(|(array, field)| self.session.0.arrow().from_arrow_array(array, field))
                .collect::<VortexResult<_>>()?;
            let names: FieldNames = self.fields.iter().map(|field| FieldName::from(field.name().as_str())).collect();
            Ok(StructArray::try_new(names, columns, rows, Validity::NonNullable)?.into_array())
        })?;
        let mut chunk = Some(Ok(chunk));
        let (batches, summary) = (&mut self.batches, &mut self.summary);
        drive(&mut self.executor, &self.sink, &self.path, |context| {
            // The pipeline comes first: it makes room, and it says when it failed.
            if let Poll::Ready(ended) = poll_boxed(summary, context) {
                return Poll::Ready(Err(ended_early(ended)));
            }
            match batches.poll_ready(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if chunk.take().is_some_and(|chunk| batches.start_send(chunk).is_ok()) => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(_) => {}
            }
            Poll::Ready(Err(vortex_err!("the writer stopped taking input")))
        })?;
        self.settle()
    }

    /// Lets the pipeline do all that it can with what it has, so that only unfilled chunks wait in it.
    fn settle(&mut self) -> Result<()> {
        let (executor, summary) = (&mut self.executor, &mut self.summary);
        let outcome = encoding(&self.path, || match executor.settle(|context| poll_boxed(summary, context)) {
            Some(ended) => Err(ended_early(ended)),
            None => Ok(()),
        });
        outcome.map_err(|error| explained(&self.sink, &self.path, error))
    }

    /// Bytes written and bytes waiting in the pipeline.
    pub(crate) fn bytes(&self) -> u64 {
        self.sink.length() + self.buffered.buffered_bytes()
    }

    /// Writes what is left and the footer. The file is not synced.
    pub(crate) fn finish(mut self) -> Result<WrittenFile> {
        self.batches.close_channel();
        let summary = &mut self.summary;
        let summary = drive(&mut self.executor, &self.sink, &self.path, |context| poll_boxed(summary, context))?;
        let (length, page_checksums) = self.sink.finish().map_err(|failure| write_error(&self.path, failure))?;
        if summary.size() != length {
            return Err(Error::internal(format!("{} has {length} bytes, not {}", self.path, summary.size())));
        }
        Ok(WrittenFile { length, page_checksums })
    }
}

/// Runs the pipeline until `poll` is ready. A failed write is reported as itself, not as what Vortex made of it.
fn drive<T>(
    executor: &mut LocalExecutor,
    sink: &PageSink,
    path: &str,
    poll: impl FnMut(&mut Context<'_>) -> Poll<VortexResult<T>>,
) -> Result<T> {
    let outcome = encoding(path, || executor.run(poll).unwrap_or_else(|stalled| Err(vortex_err!("{stalled}"))));
    outcome.map_err(|error| explained(sink, path, error))
}

fn explained(sink: &PageSink, path: &str, error: Error) -> Error {
    match sink.take_failure() {
        Some(failure) => write_error(path, failure),
        None => error,
    }
}

fn ended_early(ended: VortexResult<WriteSummary>) -> VortexError {
    ended.err().unwrap_or_else(|| vortex_err!("the writer ended before its input"))
}

fn write_error(path: &str, failure: WriteFailure) -> Error {
    io_error(&format!("write {} bytes at {} of", failure.length, failure.offset), path, failure.error)
}

fn describe(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("{}\t{}\t{}\n", column.id.get(), column.name, column.data_type)).collect()
}

/// The fields of the file: the columns by their present names, for tools that read the file without us, and the hidden
/// one. We find columns by position. A name that occurs twice, or is that of the hidden column, gets its id appended.
fn file_fields(columns: &[Column], row_seqs: RowSeqs) -> Vec<Field> {
    let mut taken = HashSet::from([SEQ_NAME.to_owned()]);
    let mut fields: Vec<Field> = columns
        .iter()
        .map(|column| {
            let mut name = column.name.clone();
            while !taken.insert(name.clone()) {
                name = format!("{name}#{}", column.id.get());
            }
            file_field(&name, &column.data_type, column.nullable)
        })
        .collect();
    match row_seqs {
        RowSeqs::Stored => fields.push(Field::new(SEQ_NAME, ArrowType::UInt64, false)),
        RowSeqs::OfOneCommit => {}
    }
    fields
}

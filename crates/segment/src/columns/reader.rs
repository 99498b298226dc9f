//! Reading columns of a Vortex file with a mask of ours (architecture S4).

use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, LazyLock, OnceLock};

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType as ArrowType, Field};
use futures::future::try_join_all;
use outcrop_types::{DataType, Error, Predicate, Result};
use vortex::VortexSessionDefault;
use vortex::array::expr::BoundExpression;
use vortex::array::{MaskFuture, VortexSessionExecute};
use vortex::arrow::ArrowSessionExt;
use vortex::buffer::{BitBuffer, ByteBuffer, ByteBufferMut};
use vortex::error::{VortexResult, vortex_bail, vortex_err};
use vortex::file::{DeserializeStep, EOF_SIZE, Footer, MAX_POSTSCRIPT_SIZE};
use vortex::layout::layouts::struct_::Struct;
use vortex::layout::segments::SegmentSource;
use vortex::layout::{LayoutReaderRef, LayoutRef};
use vortex::mask::Mask;
use vortex::session::VortexSession;

use super::executor::wait;
use super::failure::{decoding, into_vortex};
use super::source::PageSource;
use super::types::{file_field, from_file};
use super::{filter, writer};
use crate::pages::PagedFile;

/// Vortex's registries, for reading: the same for all files of the process, because filling them takes longer than opening one.
#[derive(Clone)]
pub(crate) struct ReadSession(VortexSession);

impl Default for ReadSession {
    fn default() -> Self {
        // No runtime handle: evaluating a layout spawns nothing.
        static REGISTRIES: LazyLock<VortexSession> = LazyLock::new(<VortexSession as VortexSessionDefault>::default);
        Self(REGISTRIES.clone())
    }
}

/// The columns of one data file, its footer decoded.
pub(crate) struct ColumnReader {
    path: Arc<str>,
    session: VortexSession,
    source: Arc<dyn SegmentSource>,
    columns: Vec<FileColumn>,
}

struct FileColumn {
    layout: LayoutRef,
    /// The whole column: bound once, because Vortex remembers what it evaluated by the identity of the expression.
    whole: BoundExpression,
    reader: OnceLock<LayoutReaderRef>,
}

/// A column to read: its position in the file, and what it should become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Position in the file.
    pub(crate) position: usize,
    /// Type in the table; `None` for the hidden column.
    pub(crate) data_type: Option<&'a DataType>,
}

/// Which rows of a range to read.
#[derive(Clone)]
pub(crate) struct Selection(Mask);

impl Selection {
    /// All of `rows` rows.
    pub(crate) fn all(rows: usize) -> Self {
        Self(Mask::new_true(rows))
    }

    /// The rows that are set.
    pub(crate) fn from_mask(mask: &BooleanBuffer) -> Self {
        Self(Mask::from_buffer(BitBuffer::from(mask.clone())))
    }

    /// The rows at these ascending, distinct indices.
    pub(crate) fn from_indices(rows: usize, indices: impl IntoIterator<Item = usize>) -> Self {
        Self(Mask::from_indices(rows, indices))
    }

    /// Only rows that also lie in one of `ranges`, which are ascending and disjoint.
    pub(crate) fn within(&self, ranges: impl IntoIterator<Item = Range<usize>>) -> Self {
        let ranges = ranges.into_iter().map(|range| (range.start, range.end)).collect();
        Self(&self.0 & &Mask::from_slices(self.0.len(), ranges))
    }

    /// How many rows are selected.
    pub(crate) fn count(&self) -> usize {
        self.0.true_count()
    }

    /// Whether no row is selected.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.all_false()
    }

    /// The selected rows.
    pub(crate) fn to_mask(&self) -> BooleanBuffer {
        self.0.to_bit_buffer().into()
    }
}

impl ColumnReader {
    /// Reads the footer of a file that should have as many columns as `columns` allows, of `rows` rows.
    pub(crate) fn open(
        file: PagedFile,
        session: &ReadSession,
        columns: RangeInclusive<usize>,
        rows: u64,
    ) -> Result<Self> {
        let ReadSession(session) = session.clone();
        let path = Arc::clone(file.path());
        let file = Arc::new(file);
        let (footer, columns) = decoding(&path, || {
            let footer = read_footer(&file, &session)?;
            let columns = file_columns(&footer, &columns, rows)?;
            Ok((footer, columns))
        })?;
        let source = PageSource::new(Arc::clone(&file), Arc::clone(footer.segment_map()));
        Ok(Self { path, session, source: Arc::new(source), columns })
    }

    /// Whether the file has a column at this position.
    pub(crate) fn has(&self, position: usize) -> bool {
        position < self.columns.len()
    }

    /// The selected rows of `rows`, one array per wanted column.
    pub(crate) fn project(
        &self,
        wanted: &[Wanted<'_>],
        rows: &Range<u64>,
        selection: &Selection,
    ) -> Result<Vec<ArrayRef>> {
        let arrays = decoding(&self.path, || {
            let evaluations = wanted
                .iter()
                .map(|wanted| {
                    let column = self.column(wanted.position)?;
                    let mask = MaskFuture::ready(selection.0.clone());
                    self.reader(column)?.projection_evaluation(rows, &column.whole, mask)
                })
                .collect::<VortexResult<Vec<_>>>()?;
            let arrays = wait(try_join_all(evaluations))?;
            let mut context = self.session.create_execution_ctx();
            arrays
                .into_iter()
                .zip(wanted)
                .map(|(array, wanted)| {
                    let field = wanted.file_field(array.dtype().is_nullable());
                    self.session.arrow().execute_arrow(array, Some(&field), &mut context)
                })
                .collect::<VortexResult<Vec<_>>>()
        })?;
        let expected = selection.count();
        if arrays.iter().any(|array| array.len() != expected) {
            return Err(Error::internal(format!("a column of {} has not the {expected} rows asked for", self.path)));
        }
        arrays
            .into_iter()
            .zip(wanted)
            .map(|(array, wanted)| match wanted.data_type {
                Some(data_type) => from_file(&array, data_type),
                None => Ok(array),
            })
            .collect()
    }

    /// `selection` without rows for which `predicate`, which reads this one column, is not true. Where Vortex cannot
    /// tell exactly, nothing is taken away.
    pub(crate) fn filter(
        &self,
        wanted: Wanted<'_>,
        predicate: &Predicate,
        rows: &Range<u64>,
        selection: &Selection,
    ) -> Result<Selection> {
        let mask = decoding(&self.path, || {
            let column = self.column(wanted.position)?;
            let bound =
                wanted.data_type.and_then(|data_type| filter::bind(predicate, data_type, column.layout.dtype()));
            let Some(bound) = bound else { return Ok(selection.0.clone()) };
            // A reader of its own: readers remember results per expression for as long as they live, and predicates
            // with ever new constants would fill the memory.
            let reader = self.new_reader(column)?;
            wait(reader.filter_evaluation(rows, &bound, MaskFuture::ready(selection.0.clone()))?)
        })?;
        Ok(Selection(mask))
    }

    fn column(&self, position: usize) -> VortexResult<&FileColumn> {
        self.columns.get(position).ok_or_else(|| vortex_err!("there is no column {position}"))
    }

    fn reader<'a>(&self, column: &'a FileColumn) -> VortexResult<&'a LayoutReaderRef> {
        if let Some(reader) = column.reader.get() {
            return Ok(reader);
        }
        let reader = self.new_reader(column)?;
        Ok(column.reader.get_or_init(|| reader))
    }

    fn new_reader(&self, column: &FileColumn) -> VortexResult<LayoutReaderRef> {
        let context = Default::default();
        column.layout.new_reader(Arc::clone(&self.path), Arc::clone(&self.source), &self.session, &context)
    }
}

impl Wanted<'_> {
    fn file_field(&self, nullable: bool) -> Field {
        match self.data_type {
            Some(data_type) => file_field("", data_type, nullable),
            None => Field::new(writer::SEQ_NAME, ArrowType::UInt64, nullable),
        }
    }
}

/// Decodes the footer: first from the end of the file, then with as much more as it asks for.
fn read_footer(file: &PagedFile, session: &VortexSession) -> VortexResult<Footer> {
    let tail = file.length().min(u64::from(MAX_POSTSCRIPT_SIZE) + u64::try_from(EOF_SIZE)?);
    let start = file.length() - tail;
    let mut deserializer = Footer::deserializer(read_bytes(file, start, usize::try_from(tail)?)?, session.clone())
        .with_size(file.length());
    loop {
        match deserializer.deserialize()? {
            DeserializeStep::Done(footer) => return Ok(footer),
            DeserializeStep::NeedMoreData { offset, len } => deserializer.prefix_data(read_bytes(file, offset, len)?),
            DeserializeStep::NeedFileSize => vortex_bail!("the footer asks for the size of the file again"),
        }
    }
}

fn read_bytes(file: &PagedFile, offset: u64, length: usize) -> VortexResult<ByteBuffer> {
    if u64::try_from(length)? > file.length() {
        vortex_bail!("{length} bytes of a file of {}", file.length());
    }
    let mut bytes = ByteBufferMut::zeroed(length);
    file.read(offset, &mut bytes).map_err(into_vortex)?;
    Ok(bytes.freeze())
}

/// The columns of the file: children of a struct without NULLs, whose field `i` is in slot `i + 1`.
fn file_columns(footer: &Footer, expected: &RangeInclusive<usize>, rows: u64) -> VortexResult<Vec<FileColumn>> {
    let layout = footer.layout();
    let columns = layout.nslots().saturating_sub(1);
    if !layout.is::<Struct>() || layout.dtype().is_nullable() || !expected.contains(&columns) {
        vortex_bail!("the file does not hold {} columns but {}", expected.start(), layout.dtype());
    }
    if layout.row_count() != rows {
        vortex_bail!("the file has {} rows, its meta file says {rows}", layout.row_count());
    }
    (1..=columns)
        .map(|slot| {
            let layout = layout.slot(slot)?.ok_or_else(|| vortex_err!("the column in slot {slot} is missing"))?;
            let whole = BoundExpression::new_root(layout.dtype().clone());
            Ok(FileColumn { layout, whole, reader: OnceLock::new() })
        })
        .collect()
}

//! Few chunks out of many commits, and no memory kept for rows that are not there.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, UInt32Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType as ArrowType};
use arrow_select::take::take;
use imbl::Vector;
use outcrop_types::{Error, Result};

use super::Chunk;

/// Chunks of one size class, or smaller, at the end of a generation before they are merged.
pub(super) const FAN_IN: usize = 8;
/// A merge stops growing a chunk here: the number of rows that a scan handles at a time.
pub(super) const CHUNK_ROWS: u32 = 8_192;
/// A chunk with as many rows is never merged again.
const FULL_ROWS: u32 = CHUNK_ROWS / 2;
/// A chunk with as many bytes is never merged again.
const FULL_BYTES: u64 = 4 << 20;

/// Bytes of a view.
const VIEW_BYTES: usize = size_of::<u128>();

/// Merges chunks at the end of the list, as many as are due after one more was added.
///
/// Size classes are powers of [`FAN_IN`]. When the run of chunks at the end that are of a class or smaller has reached
/// [`FAN_IN`] of them, or enough rows for a full chunk, it becomes one. A row is so copied once for each class that it
/// passes, four times at most, and at most seven chunks of each class stay behind. `bytes` is what the chunks hold.
pub(super) fn coalesce(chunks: &mut Vector<Arc<Chunk>>, bytes: &mut u64) -> Result<()> {
    while let Some(last) = chunks.last().filter(|last| !is_full(last)) {
        let class = class_of(last.len());
        let run: Vec<Arc<Chunk>> = chunks
            .iter()
            .rev()
            .take_while(|chunk| !is_full(chunk) && class_of(chunk.len()) <= class)
            .map(Arc::clone)
            .collect();
        let rows: u32 = run.iter().map(|chunk| chunk.len()).sum();
        if run.len() < 2 || (run.len() < FAN_IN && rows < CHUNK_ROWS) {
            return Ok(());
        }
        let run: Vec<Arc<Chunk>> = run.into_iter().rev().collect();
        let merged = Chunk::merged(&run)?;
        chunks.truncate(chunks.len() - run.len());
        *bytes -= run.iter().map(|chunk| chunk.bytes()).sum::<u64>();
        *bytes += merged.bytes();
        chunks.push_back(Arc::new(merged));
    }
    Ok(())
}

/// One array with the values of several, in memory of its own.
pub(super) fn concat(arrays: &[&ArrayRef]) -> Result<ArrayRef> {
    let parts: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
    let array = arrow_select::concat::concat(&parts).map_err(unexpected)?;
    compact(&array)
}

/// The same values in memory of their own.
pub(super) fn copy(array: &ArrayRef) -> Result<ArrayRef> {
    let all: UInt32Array = (0..u32::try_from(array.len()).unwrap_or(u32::MAX)).collect();
    compact(&take(array, &all, None).map_err(unexpected)?)
}

/// Bytes that an array keeps in memory beyond what its values need.
pub(super) fn wasted_bytes(array: &ArrayRef) -> usize {
    array.get_array_memory_size().saturating_sub(used_bytes(array).saturating_mul(2))
}

fn used_bytes(array: &ArrayRef) -> usize {
    if let Some(views) = array.as_string_view_opt() {
        VIEW_BYTES * views.len() + views.total_buffer_bytes_used()
    } else if let Some(views) = array.as_binary_view_opt() {
        VIEW_BYTES * views.len() + views.total_buffer_bytes_used()
    } else if let Some(list) = array.as_list_opt::<i32>() {
        size_of::<i32>() * list.len() + used_bytes(&used_items(list))
    } else {
        array.to_data().get_slice_memory_size().unwrap_or_else(|_unknown_layout| array.get_array_memory_size())
    }
}

/// Views point into the buffers of the arrays that they were concatenated or taken from, however many and however empty
/// those are by now; this gives them one buffer with what they need.
fn compact(array: &ArrayRef) -> Result<ArrayRef> {
    if let Some(views) = array.as_string_view_opt() {
        Ok(Arc::new(views.gc()))
    } else if let Some(views) = array.as_binary_view_opt() {
        Ok(Arc::new(views.gc()))
    } else if let (ArrowType::List(item), Some(list)) = (array.data_type(), array.as_list_opt::<i32>()) {
        let items = compact(&used_items(list))?;
        let offsets = OffsetBuffer::from_lengths(list.offsets().lengths());
        let list = ListArray::try_new(Arc::clone(item), offsets, items, list.nulls().cloned());
        Ok(Arc::new(list.map_err(unexpected)?))
    } else {
        Ok(Arc::clone(array))
    }
}

/// The items that the lists of an array refer to.
fn used_items(list: &ListArray) -> ArrayRef {
    let place = |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or_default();
    let (start, end) = (place(list.offsets().first()), place(list.offsets().last()));
    list.values().slice(start, end - start)
}

fn is_full(chunk: &Chunk) -> bool {
    chunk.len() >= FULL_ROWS || chunk.bytes() >= FULL_BYTES
}

/// The power of eight that the number of rows reaches.
fn class_of(rows: u32) -> u32 {
    rows.max(1).ilog2() / FAN_IN.ilog2()
}

fn unexpected(error: ArrowError) -> Error {
    Error::internal("rows of a memtable do not fit together").with_source(error)
}

//! Vortex's segments out of checked pages.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::ready;
use vortex::array::buffer::BufferHandle;
use vortex::buffer::ByteBufferMut;
use vortex::error::{VortexResult, vortex_err};
use vortex::file::SegmentSpec;
use vortex::layout::segments::{SegmentFuture, SegmentId, SegmentSource};

use super::failure::into_vortex;
use crate::pages::PagedFile;

/// Answers Vortex's requests at once: the read is done when the request is polled, on the thread that polls.
pub(super) struct PageSource {
    file: Arc<PagedFile>,
    segments: Arc<[SegmentSpec]>,
}

impl PageSource {
    pub(super) fn new(file: Arc<PagedFile>, segments: Arc<[SegmentSpec]>) -> Self {
        Self { file, segments }
    }
}

impl SegmentSource for PageSource {
    fn request(&self, id: SegmentId) -> SegmentFuture {
        let spec = usize::try_from(*id).ok().and_then(|index| self.segments.get(index)).copied();
        let Some(spec) = spec else {
            return ready(Err(vortex_err!("{id} is not in the footer"))).boxed();
        };
        let file = Arc::clone(&self.file);
        async move { read_segment(&file, &spec) }.boxed()
    }
}

fn read_segment(file: &PagedFile, spec: &SegmentSpec) -> VortexResult<BufferHandle> {
    // The footer is from checked pages, but a length is still tested before memory is taken for it.
    if u64::from(spec.length) > file.length() {
        return Err(vortex_err!("a segment of {} bytes in a file of {}", spec.length, file.length()));
    }
    let mut bytes = ByteBufferMut::zeroed_aligned(usize::try_from(spec.length)?, spec.alignment);
    file.read(spec.offset, &mut bytes).map_err(into_vortex)?;
    Ok(BufferHandle::new_host(bytes.freeze()))
}

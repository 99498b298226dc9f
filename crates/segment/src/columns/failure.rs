//! Errors and panics of Vortex as errors of ours.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind};

use outcrop_types::{Condition, Error, Result};
use vortex::error::{VortexError, VortexResult};

use crate::pages::PageError;

/// Runs a call into Vortex that reads `file`, whose bytes were checked.
pub(super) fn decoding<T>(file: &str, call: impl FnOnce() -> VortexResult<T>) -> Result<T> {
    guarded(file, call)?.map_err(|error| from_vortex(file, error))
}

/// Runs a call into Vortex that writes `file`.
pub(super) fn encoding<T>(file: &str, call: impl FnOnce() -> VortexResult<T>) -> Result<T> {
    guarded(file, call)?.map_err(|error| Error::internal(format!("cannot encode {file}: {error}")).with_source(error))
}

/// Runs a call into Vortex. Its panic becomes an error: the bytes are what we wrote, so it is a bug in Vortex or in us,
/// and other statements should not die of it.
fn guarded<T>(file: &str, call: impl FnOnce() -> VortexResult<T>) -> Result<VortexResult<T>> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|panic| Error::internal(format!("the column format failed on {file}: {}", panic_text(&*panic))))
}

/// The page error that a Vortex error carries, or else: checked bytes that Vortex does not understand.
fn from_vortex(file: &str, error: VortexError) -> Error {
    match find_page_error(&error) {
        Some(page) => page.clone().into(),
        None => Error::new(Condition::DataCorrupted, format!("{file} cannot be decoded: {error}"))
            .with_detail("The bytes are those that were written, so a version or an encoding is not what was expected.")
            .with_source(error),
    }
}

/// Wraps a page error for its way through Vortex.
pub(super) fn into_vortex(error: PageError) -> VortexError {
    VortexError::External(Box::new(error), Box::new(Backtrace::disabled()))
}

fn find_page_error(error: &VortexError) -> Option<&PageError> {
    if let VortexError::External(external, _) = error {
        return external.downcast_ref();
    }
    if let VortexError::Context(_, inner) = error {
        return find_page_error(inner);
    }
    if let VortexError::Shared(inner) = error {
        return find_page_error(inner);
    }
    None
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown panic")
}

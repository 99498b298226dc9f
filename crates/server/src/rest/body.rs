//! Request bodies: read whole, below a limit for each, a limit for all, and a limit of time.
//!
//! Memory is taken as bytes arrive, never by the length that a client states. The first MiB of each body comes from a part
//! of the memory that larger bodies cannot use up, so that a few large or slow ones do not keep small requests out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Failure, FailureType, Result};
use super::service::RestServices;

/// Memory that bodies may take at once, in permits of a KiB.
#[derive(Debug)]
pub(super) struct BodyMemory {
    /// For the first bytes of each body.
    small: Arc<Semaphore>,
    /// For all that is beyond.
    large: Arc<Semaphore>,
}

/// A body, and its share of the memory for bodies.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _share: Share,
}

/// Limits of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) bytes_max: usize,
    /// From the head of the request to the end of the body.
    pub(super) timeout: Duration,
    /// Between two pieces.
    pub(super) idle_timeout: Duration,
}

/// What every body may take of [`BodyMemory::small`].
const SMALL_BYTES: usize = 1 << 20;
/// Which part of the memory is for first bytes alone.
const SMALL_PART: usize = 4;
/// A buffer begins with so much, if the body is not shorter.
const BUFFER_BYTES_MIN: usize = 16 << 10;
const KIB: usize = 1 << 10;

impl BodyMemory {
    pub(super) fn new(bytes: u64) -> Self {
        let kib = usize::try_from(bytes >> 10).unwrap_or(usize::MAX).clamp(2, Semaphore::MAX_PERMITS);
        let small = (kib / SMALL_PART).max(1);
        Self { small: Arc::new(Semaphore::new(small)), large: Arc::new(Semaphore::new(kib - small)) }
    }

    /// KiB that nobody has, for first bytes and for what is beyond.
    #[cfg(test)]
    pub(super) fn free(&self) -> (usize, usize) {
        (self.small.available_permits(), self.large.available_permits())
    }
}

/// What a body has of the memory. Returned when it is dropped.
struct Share {
    bytes: usize,
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Takes what is missing for a buffer of `bytes`; `false` if there is too little.
    fn grow(&mut self, memory: &BodyMemory, bytes: usize) -> bool {
        let parts = |bytes: usize| (bytes.min(SMALL_BYTES), bytes.saturating_sub(SMALL_BYTES));
        let ((small, large), (small_held, large_held)) = (parts(bytes), parts(self.bytes));
        let is_there = take(&memory.small, &mut self.small, small_held, small)
            && take(&memory.large, &mut self.large, large_held, large);
        if is_there {
            self.bytes = bytes;
        }
        is_there
    }
}

fn take(from: &Arc<Semaphore>, held: &mut Option<OwnedSemaphorePermit>, had: usize, wanted: usize) -> bool {
    let missing = wanted.div_ceil(KIB).saturating_sub(had.div_ceil(KIB));
    let Ok(missing) = u32::try_from(missing) else { return false };
    if missing == 0 {
        return true;
    }
    let Ok(more) = Arc::clone(from).try_acquire_many_owned(missing) else { return false };
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    true
}

/// Reads the body of a request.
pub(super) async fn receive(services: &RestServices, request: Request) -> Result<Received> {
    let limits = BodyLimits {
        bytes_max: services.limits.body_bytes_max,
        timeout: services.limits.body_timeout,
        idle_timeout: services.limits.idle_timeout,
    };
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    read(request.into_body(), stated, limits, &services.body_memory).await
}

/// Reads a body of which `stated` bytes were announced, if any were.
pub(super) async fn read(
    body: Body,
    stated: Option<usize>,
    limits: BodyLimits,
    memory: &BodyMemory,
) -> Result<Received> {
    if stated.is_some_and(|stated| stated > limits.bytes_max) {
        return Err(too_large(limits.bytes_max));
    }
    let whole = collect(body, stated, limits, memory);
    tokio::time::timeout(limits.timeout, whole).await.map_err(|_elapsed| too_slow(limits.timeout))?
}

async fn collect(body: Body, stated: Option<usize>, limits: BodyLimits, memory: &BodyMemory) -> Result<Received> {
    let most = stated.unwrap_or(limits.bytes_max);
    let mut share = Share { bytes: 0, small: None, large: None };
    let mut buffer = Vec::new();
    let mut pieces = body.into_data_stream();
    loop {
        let next = tokio::time::timeout(limits.idle_timeout, pieces.next()).await;
        let Some(piece) = next.map_err(|_elapsed| too_slow(limits.idle_timeout))? else { break };
        let piece = piece.map_err(|_broken| Failure::invalid("the request body ended early"))?;
        let length = buffer.len() + piece.len();
        if length > limits.bytes_max {
            return Err(too_large(limits.bytes_max));
        }
        if length > share.bytes {
            // Twice as much as before, but no more than can come.
            let room = share.bytes.saturating_mul(2).max(BUFFER_BYTES_MIN).min(most).max(length);
            if !share.grow(memory, room) {
                return Err(no_memory());
            }
            buffer.reserve_exact(room - buffer.len());
        }
        buffer.extend_from_slice(&piece);
    }
    Ok(Received { bytes: buffer.into(), _share: share })
}

fn too_large(limit: usize) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        FailureType::ContentTooLarge,
        format!("the request body is larger than {limit} bytes"),
    )
    .with_hint("Send the documents in several requests, or load files with `outcrop load`.")
}

fn too_slow(limit: Duration) -> Failure {
    Failure::new(
        StatusCode::REQUEST_TIMEOUT,
        FailureType::InvalidInput,
        format!("the request body did not arrive within {} s", limit.as_secs_f64()),
    )
    .with_hint("Send the documents in several requests.")
}

fn no_memory() -> Failure {
    Failure::new(
        StatusCode::TOO_MANY_REQUESTS,
        FailureType::RateLimitExceeded,
        "too many large requests are being received",
    )
    .with_hint("Send the request again later, or send smaller ones.")
}

/// Reads a JSON body of a known shape. Members that are not known are ignored, as Rockset does.
pub(super) fn parse<'a, T: Deserialize<'a>>(received: &'a Received) -> Result<T> {
    let text = std::str::from_utf8(&received.bytes)
        .map_err(|error| Failure::invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    serde_json::from_str(text)
        .map_err(|error| Failure::invalid("the body is not a valid request").with_detail(format!("{error}.")))
}

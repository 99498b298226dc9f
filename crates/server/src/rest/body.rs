//! Request bodies: read whole, below a limit for each and a limit for all.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Failure, FailureType, Result};
use super::service::RestServices;

/// Memory that bodies may take at once, in KiB permits.
#[derive(Debug)]
pub(super) struct BodyMemory(Arc<Semaphore>);

/// A body, and its share of the memory for bodies.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl BodyMemory {
    pub(super) fn new(bytes: u64) -> Self {
        let kib = usize::try_from(bytes >> 10).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(kib.clamp(1, Semaphore::MAX_PERMITS))))
    }

    fn share(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(kib).map_err(|_all_taken| {
            Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                FailureType::RateLimitExceeded,
                "too many large requests are being received",
            )
            .with_hint("Send the request again later, or send smaller ones.")
        })
    }
}

/// Reads the body of a request.
pub(super) async fn receive(services: &RestServices, request: Request) -> Result<Received> {
    let limit = services.limits.body_bytes_max;
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|stated| stated > limit) {
        return Err(too_large(limit));
    }
    // A body of unknown length may become as long as the limit.
    let share = services.body_memory.share(stated.unwrap_or(limit))?;
    let bytes = read(request.into_body(), limit).await?;
    Ok(Received { bytes, _share: share })
}

async fn read(body: Body, limit: usize) -> Result<Bytes> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let is_too_large = std::error::Error::source(&error)
            .is_some_and(|source| source.to_string().contains("length limit exceeded"));
        if is_too_large { too_large(limit) } else { Failure::invalid("the request body ended early") }
    })
}

fn too_large(limit: usize) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        FailureType::ContentTooLarge,
        format!("the request body is larger than {limit} bytes"),
    )
    .with_hint("Send the documents in several requests, or load files with `outcrop load`.")
}

/// Reads a JSON body of a known shape. Members that are not known are ignored, as Rockset does.
pub(super) fn parse<'a, T: Deserialize<'a>>(received: &'a Received) -> Result<T> {
    let text = std::str::from_utf8(&received.bytes)
        .map_err(|error| Failure::invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    serde_json::from_str(text)
        .map_err(|error| Failure::invalid("the body is not a valid request").with_detail(format!("{error}.")))
}

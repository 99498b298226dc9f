//! Frames off a socket: a type byte, a length, a body.

use std::io;

use bytes::{Bytes, BytesMut};
use outcrop_types::{Condition, Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A message from the client, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type byte.
    pub kind: u8,
    /// What is in it.
    pub body: Bytes,
}

/// What a read came to.
#[derive(Debug)]
pub enum Incoming<T> {
    /// A message.
    Message(T),
    /// The client closed the connection, or it broke.
    Closed,
}

/// Reads frames. The buffer grows with a frame as it arrives, never by what its length claims.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    is_closed: bool,
}

/// What is read ahead while a statement runs. More stays in the socket, which slows the client down.
const READ_AHEAD_BYTES: usize = 64 << 10;
const LENGTH_BYTES: usize = 4;

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), is_closed: false }
    }

    /// The next frame.
    ///
    /// # Errors
    /// `ProtocolViolation` for a length below 4 or above `body_max`, before anything is allocated for it.
    ///
    /// # Cancel safety
    /// Bytes that were read stay in the buffer.
    pub async fn next(&mut self, body_max: usize) -> Result<Incoming<Frame>> {
        loop {
            if let Some(frame) = self.take_frame(body_max)? {
                return Ok(Incoming::Message(frame));
            }
            if !self.read_more().await {
                return Ok(Incoming::Closed);
            }
        }
    }

    /// A message without type byte, as connections begin with.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Bytes that were read stay in the buffer.
    pub async fn next_untyped(&mut self, body_max: usize) -> Result<Incoming<Bytes>> {
        loop {
            if let Some(length) = checked_length(&self.buffer, body_max)?
                && self.buffer.len() >= length
            {
                let message = self.buffer.split_to(length).freeze();
                return Ok(Incoming::Message(message.slice(LENGTH_BYTES..)));
            }
            if !self.read_more().await {
                return Ok(Incoming::Closed);
            }
        }
    }

    /// Ready when the client is gone. Reads ahead, up to a limit.
    ///
    /// # Cancel safety
    /// Bytes that were read stay in the buffer.
    pub async fn closed(&mut self) {
        while self.buffer.len() < READ_AHEAD_BYTES {
            if !self.read_more().await {
                return;
            }
        }
        // The client is there, it has sent more than we can take now.
        std::future::pending().await
    }

    /// Whether bytes wait that are not a message yet taken.
    pub fn is_drained(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The stream, for TLS to take over. Only when [`is_drained`](Self::is_drained).
    pub fn into_inner(self) -> R {
        self.stream
    }

    /// The stream, to answer before there are messages.
    pub fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    fn take_frame(&mut self, body_max: usize) -> Result<Option<Frame>> {
        let Some((kind, rest)) = self.buffer.split_first() else { return Ok(None) };
        let kind = *kind;
        let Some(length) = checked_length(rest, body_max)? else { return Ok(None) };
        if self.buffer.len() < length + 1 {
            return Ok(None);
        }
        let message = self.buffer.split_to(length + 1).freeze();
        Ok(Some(Frame { kind, body: message.slice(LENGTH_BYTES + 1..) }))
    }

    /// `false` if the connection is closed or broken: nobody is there to tell the difference.
    async fn read_more(&mut self) -> bool {
        if self.is_closed {
            return false;
        }
        if self.buffer.is_empty() {
            // What a large message took is not kept for the life of the connection.
            self.buffer = BytesMut::with_capacity(8 << 10);
        }
        let read: io::Result<usize> = self.stream.read_buf(&mut self.buffer).await;
        self.is_closed = !matches!(read, Ok(1..));
        !self.is_closed
    }
}

/// The length that a message states, itself included.
fn checked_length(bytes: &[u8], body_max: usize) -> Result<Option<usize>> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    match usize::try_from(length) {
        Ok(length) if (LENGTH_BYTES..=body_max.saturating_add(LENGTH_BYTES)).contains(&length) => Ok(Some(length)),
        Ok(_) | Err(_) => Err(Error::new(Condition::ProtocolViolation, format!("invalid message length {length}"))
            .with_detail(format!("A message may have {body_max} bytes."))),
    }
}

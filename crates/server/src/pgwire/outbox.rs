//! What goes to the client, collected and written in large pieces.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use outcrop_types::{Error, Result};
use pgwire::messages::Message;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Beyond this a running result is written to the socket.
pub(super) const FLUSH_BYTES: usize = 64 << 10;

/// Messages on their way.
#[derive(Debug)]
pub(super) struct Outbox<W> {
    stream: W,
    buffer: Vec<u8>,
    scratch: BytesMut,
    patience: Option<Duration>,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    pub(super) fn new(stream: W) -> Self {
        Self { stream, buffer: Vec::new(), scratch: BytesMut::new(), patience: None }
    }

    /// How long a [`flush`](Self::flush) may wait for a client that does not read; `None` is for ever.
    pub(super) fn with_patience(self, patience: Option<Duration>) -> Self {
        Self { patience, ..self }
    }

    /// Adds a message.
    ///
    /// # Errors
    /// `Internal` if it is longer than the protocol allows for its type.
    pub(super) fn put(&mut self, message: &impl Message) -> Result<()> {
        self.scratch.clear();
        message
            .encode(&mut self.scratch)
            .map_err(|source| Error::internal("a message to the client cannot be encoded").with_source(source))?;
        self.buffer.extend_from_slice(&self.scratch);
        Ok(())
    }

    /// Adds a message of type `kind` whose body `write` writes: rows and COPY data, without a detour.
    pub(super) fn put_raw(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[kind, 0, 0, 0, 0]);
        write(&mut self.buffer);
        // Rows are limited to 16 MiB, far below what the length can say.
        let length = i32::try_from(self.buffer.len() - at - 1).unwrap_or(i32::MAX);
        if let Some(place) = self.buffer.get_mut(at + 1..at + 5) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Whether it is time to [`flush`](Self::flush).
    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Flushes when it is time to. A client that asks for more than it reads waits here, and its further messages with it.
    ///
    /// # Cancel safety
    /// As [`flush`](Self::flush).
    pub(super) async fn relieve(&mut self) -> io::Result<()> {
        if self.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Writes everything to the socket. Waits while the client does not read, but not longer than its patience: what a result
    /// reads is kept as long as its client is waited for.
    ///
    /// # Errors
    /// Those of the socket; `TimedOut`, and then the stream may hold half a message.
    ///
    /// # Cancel safety
    /// None: after a drop the stream may hold half a message. Only a task that ends the connection drops it.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let Self { stream, buffer, patience, .. } = self;
        let write = async {
            if !buffer.is_empty() {
                stream.write_all(buffer).await?;
                buffer.clear();
                buffer.shrink_to(4 * FLUSH_BYTES);
            }
            stream.flush().await
        };
        let Some(patience) = patience else { return write.await };
        match tokio::time::timeout(*patience, write).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                // Its last words would wait as long.
                *patience = Duration::ZERO;
                tracing::info!("a client does not read its result, and its connection is closed");
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    /// Says goodbye to the socket.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }
}

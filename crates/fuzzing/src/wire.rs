//! What clients of the PostgreSQL protocol send.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use outcrop_types::Result;
use outcrop_wire::{FrameReader, Frontend, Incoming, Request, STARTUP_BYTES_MAX};
use tokio::io::{AsyncRead, ReadBuf};

/// First byte: how the rest is cut. The rest: a message without type, and then frames.
pub(crate) fn wire(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else { return };
    let whole = read(Pieces { bytes, length: bytes.len().max(1) });
    let pieces = read(Pieces { bytes, length: usize::from(*piece) + 1 });
    assert_eq!(whole, pieces, "M2: the same bytes in other pieces are other messages");
}

/// Every message until one has a wrong length, in words.
fn read(pieces: Pieces<'_>) -> Vec<String> {
    let mut reader = FrameReader::new(pieces);
    let mut found = Vec::new();
    match now(reader.next_untyped(STARTUP_BYTES_MAX)) {
        Ok(Incoming::Message(body)) => found.push(described(Request::parse(&body))),
        Ok(Incoming::Closed) => return found,
        Err(error) => {
            found.push(error.to_string());
            return found;
        }
    }
    loop {
        match now(reader.next(BODY_MAX)) {
            Ok(Incoming::Message(frame)) => found.push(described(Frontend::parse(&frame))),
            Ok(Incoming::Closed) => return found,
            Err(error) => {
                found.push(error.to_string());
                return found;
            }
        }
    }
}

fn described<T: std::fmt::Debug>(message: Result<T>) -> String {
    match message {
        Ok(message) => {
            let text = format!("{message:?}");
            assert!(!text.contains('\0'), "M3: a NUL in {text}");
            text
        }
        Err(error) => format!("{} {error}", error.condition().sqlstate()),
    }
}

/// The output of a future that never waits, because its bytes are there.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a read waits though all bytes are there"),
    }
}

/// Bytes that arrive so many at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    length: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.length.min(self.bytes.len()).min(into.remaining());
        let (piece, rest) = self.bytes.split_at(count);
        into.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

/// Longest body of a frame.
const BODY_MAX: usize = 1 << 16;

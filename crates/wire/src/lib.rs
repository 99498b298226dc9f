//! What PostgreSQL clients send: frames off a stream, and the messages in them.
//!
//! # What it is not
//! It answers nothing, keeps no session and opens no socket: `outcrop-server` does. What servers send are the messages of the
//! crate `pgwire`, whose decoder we do not use: it replaces broken UTF-8 silently and trusts lengths inside messages, and we
//! refuse both.
//!
//! # Flow
//! ```text
//! bytes ─▶ FrameReader ─┬▶ untyped message ─▶ Request (startup packet, encryption, cancel)
//!                       └▶ Frame ─▶ Frontend (Query, Parse, Bind, …)
//! ```
//!
//! # Invariants
//! - M1. No bytes make it panic, and none make it take memory by what a length claims.
//! - M2. How bytes are cut into pieces does not matter.
//! - M3. Every text that comes out is UTF-8 without NUL.
//!
//! # Start reading at
//! [`FrameReader`], then [`Frontend`].

mod frame;
mod frontend;
mod request;

pub use frame::{Frame, FrameReader, Incoming};
pub use frontend::{Bind, Format, Frontend, STATEMENT_BYTES_MAX, Target};
pub use request::{Encryption, MINOR_VERSION_MAX, Request, STARTUP_BYTES_MAX, Startup};

#[cfg(test)]
mod tests;

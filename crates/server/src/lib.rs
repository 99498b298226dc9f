//! The network side of Outcrop: the PostgreSQL protocol, REST, authentication, TLS, and the configuration.
//!
//! # What it is not
//! It knows no SQL and no storage: it turns messages into calls of `outcrop-query` and results into messages. It is the
//! only crate that binds a socket.
//!
//! # Flow
//! ```text
//! listener ─▶ connection task: startup ─▶ authentication ─▶ Session
//!   Query, Parse … Execute ─▶ Session ─▶ batches ─▶ rows of bytes (64 KiB pieces) ─▶ socket
//!   CopyData ─▶ ingest::copy ─▶ batches ─▶ CopyIn (waits while the engine is behind) ─▶ the socket is not read
//! HTTP ─▶ rest: guard (Host, Origin, API key) ─▶ queries, documents, collections ─▶ JSON as it is produced
//! CancelRequest ─▶ session::Registry ─▶ CancellationHandle
//! ```
//!
//! # Invariants
//! - N1. Nothing is allocated by a length that a client states; only by bytes that arrived, below a limit.
//! - N2. A result or a COPY is never whole in memory: at most a batch and a buffer of 64 KiB wait for the socket.
//! - N3. A client that goes away drops what it runs; what reached its commit stays committed.
//! - N4. After an error the client gets exactly one ErrorResponse, and one ReadyForQuery once it may go on.
//! - N5. Without authentication no socket beyond loopback is bound.
//! - N6. A password is never stored and never leaves the client: only SCRAM verifiers and hashes of API keys are kept.
//! - N7. Sockets never take the file descriptors that the engine needs: both listeners have limits, and half of what the
//!   process may open stays free of them.
//!
//! # Start reading at
//! [`Server`], then `pgwire/connection.rs`.

mod access;
pub mod auth;
pub mod config;
mod pgwire;
mod rest;
mod server;
mod session;
mod tls;

pub use auth::Authentication;
pub use config::{CheckedConfig, Config};
pub use server::{RunningServer, Server, ServerConfig};
pub use tls::Tls;

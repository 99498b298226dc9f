//! The PostgreSQL protocol, versions 3.0 and 3.2.
//!
//! The messages to clients are those of the crate `pgwire`. The messages from clients are read by `outcrop-wire`.
//!
//! A connection is one task: [`startup`] and [`authenticate`], then the loop of [`connection`], which hands messages to
//! [`simple`], [`extended`] and [`copy`]. While a statement runs, the loop watches the socket: a client that goes away
//! drops what it runs.

mod authenticate;
mod bind;
mod connection;
mod copy;
mod extended;
mod fields;
mod outbox;
mod portal;
mod rows;
mod shelf;
mod simple;
mod startup;
mod wire_type;

pub(crate) use connection::{Limits, Services, serve, turn_away};

#[cfg(test)]
mod tests;

//! The server over real sockets: tokio-postgres, psql, and bytes by hand.

mod auth;
mod copy;
mod extended;
mod fuzz;
mod lifecycle;
mod psql;
mod raw;
mod simple;
mod support;
mod types;

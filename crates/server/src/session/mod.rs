//! The connections of a server: how many there are, and how others reach one to cancel what it runs.

mod registry;
mod sockets;

pub(crate) use registry::{Registration, Registry, SecretKey};
pub(crate) use sockets::{ACCEPT_PAUSE, REFUSALS_MAX};

#[cfg(test)]
mod tests;

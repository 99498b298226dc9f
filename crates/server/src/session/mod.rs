//! The connections of a server: how many there are, and how others reach one to cancel what it runs.

mod registry;

pub(crate) use registry::{Registration, Registry, SecretKey};

#[cfg(test)]
mod tests;

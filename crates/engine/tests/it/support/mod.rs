//! What the tests share.

pub(crate) mod allocations;
pub(crate) mod callbacks;
mod statements;

pub(crate) use statements::*;

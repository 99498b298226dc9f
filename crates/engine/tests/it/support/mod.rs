//! What the tests share.

pub(crate) mod allocations;
pub(crate) mod callbacks;
pub(crate) mod follower;
mod statements;

pub(crate) use statements::*;

//! What the tests share.

pub(crate) mod allocations;
pub(crate) mod callbacks;
pub(crate) mod follower;
pub(crate) mod nested;
mod statements;

pub(crate) use statements::*;

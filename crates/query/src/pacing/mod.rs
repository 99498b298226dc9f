//! Fair turns on the query threads (architecture Q6).
//!
//! A scan gives its thread back with every batch. A join does not: from a few rows it makes millions, out of memory, and
//! without the nodes of this module it would keep its thread, deaf to cancellation, until it is done. [`rule`] puts a
//! [`node`] above every operator that multiplies rows and below the probe side of joins; both end a turn that has lasted
//! long enough, at which point a cancelled query is dropped and other queries run.

mod node;
mod rule;

pub(crate) use rule::FairTurns;

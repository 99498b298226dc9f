//! From units to segments that take their place: what flush and compaction have in common (W7).
//!
//! A [`RewriteJob`] reads the rows that are alive at a pinned version and streams them into an [`OutputWriter`], a few
//! thousand at a time, so its memory does not depend on the size of its inputs. In a table with a sort key it reads the keys
//! first and decides the order of all rows ([`order`]); then rows are read place by place ([`pass`]). A wide table is written
//! one group of columns after the other. The install is a record like any other: it is sequenced in the turn of the shard,
//! names inputs and outputs, and gives each output the rows that died since the pin. Addresses of the inputs are translated
//! by the row maps of [`crate::commit`] from then on. [`expire`] takes segments out with all that is in them.

mod fill;
mod install;
mod job;
mod order;
mod output;
mod pass;

pub use fill::{Fill, FillColumns};
pub(crate) use fill::{FilledUnit, FilledUnits};
pub(crate) use install::{Installed, expire};
pub(crate) use job::{JobStep, RewriteJob, is_harmless};
pub(crate) use order::{is_sortable, sort_key, sortable_rows};
pub(crate) use output::{Output, OutputWriter};

#[cfg(test)]
mod tests;

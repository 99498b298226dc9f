//! Skipping rows without reading them: zone maps, their construction and the proof that a block cannot match.
//!
//! A zone map holds *bounds* per block and column: every value of the block that is not NULL lies between `min` and
//! `max`. Bounds of long text and bytes are shortened, so they need not occur in the data; nothing may be answered from
//! them, they only exclude (architecture Q4).

mod zones;

pub(crate) use zones::{ZoneBuilder, merge_zones};

#[cfg(test)]
mod tests;

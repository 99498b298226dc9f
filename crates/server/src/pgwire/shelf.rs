//! Statements and portals that a session keeps by name, with what they weigh.

use std::collections::HashMap;

use outcrop_types::{Condition, Error, Result};

/// Things by name. The unnamed one weighs nothing: the next takes its place.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    /// `prepared statements`, `portals`
    what: &'static str,
    items_max: usize,
    items: HashMap<String, (T, usize)>,
    bytes: usize,
}

/// What a name, its entry and the thing itself take at least.
const ITEM_BYTES: usize = 1 << 10;

impl<T> Shelf<T> {
    pub(super) fn new(what: &'static str, items_max: usize) -> Self {
        Self { what, items_max, items: HashMap::new(), bytes: 0 }
    }

    /// What all that is kept weighs.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.items.get(name).map(|(item, _)| item)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.items.contains_key(name)
    }

    /// Keeps a thing that is estimated at `bytes`, if there are not too many and `room` bytes hold it.
    ///
    /// # Errors
    /// `ProgramLimitExceeded`; what was there stays.
    pub(super) fn insert(&mut self, name: String, item: T, bytes: usize, room: usize) -> Result<()> {
        if self.items.len() >= self.items_max && !self.items.contains_key(&name) {
            return Err(too_many(self.what, format!("A connection may have {}.", self.items_max)));
        }
        let bytes = if name.is_empty() { 0 } else { bytes.saturating_add(name.len()).saturating_add(ITEM_BYTES) };
        if bytes > room {
            let detail =
                format!("This one needs about {bytes} bytes, the session has {room} left (session_bytes_max).");
            return Err(too_many(self.what, detail));
        }
        self.remove(&name);
        self.bytes += bytes;
        self.items.insert(name, (item, bytes));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<T> {
        let (item, bytes) = self.items.remove(name)?;
        self.bytes -= bytes;
        Some(item)
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }
}

fn too_many(what: &str, detail: String) -> Error {
    Error::new(Condition::ProgramLimitExceeded, format!("too many {what}"))
        .with_detail(detail)
        .with_hint("Close what is no longer used.")
}

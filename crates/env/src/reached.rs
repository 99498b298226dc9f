//! Marks of rare branches: a test run that never comes to one is too tame, and says so.
//!
//! A mark costs nothing in a release build: it exists where debug assertions do. Counts belong to the thread, as a simulation does.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static COUNTS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Marks a place by name: `reached!("log.torn_end")`.
#[macro_export]
macro_rules! reached {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::reached::count($name);
    };
}

/// Counts one visit of this thread; called by [`reached!`].
pub fn count(name: &'static str) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(name).or_default() += 1);
}

/// How often this thread came to each mark since the last call.
pub fn take() -> BTreeMap<&'static str, u64> {
    COUNTS.take()
}

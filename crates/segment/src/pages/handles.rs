//! Open files of the operating system, of which there are few.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use outcrop_env::{File, is_out_of_handles};
use parking_lot::Mutex;

use super::cache::FileNumber;

/// The files that are open at the moment: at most so many, the one that was used longest ago is closed for a new one. A read
/// in progress keeps its file open beyond that.
#[derive(Debug)]
pub(super) struct OpenFiles {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    files: HashMap<FileNumber, (Arc<dyn File>, u64)>,
    /// By their last use.
    order: BTreeMap<u64, FileNumber>,
    uses: u64,
}

impl OpenFiles {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), open: Mutex::default() }
    }

    /// The file, opened by `open` if it is not open.
    pub(super) fn get(
        &self,
        number: FileNumber,
        open: impl Fn() -> io::Result<Arc<dyn File>>,
    ) -> io::Result<Arc<dyn File>> {
        let known = self.open.lock().touch(number);
        if let Some(file) = known {
            return Ok(file);
        }
        // Without the lock: two may open one file, and one of them is closed again.
        let file = match open() {
            Err(error) if is_out_of_handles(&error) => {
                // Others took them all. Ours can be opened again at any time.
                drop(std::mem::take(&mut *self.open.lock()));
                open()?
            }
            outcome => outcome?,
        };
        let closed = self.open.lock().insert(number, &file, self.max);
        drop(closed);
        Ok(file)
    }

    /// Closes a file.
    pub(super) fn close(&self, number: FileNumber) {
        let closed = self.open.lock().remove(number);
        drop(closed);
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.lock().files.len()
    }
}

impl Open {
    fn touch(&mut self, number: FileNumber) -> Option<Arc<dyn File>> {
        let (file, used) = self.files.get_mut(&number)?;
        self.uses += 1;
        self.order.remove(used);
        self.order.insert(self.uses, number);
        *used = self.uses;
        Some(Arc::clone(file))
    }

    /// Returns those that must be closed, for the caller to do it without the lock.
    fn insert(&mut self, number: FileNumber, file: &Arc<dyn File>, max: usize) -> Vec<Arc<dyn File>> {
        self.uses += 1;
        let mut closed: Vec<Arc<dyn File>> = self.remove(number).into_iter().collect();
        self.files.insert(number, (Arc::clone(file), self.uses));
        self.order.insert(self.uses, number);
        while self.files.len() > max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            closed.extend(self.files.remove(&oldest).map(|(file, _)| file));
        }
        closed
    }

    fn remove(&mut self, number: FileNumber) -> Option<Arc<dyn File>> {
        let (file, used) = self.files.remove(&number)?;
        self.order.remove(&used);
        Some(file)
    }
}

//! What the disk was asked to do, and which of it fails.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

/// Kinds of disk operations, as faults and traces name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperationClass {
    /// A new file, also the file of a lock.
    Create,
    /// Opening an existing file.
    Open,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Changing a length.
    SetLen,
    /// Writing zeros ahead.
    ZeroFill,
    /// Syncing a file, also as the first part of a publication.
    Sync,
    /// Syncing a directory, also as the last part of a publication.
    SyncDir,
    /// Removing a name.
    Remove,
    /// The renaming within a publication.
    Rename,
    /// Listing a directory.
    List,
}

impl OperationClass {
    /// True when the operation changes what a crash may leave.
    pub fn changes_disk(self) -> bool {
        match self {
            Self::Create
            | Self::Write
            | Self::SetLen
            | Self::ZeroFill
            | Self::Sync
            | Self::SyncDir
            | Self::Remove
            | Self::Rename => true,
            Self::Open | Self::Read | Self::List => false,
        }
    }
}

/// What the failing operation reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// `EIO`: the device failed.
    Io,
    /// `ENOSPC`: no space left.
    StorageFull,
    /// `EMFILE`: too many open files.
    OutOfHandles,
    /// `EINTR`: a signal came.
    Interrupted,
}

impl FaultKind {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::from_raw_os_error(libc::EIO),
            Self::StorageFull => io::Error::from_raw_os_error(libc::ENOSPC),
            Self::OutOfHandles => io::Error::from_raw_os_error(libc::EMFILE),
            Self::Interrupted => io::Error::from_raw_os_error(libc::EINTR),
        }
    }
}

/// One entry of the trace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What was asked.
    pub class: OperationClass,
    /// The file or directory.
    pub name: String,
    /// First byte, where it has a meaning.
    pub offset: u64,
    /// Bytes, where they have a meaning.
    pub len: u64,
    /// What the simulator made of it.
    pub fault: Option<FaultKind>,
}

/// Which operations will fail.
#[derive(Debug, Default)]
pub(super) struct FaultPlan {
    faults: Vec<Fault>,
}

#[derive(Debug)]
struct Fault {
    /// Of which operations; `None` is any.
    class: Option<OperationClass>,
    /// Operations of the class that still succeed before.
    after: u64,
    kind: FaultKind,
    repeats: bool,
}

impl FaultPlan {
    pub(super) fn add(&mut self, class: Option<OperationClass>, after: u64, kind: FaultKind, repeats: bool) {
        self.faults.push(Fault { class, after, kind, repeats });
    }

    pub(super) fn clear(&mut self) {
        self.faults.clear();
    }

    /// Counts one operation; says whether it fails.
    pub(super) fn check(&mut self, class: OperationClass) -> Option<FaultKind> {
        let mut hit = None;
        self.faults.retain_mut(|fault| {
            if fault.class.is_some_and(|wanted| wanted != class) {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            hit = hit.or(Some(fault.kind));
            fault.repeats
        });
        hit
    }
}

/// The operations so far: a hash of all of them, and the newest ones themselves.
#[derive(Debug, Default)]
pub(super) struct Trace {
    operations: Vec<Operation>,
    hash: u64,
    count: u64,
}

impl Trace {
    pub(super) fn push(&mut self, operation: Operation) {
        let mut hasher = DefaultHasher::new();
        self.hash.hash(&mut hasher);
        operation.hash(&mut hasher);
        self.hash = hasher.finish();
        self.count += 1;
        if self.operations.len() >= TRACE_OPERATIONS_MAX {
            self.operations.drain(..TRACE_OPERATIONS_MAX / 2);
        }
        self.operations.push(operation);
    }

    pub(super) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// How many operations the trace keeps at most; the hash covers all of them.
const TRACE_OPERATIONS_MAX: usize = 1 << 18;

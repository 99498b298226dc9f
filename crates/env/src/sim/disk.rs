//! The simulated disk and its open files.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::SimClock;
use super::faults::{FaultKind, FaultPlan, Operation, OperationClass, Trace};
use super::image::{DiskState, InodeId};
use super::moment::Moment;
use super::rng::SimRng;
use crate::disk::{DirEntry, DirLock, Disk, File, FileName, check_dir};

/// What all handles of one simulated machine share.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) state: DiskState,
    pub(super) faults: FaultPlan,
    pub(super) trace: Trace,
    /// Bytes that all files together may have.
    pub(super) capacity: Option<usize>,
    /// Files that are open, and how many may be.
    pub(super) handles: usize,
    pub(super) handles_max: Option<usize>,
    /// Counts the operations that change the disk.
    pub(super) changes: u64,
    /// The power fails when `changes` reaches it.
    pub(super) power_off_at: Option<u64>,
    /// The disk before each change since the recording began.
    pub(super) moments: Option<Vec<Moment>>,
    /// How long each sync takes.
    pub(super) sync_time: Duration,
    /// Counts starts; handles of an earlier one are dead.
    pub(super) incarnation: u64,
    pub(super) locks: BTreeSet<FileName>,
    pub(super) rng: SimRng,
}

impl Machine {
    pub(super) fn new(state: DiskState, rng: SimRng) -> Self {
        Self {
            state,
            faults: FaultPlan::default(),
            trace: Trace::default(),
            capacity: None,
            handles: 0,
            handles_max: None,
            changes: 0,
            power_off_at: None,
            moments: None,
            sync_time: Duration::ZERO,
            incarnation: 0,
            locks: BTreeSet::new(),
            rng,
        }
    }

    /// Starts an operation: refuses it after a power cut, writes it down, and says which fault it meets.
    fn begin(&mut self, incarnation: u64, operation: Operation) -> io::Result<Option<FaultKind>> {
        let power_is_off = self.power_off_at.is_some_and(|at| self.changes >= at);
        if incarnation != self.incarnation || power_is_off {
            return Err(FaultKind::Io.error());
        }
        if operation.class.changes_disk() {
            if let Some(moments) = &mut self.moments {
                moments.push(Moment::new(self.changes, &self.state));
            }
            self.changes += 1;
        }
        let fault = self.faults.check(operation.class);
        self.trace.push(Operation { fault, ..operation });
        Ok(fault)
    }

    /// Refuses to open `more` files than there may be.
    fn check_handles(&self, more: usize) -> io::Result<()> {
        match self.handles_max {
            Some(max) if self.handles + more > max => Err(FaultKind::OutOfHandles.error()),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes as much as capacity and `fault` let through.
    fn write(&mut self, inode: InodeId, offset: usize, bytes: &[u8], fault: Option<FaultKind>) -> io::Result<()> {
        let mut allowed = bytes.len();
        let mut outcome = Ok(());
        if let Some(capacity) = self.capacity {
            let len = self.state.len(inode);
            let room = capacity.saturating_sub(self.state.used()) + len;
            if offset + bytes.len() > room.max(len) {
                allowed = room.saturating_sub(offset).min(bytes.len());
                outcome = Err(FaultKind::StorageFull.error());
            }
        }
        if let Some(fault) = fault {
            allowed = self.rng.below(allowed + 1);
            outcome = Err(fault.error());
        }
        if let Some(written) = bytes.get(..allowed)
            && !written.is_empty()
        {
            self.state.write(inode, offset, written);
        }
        outcome
    }

    fn sync(&mut self, inode: InodeId, fault: Option<FaultKind>) -> io::Result<()> {
        match fault {
            Some(fault) => {
                let rng = &self.rng;
                self.state.sync_badly(inode, || rng.chance(50));
                Err(fault.error())
            }
            None => {
                self.state.sync(inode);
                Ok(())
            }
        }
    }

    fn sync_dir(&mut self, dir: &str, fault: Option<FaultKind>) -> io::Result<()> {
        match fault {
            Some(fault) => {
                let rng = &self.rng;
                self.state.sync_dir_badly(dir, || rng.chance(50));
                Err(fault.error())
            }
            None if self.state.has_dir(dir) => {
                self.state.sync_dir(dir);
                Ok(())
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The disk of one incarnation of the machine.
#[derive(Debug)]
pub(super) struct SimDisk {
    machine: Arc<Mutex<Machine>>,
    clock: Arc<SimClock>,
    incarnation: u64,
}

impl SimDisk {
    pub(super) fn new(machine: Arc<Mutex<Machine>>, clock: Arc<SimClock>) -> Self {
        let incarnation = machine.lock().incarnation;
        Self { machine, clock, incarnation }
    }

    /// Runs `body` as one operation on the whole disk; a fault keeps it from having any effect.
    fn operate<T>(
        &self,
        class: OperationClass,
        name: &str,
        body: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut machine = self.machine.lock();
        match machine.begin(self.incarnation, operation(class, name, 0, 0))? {
            Some(fault) => Err(fault.error()),
            None => body(&mut machine),
        }
    }

    fn open_as(&self, name: &FileName, access: Access) -> io::Result<Arc<dyn File>> {
        let inode = self.operate(OperationClass::Open, name.as_str(), |machine| {
            machine.check_handles(1)?;
            machine.state.find(name)
        })?;
        Ok(self.file(name, inode, access))
    }

    fn file(&self, name: &FileName, inode: InodeId, access: Access) -> Arc<dyn File> {
        let (machine, incarnation) = (Arc::clone(&self.machine), self.incarnation);
        machine.lock().handles += 1;
        let clock = Arc::clone(&self.clock);
        Arc::new(SimFile { machine, clock, incarnation, name: name.clone(), inode, access })
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        let inode = self.operate(OperationClass::Create, name.as_str(), |machine| {
            machine.check_handles(1)?;
            machine.state.create(name)
        })?;
        Ok(self.file(name, inode, Access::ReadWrite))
    }

    fn open(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.open_as(name, Access::ReadWrite)
    }

    fn open_read(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.open_as(name, Access::Read)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        check_dir(dir)?;
        let files = self.operate(OperationClass::List, dir, |machine| Ok(machine.state.list(dir)))?;
        Ok(files.into_iter().map(|(name, len)| DirEntry { name, len: len as u64 }).collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        check_dir(dir)?;
        self.operate(OperationClass::Create, dir, |machine| {
            machine.state.create_dir(dir);
            Ok(())
        })
    }

    fn remove(&self, name: &FileName) -> io::Result<()> {
        self.operate(OperationClass::Remove, name.as_str(), |machine| machine.state.remove(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        check_dir(dir)?;
        let mut machine = self.machine.lock();
        let fault = machine.begin(self.incarnation, operation(OperationClass::SyncDir, dir, 0, 0))?;
        machine.check_handles(1)?;
        self.clock.advance(machine.sync_time);
        machine.sync_dir(dir, fault)
    }

    fn publish(&self, temporary: &FileName, name: &FileName) -> io::Result<()> {
        // Three operations under three locks: a power cut or a fault may come between them, as on a real disk.
        let inode = {
            let mut machine = self.machine.lock();
            machine.check_handles(3)?;
            let inode = machine.state.find(temporary)?;
            let fault = machine.begin(self.incarnation, operation(OperationClass::Sync, temporary.as_str(), 0, 0))?;
            self.clock.advance(machine.sync_time);
            machine.sync(inode, fault)?;
            inode
        };
        self.operate(OperationClass::Rename, name.as_str(), |machine| {
            debug_assert_eq!(machine.state.find(temporary).ok(), Some(inode), "renamed while it was published");
            machine.state.rename(temporary, name)
        })?;
        self.sync_dir(name.dir())?;
        if temporary.dir() == name.dir() { Ok(()) } else { self.sync_dir(temporary.dir()) }
    }

    fn lock(&self, name: &FileName) -> io::Result<Box<dyn DirLock>> {
        self.operate(OperationClass::Create, name.as_str(), |machine| {
            if machine.locks.contains(name) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let inode = machine.state.find(name).or_else(|_missing| machine.state.create(name))?;
            machine.state.set_len(inode, 0);
            machine.state.write(inode, 0, b"1\n");
            machine.locks.insert(name.clone());
            Ok(())
        })?;
        let (machine, incarnation) = (Arc::clone(&self.machine), self.incarnation);
        Ok(Box::new(SimLock { machine, incarnation, name: name.clone() }))
    }

    fn describe(&self, name: &FileName) -> String {
        format!("/sim/{name}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    ReadWrite,
}

#[derive(Debug)]
struct SimFile {
    machine: Arc<Mutex<Machine>>,
    clock: Arc<SimClock>,
    incarnation: u64,
    name: FileName,
    inode: InodeId,
    access: Access,
}

impl SimFile {
    fn begin(
        &self,
        machine: &mut Machine,
        class: OperationClass,
        offset: u64,
        len: usize,
    ) -> io::Result<Option<FaultKind>> {
        let writes = matches!(class, OperationClass::Write | OperationClass::SetLen | OperationClass::ZeroFill);
        if writes && self.access == Access::Read {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        machine.begin(self.incarnation, operation(class, self.name.as_str(), offset, len as u64))
    }
}

impl File for SimFile {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut machine = self.machine.lock();
        match self.begin(&mut machine, OperationClass::Read, offset, bytes.len())? {
            Some(fault) => Err(fault.error()),
            None if bytes.is_empty() => Ok(()),
            None => machine.state.read(self.inode, index(offset)?, bytes),
        }
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut machine = self.machine.lock();
        let fault = self.begin(&mut machine, OperationClass::Write, offset, bytes.len())?;
        machine.write(self.inode, index(offset)?, bytes, fault)
    }

    fn len(&self) -> io::Result<u64> {
        let machine = self.machine.lock();
        if self.incarnation == machine.incarnation {
            Ok(machine.state.len(self.inode) as u64)
        } else {
            Err(FaultKind::Io.error())
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut machine = self.machine.lock();
        if let Some(fault) = self.begin(&mut machine, OperationClass::SetLen, len, 0)? {
            return Err(fault.error());
        }
        machine.state.set_len(self.inode, index(len)?);
        Ok(())
    }

    fn zero_fill(&self, from: u64, to: u64) -> io::Result<()> {
        if to <= from {
            return Ok(());
        }
        let zeros = vec![0; index(to - from)?];
        let mut machine = self.machine.lock();
        let fault = self.begin(&mut machine, OperationClass::ZeroFill, from, zeros.len())?;
        machine.write(self.inode, index(from)?, &zeros, fault)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut machine = self.machine.lock();
        let fault = self.begin(&mut machine, OperationClass::Sync, 0, 0)?;
        self.clock.advance(machine.sync_time);
        machine.sync(self.inode, fault)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut machine = self.machine.lock();
        if self.incarnation == machine.incarnation {
            machine.handles -= 1;
        }
    }
}

#[derive(Debug)]
struct SimLock {
    machine: Arc<Mutex<Machine>>,
    incarnation: u64,
    name: FileName,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut machine = self.machine.lock();
        if self.incarnation == machine.incarnation {
            machine.locks.remove(&self.name);
        }
    }
}

fn operation(class: OperationClass, name: &str, offset: u64, len: u64) -> Operation {
    Operation { class, name: name.to_owned(), offset, len, fault: None }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

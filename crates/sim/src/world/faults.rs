//! What goes wrong in a life, and which errors it explains.

use std::time::Duration;

use outcrop_env::{FaultKind, FileName, OperationClass, Sim};
use outcrop_types::{Condition, Error};

use crate::draw::Draw;

/// A kind of trouble. A life has at most two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultClass {
    /// One call of the disk fails with `EIO` or `EINTR`; a write may have happened in part.
    Io,
    /// The disk is full for a while.
    Space,
    /// Files cannot be opened for a while.
    Handles,
    /// Syncs take seconds.
    SlowSync,
    /// Bits of a stored file flip, and later flip back.
    Rot,
    /// A worker dies.
    KilledTask,
    /// The power fails in the middle of something.
    Power,
    /// The wall clock leaps.
    Clock,
}

impl FaultClass {
    pub(super) const ALL: &'static [Self] =
        &[Self::Io, Self::Space, Self::Handles, Self::SlowSync, Self::Rot, Self::KilledTask, Self::Power, Self::Clock];
}

/// The trouble of the moment.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The machine or the process may be broken until the next restart.
    broken: bool,
    full: bool,
    few_handles: bool,
    slow: bool,
    rot: Option<Rot>,
}

#[derive(Debug)]
struct Rot {
    file: FileName,
    sound: Vec<u8>,
    rotten: Vec<u8>,
}

/// What an error means for the life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was applied; everything goes on.
    Refused,
    /// Only a restart goes on from here.
    Stopped,
}

impl Trouble {
    /// Whether what is wrong now explains the error.
    ///
    /// # Panics
    /// If it does not: then it is a bug (M3).
    pub(super) fn judge(&self, what: &str, error: &Error) -> Verdict {
        let condition = error.condition();
        match condition {
            Condition::IoError | Condition::Poisoned | Condition::AdminShutdown if self.broken => Verdict::Stopped,
            Condition::DiskFull if self.full => Verdict::Refused,
            Condition::InsufficientResources if self.few_handles => Verdict::Refused,
            Condition::WriteStalled if self.slow || self.full || self.few_handles => Verdict::Refused,
            Condition::DataCorrupted if self.names_rot(error) => Verdict::Refused,
            _ => {
                let source = std::error::Error::source(error).map(ToString::to_string);
                panic!("{what}: {condition:?}: {error} {:?} {source:?}; trouble: {self:?}", error.detail())
            }
        }
    }

    fn names_rot(&self, error: &Error) -> bool {
        let text = format!("{error} {:?}", error.detail());
        self.rot.as_ref().is_some_and(|rot| text.contains(rot.file.as_str()))
    }

    /// Lets something of this class happen soon. Says whether it could.
    pub(super) fn strike(&mut self, class: FaultClass, sim: &Sim, draw: &mut Draw) -> bool {
        match class {
            FaultClass::Io => self.fail_a_call(sim, draw),
            FaultClass::Space => {
                self.full = true;
                sim.set_capacity(Some(sim.used() + draw.below(60_000)));
            }
            FaultClass::Handles => {
                self.few_handles = true;
                let more = usize::try_from(draw.below(4)).unwrap_or(0);
                sim.set_handles_max(Some(sim.handles() + more));
            }
            FaultClass::SlowSync => {
                self.slow = true;
                sim.set_sync_time(Duration::from_millis(200 + draw.below(5_000)));
            }
            FaultClass::Rot => return self.rot(sim, draw),
            FaultClass::KilledTask => {
                let tasks = sim.tasks();
                if tasks.is_empty() {
                    return false;
                }
                self.broken = sim.kill_task(draw.pick(&tasks)) || self.broken;
            }
            FaultClass::Power => {
                self.broken = true;
                sim.power_off_after(sim.changes() + draw.below(60));
            }
            FaultClass::Clock => {
                let leaps = [-86_400, -3_600, -1, 1, 3_600, 86_400];
                sim.jump_wall_us(draw.pick(&leaps) * 1_000_000);
            }
        }
        true
    }

    fn fail_a_call(&mut self, sim: &Sim, draw: &mut Draw) {
        self.broken = true;
        let kind = if draw.chance(70) { FaultKind::Io } else { FaultKind::Interrupted };
        let after = draw.below(40);
        let classes = [
            OperationClass::Write,
            OperationClass::Sync,
            OperationClass::SyncDir,
            OperationClass::Rename,
            OperationClass::Create,
            OperationClass::Remove,
            OperationClass::Read,
            OperationClass::Open,
        ];
        if draw.chance(50) {
            sim.fail_any_once(after, kind);
        } else {
            sim.fail_once(draw.pick(&classes), after % 6, kind);
        }
    }

    fn rot(&mut self, sim: &Sim, draw: &mut Draw) -> bool {
        let image = sim.image();
        // Of the two manifests one may rot.
        let mut manifests = image.files.iter().filter(|(name, _)| name.dir() == "manifest");
        let newest = manifests.rfind(|(name, _)| name.as_str().ends_with(".manifest"));
        let segments = image.files.iter().filter(|(name, _)| name.dir() == "segments");
        let files: Vec<_> = segments.chain(newest).filter(|(_, bytes)| !bytes.is_empty()).collect();
        if self.rot.is_some() || files.is_empty() {
            return false;
        }
        let (file, sound) = draw.pick(&files);
        let mut rotten = sound.clone();
        for _ in 0..draw.pick(&[1, 1, 8]) {
            let at = usize::try_from(draw.below(rotten.len() as u64)).unwrap_or(0);
            rotten[at] ^= 1 << draw.below(8);
        }
        let is_there = sim.corrupt(file, |bytes| bytes.clone_from(&rotten)).is_ok();
        self.rot = Some(Rot { file: file.clone(), sound: sound.clone(), rotten });
        is_there
    }

    /// Everything that lasts is over; what is broken stays so until the restart.
    pub(super) fn lift(&mut self, sim: &Sim) {
        sim.set_capacity(None);
        sim.set_handles_max(None);
        sim.set_sync_time(Duration::ZERO);
    }

    /// What was lifted explains nothing any more.
    pub(super) fn forget(&mut self) {
        (self.full, self.few_handles, self.slow) = (false, false, false);
    }

    /// The bit flips back, unless the file was written anew.
    pub(super) fn heal_rot(&mut self, sim: &Sim) -> bool {
        let Some(Rot { file, sound, rotten }) = self.rot.take() else { return false };
        // Removed since, perhaps.
        drop(sim.corrupt(&file, |bytes| {
            if *bytes == rotten {
                bytes.clone_from(&sound);
            }
        }));
        true
    }

    pub(super) fn is_any(&self) -> bool {
        self.broken || self.full || self.few_handles || self.slow || self.rot.is_some()
    }

    pub(super) fn may_break(&mut self) {
        self.broken = true;
    }

    /// A new process on a sound machine.
    pub(super) fn restarted(&mut self, sim: &Sim) {
        sim.clear_faults();
        self.broken = false;
    }
}

//! The strings of a simulated world.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::SimClock;
use super::disk::{Machine, SimDisk};
use super::fates::Fates;
use super::faults::{FaultKind, Operation, OperationClass};
use super::image::{DiskImage, DiskState};
use super::moment::Moment;
use super::rng::SimRng;
use super::tasks::SimTasks;
use crate::Env;
use crate::disk::FileName;
use crate::rng::Rng;

/// Controls a simulated machine: its crashes, faults, time and steps.
///
/// A crash ends the machine's incarnation: every operation through an [`Env`] or a file of before fails with `EIO`, and
/// the returned [`Env`] is the machine after its restart.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// let (env, sim) = outcrop_env::Env::simulated(7);
/// let name = outcrop_env::FileName::new("a")?;
/// let file = env.disk.create(&name)?;
/// env.disk.sync_dir("")?;
/// file.write_all_at(0, b"synced")?;
/// file.sync_data()?;
/// let env = sim.crash();
/// assert_eq!(env.disk.open(&name)?.len()?, 6);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sim {
    machine: Arc<Mutex<Machine>>,
    clock: Arc<SimClock>,
    rng: Arc<SimRng>,
    env: Mutex<(Env, Arc<SimTasks>)>,
}

impl Sim {
    /// A machine that starts with the disk `image`.
    pub fn from_image(image: &DiskImage, seed: u64) -> (Env, Self) {
        Self::from_state(DiskState::from_image(image), seed)
    }

    pub(super) fn from_state(state: DiskState, seed: u64) -> (Env, Self) {
        let machine = Machine::new(state, SimRng::new(seed, DISK_STREAM));
        let machine = Arc::new(Mutex::new(machine));
        let clock = Arc::new(SimClock::new());
        let rng = Arc::new(SimRng::new(seed, APPLICATION_STREAM));
        let started = start(&machine, &clock, &rng);
        let env = started.0.clone();
        (env, Self { machine, clock, rng, env: Mutex::new(started) })
    }

    /// The running incarnation.
    pub fn env(&self) -> Env {
        self.env.lock().0.clone()
    }

    /// Cuts the power and starts again: of what no sync covered, the seed decides what is left (E1). Faults, capacity,
    /// slow syncs and a planned power cut are over.
    pub fn crash(&self) -> Env {
        let mut machine = self.machine.lock();
        let fates = Fates::random(machine.state.waiting(), &machine.rng);
        machine.state = machine.state.after_crash(&fates);
        machine.faults.clear();
        machine.capacity = None;
        machine.sync_time = Duration::ZERO;
        drop(machine);
        self.restart()
    }

    /// Kills the process and starts it again; the machine keeps running, so written bytes stay, and still wait for a
    /// sync.
    pub fn kill(&self) -> Env {
        self.restart()
    }

    /// At most `budget` disks that a power cut at this moment may leave, the systematic ones first (reliability 4.1).
    pub fn legal_images(&self, budget: usize) -> Vec<DiskImage> {
        let machine = self.machine.lock();
        let fates = Fates::explore(machine.state.waiting(), budget, &machine.rng);
        let mut images: Vec<DiskImage> = Vec::with_capacity(fates.len());
        for fate in &fates {
            let image = machine.state.after_crash(fate).image();
            if !images.contains(&image) {
                images.push(image);
            }
        }
        images
    }

    /// The disk as the process sees it, synced or not.
    pub fn image(&self) -> DiskImage {
        self.machine.lock().state.image()
    }

    /// Operations so far that changed the disk: the places for [`Sim::power_off_after`].
    pub fn changes(&self) -> u64 {
        self.machine.lock().changes
    }

    /// Begins to keep the disk as it is before each change.
    pub fn record_moments(&self) {
        self.machine.lock().moments = Some(Vec::new());
    }

    /// Ends the recording: every moment since it began, the present one last.
    pub fn take_moments(&self) -> Vec<Moment> {
        let mut machine = self.machine.lock();
        let mut moments = machine.moments.take().unwrap_or_default();
        moments.push(Moment::new(machine.changes, &machine.state));
        moments
    }

    /// Lets the power fail once [`Sim::changes`] has reached `changes`: every later operation fails with `EIO`.
    pub fn power_off_after(&self, changes: u64) {
        self.machine.lock().power_off_at = Some(changes);
    }

    /// Lets one operation of `class` fail, after `successes` more that do not.
    pub fn fail_once(&self, class: OperationClass, successes: u64, kind: FaultKind) {
        self.machine.lock().faults.add(Some(class), successes, kind, false);
    }

    /// Lets one operation of any class fail, after `successes` more that do not.
    pub fn fail_any_once(&self, successes: u64, kind: FaultKind) {
        self.machine.lock().faults.add(None, successes, kind, false);
    }

    /// Lets all operations of `class` fail, after `successes` more that do not, until [`Sim::clear_faults`].
    pub fn fail_always(&self, class: OperationClass, successes: u64, kind: FaultKind) {
        self.machine.lock().faults.add(Some(class), successes, kind, true);
    }

    /// Ends all planned faults.
    pub fn clear_faults(&self) {
        self.machine.lock().faults.clear();
    }

    /// Limits the bytes of all files together; writes that would grow a file beyond fail with `ENOSPC`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine.lock().capacity = bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Limits the files that are open at once; more meet `EMFILE`.
    pub fn set_handles_max(&self, handles: Option<usize>) {
        self.machine.lock().handles_max = handles;
    }

    /// Lets every sync take so long.
    pub fn set_sync_time(&self, time: Duration) {
        self.machine.lock().sync_time = time;
    }

    /// The next step of the task with this name is a panic instead. False when there is no such task.
    pub fn kill_task(&self, name: &str) -> bool {
        let tasks = Arc::clone(&self.env.lock().1);
        tasks.kill(name)
    }

    /// The names of the tasks that run, in the order in which they were started.
    pub fn tasks(&self) -> Vec<&'static str> {
        let tasks = Arc::clone(&self.env.lock().1);
        tasks.names()
    }

    /// Files that are open.
    pub fn handles(&self) -> usize {
        self.machine.lock().handles
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.machine.lock().state.used() as u64
    }

    /// Changes stored bytes behind everyone's back: bit rot.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn corrupt(&self, name: &FileName, edit: impl Fn(&mut Vec<u8>)) -> io::Result<()> {
        self.machine.lock().state.edit(name, edit)
    }

    /// Lets time pass without anyone waiting for it.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves the wall clock alone, in either direction.
    pub fn jump_wall_us(&self, by_us: i64) {
        self.clock.jump_wall(by_us);
    }

    /// Runs one step of one ready worker. False when none is ready.
    pub fn step(&self) -> bool {
        let tasks = Arc::clone(&self.env.lock().1);
        tasks.step()
    }

    /// Runs ready workers until none is ready, at most `steps` steps. Returns how many it were.
    pub fn run_until_idle(&self, steps: usize) -> usize {
        (0..steps).take_while(|_| self.step()).count()
    }

    /// The newest operations (all of them in any reasonable test).
    pub fn trace(&self) -> Vec<Operation> {
        self.machine.lock().trace.operations().to_vec()
    }

    /// How many operations there were, of every class.
    pub fn operations(&self) -> u64 {
        self.machine.lock().trace.count()
    }

    /// A hash of all operations: equal for equal seeds and programs (E2).
    pub fn trace_hash(&self) -> u64 {
        self.machine.lock().trace.hash()
    }

    fn restart(&self) -> Env {
        let mut machine = self.machine.lock();
        machine.incarnation += 1;
        machine.locks.clear();
        machine.handles = 0;
        machine.power_off_at = None;
        drop(machine);
        let started = start(&self.machine, &self.clock, &self.rng);
        let env = started.0.clone();
        // The old scheduler goes after the lock: dropping its workers may call back.
        let old = std::mem::replace(&mut *self.env.lock(), started);
        drop(old);
        env
    }
}

fn start(machine: &Arc<Mutex<Machine>>, clock: &Arc<SimClock>, rng: &Arc<SimRng>) -> (Env, Arc<SimTasks>) {
    let scheduler = SimRng::new(rng.next_u64(), SCHEDULER_STREAM);
    let tasks = Arc::new(SimTasks::new(Arc::clone(clock), scheduler));
    let env = Env {
        clock: Arc::<SimClock>::clone(clock),
        rng: Arc::<SimRng>::clone(rng),
        disk: Arc::new(SimDisk::new(Arc::clone(machine), Arc::clone(clock))),
        tasks: Arc::<SimTasks>::clone(&tasks),
    };
    (env, tasks)
}

const DISK_STREAM: u64 = 1;
const SCHEDULER_STREAM: u64 = 2;
const APPLICATION_STREAM: u64 = 3;

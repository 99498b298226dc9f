//! What all workloads share: moments, disks, starts, counts.

use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::ops::AddAssign;

use outcrop_env::{Env, Moment, RestingDisk, Sim};

/// Something that writes to a disk, and says what must be there.
pub trait Workload {
    /// What a start finds.
    type Shown: PartialEq + Debug;

    /// Runs from an empty disk. `acknowledged` is called each time that one more step of it is durable.
    fn run(&self, env: &Env, sim: &Sim, acknowledged: &mut dyn FnMut());

    /// Starts on a disk after `acknowledged` steps, reads everything, and checks that it fits: all of those steps are there,
    /// and at most what was under way beyond them.
    fn start(&self, env: &Env, sim: &Sim, acknowledged: usize) -> Self::Shown;

    /// Starts, checks as [`Workload::start`] does, and goes on: what was recovered must take new writes, and be in order.
    fn live_on(&self, env: &Env, sim: &Sim, acknowledged: usize);
}

/// How much is explored of one workload.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Disks of one moment: below this all, else so many.
    pub disks: usize,
    /// The power fails again during every so-many-th start.
    pub again_each: u64,
    /// Disks of one moment of such a start.
    pub disks_again: usize,
    /// Every so-many-th start goes on to live.
    pub live_each: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { disks: 64, again_each: 16, disks_again: 4, live_each: 16 }
    }
}

/// What was explored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workloads.
    pub runs: u64,
    /// Moments of workloads.
    pub moments: u64,
    /// Of these, explored whole.
    pub whole: u64,
    /// Different disks after one power cut, each started.
    pub images: u64,
    /// Different disks after a second power cut, during a start, each started.
    pub again: u64,
    /// Starts after a kill, whose cache had what the disk did not, with the disks of a power cut after it.
    pub killed: u64,
    /// Starts that went on to write.
    pub lived: u64,
    /// Disks that were equal to one that was looked at.
    pub equal: u64,
}

impl Counts {
    /// Disks that were started.
    pub fn explored(&self) -> u64 {
        self.images + self.again + self.killed
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.runs += more.runs;
        self.moments += more.moments;
        self.whole += more.whole;
        self.images += more.images;
        self.again += more.again;
        self.killed += more.killed;
        self.lived += more.lived;
        self.equal += more.equal;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} explored ({} after one cut, {} after a cut during the start, {} after a kill; {} moments, {} of them whole, {} runs; \
             {} equal disks skipped)",
            self.explored(),
            self.images,
            self.again,
            self.killed,
            self.moments,
            self.whole,
            self.runs,
            self.equal
        )
    }
}

/// Explores the workload of one seed.
///
/// # Panics
/// When something acknowledged is not there, or what is there is wrong; the message of the panic before says at which moment.
pub fn explore<W: Workload>(workload: &W, seed: u64, budget: Budget) -> Counts {
    let (env, sim) = Env::simulated(seed);
    sim.record_moments();
    let mut acknowledged_at = Vec::new();
    workload.run(&env, &sim, &mut || acknowledged_at.push(sim.changes()));
    let mut explorer =
        Explorer { workload, seed, budget, counts: Counts { runs: 1, ..Counts::default() }, seen: HashSet::new() };
    for moment in sim.take_moments() {
        let acknowledged = acknowledged_at.partition_point(|at| *at <= moment.changes());
        explorer.moment(&moment, acknowledged);
    }
    explorer.counts
}

struct Explorer<'a, W> {
    workload: &'a W,
    seed: u64,
    budget: Budget,
    counts: Counts,
    /// Disks that were started, with how much had to be there.
    seen: HashSet<(u64, usize)>,
}

impl<W: Workload> Explorer<'_, W> {
    fn moment(&mut self, moment: &Moment, acknowledged: usize) {
        self.counts.moments += 1;
        let disks = moment.disks(self.budget.disks, self.seed);
        self.counts.whole += u64::from(disks.is_complete());
        let mut place = Place { seed: self.seed, changes: moment.changes(), acknowledged, second: None };
        for disk in disks {
            if !self.seen.insert((disk.hash(), acknowledged)) {
                self.counts.equal += 1;
                continue;
            }
            self.counts.images += 1;
            if self.counts.images.is_multiple_of(self.budget.again_each) {
                self.again(&disk, &mut place);
            } else if self.counts.images.is_multiple_of(self.budget.live_each) {
                self.counts.lived += 1;
                let (env, sim) = disk.start(self.seed);
                place.guard(|| self.workload.live_on(&env, &sim, acknowledged));
            } else {
                let (env, sim) = disk.start(self.seed);
                place.guard(|| self.workload.start(&env, &sim, acknowledged));
            }
        }
        if moment.changes().is_multiple_of(4) {
            self.kill(moment, &place);
        }
    }

    /// The power fails at every moment of a start, and after it, when everything that was shown must stay.
    fn again(&mut self, disk: &RestingDisk, place: &mut Place) {
        let (env, sim) = disk.start(self.seed);
        sim.record_moments();
        let before = sim.changes();
        let shown = place.guard(|| self.workload.start(&env, &sim, place.acknowledged));
        let moments = sim.take_moments();
        let last = moments.len() - 1;
        for (number, moment) in moments.iter().enumerate() {
            place.second = Some(moment.changes() - before);
            for disk in moment.disks(self.budget.disks_again, self.seed) {
                if number < last && !self.seen.insert((disk.hash(), place.acknowledged)) {
                    self.counts.equal += 1;
                    continue;
                }
                self.counts.again += 1;
                let (env, sim) = disk.start(self.seed);
                let found = place.guard(|| self.workload.start(&env, &sim, place.acknowledged));
                if number == last {
                    place.guard(|| assert_eq!(found, shown, "what a start has shown must stay"));
                }
            }
        }
        place.second = None;
    }

    /// The process is killed and started again; then the power fails.
    fn kill(&mut self, moment: &Moment, place: &Place) {
        let (env, sim) = moment.killed().start(self.seed);
        sim.record_moments();
        let shown = place.guard(|| self.workload.start(&env, &sim, place.acknowledged));
        self.counts.killed += 1;
        let moments = sim.take_moments();
        let Some(end) = moments.last() else { return };
        for disk in end.disks(self.budget.disks_again, self.seed) {
            self.counts.killed += 1;
            let (env, sim) = disk.start(self.seed);
            let found = place.guard(|| self.workload.start(&env, &sim, place.acknowledged));
            place.guard(|| assert_eq!(found, shown, "what a start after a kill has shown must stay"));
        }
    }
}

/// Where the explorer is, for messages.
struct Place {
    seed: u64,
    changes: u64,
    acknowledged: usize,
    second: Option<u64>,
}

impl Place {
    /// Says where it happened if `body` panics.
    fn guard<T>(&self, body: impl FnOnce() -> T) -> T {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
            Ok(value) => value,
            Err(payload) => {
                let text = outcrop_testkit::seed::message_of(&*payload);
                let second = self.second.map(|at| format!(", again after {at} of the start")).unwrap_or_default();
                panic!(
                    "workload {}, power cut after change {}{second}, {} steps acknowledged: {text}",
                    self.seed, self.changes, self.acknowledged
                );
            }
        }
    }
}

//! What may become of the changes that no sync covered when the power fails.

use super::rng::SimRng;
use crate::rng::Rng;

/// The fate of one change of a file's bytes or length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeFate {
    Kept,
    Lost,
    /// Each piece of `sector` bytes by itself, by the coin `seed`.
    Torn {
        sector: usize,
        seed: u64,
    },
    /// The 512-byte pieces with these numbers.
    Pieces(u64),
}

/// The fates of all waiting changes, in the order in which the disk holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) changes: Vec<ChangeFate>,
    pub(super) names: Vec<bool>,
}

/// A systematic case of the explorer.
#[derive(Clone, Copy)]
enum Case {
    ChangeAlone(usize),
    AllButChange(usize),
    NameAlone(usize),
    AllButName(usize),
    Torn(usize, usize),
}

impl Fates {
    fn uniform(changes: usize, names: usize, fate: ChangeFate, done: bool) -> Self {
        Self { changes: vec![fate; changes], names: vec![done; names] }
    }

    /// Any legal outcome.
    pub(super) fn random((changes, names): (usize, usize), rng: &SimRng) -> Self {
        // The bias varies, so that nearly-all and nearly-none are as likely as half.
        let kept_percent = [5, 50, 95].get(rng.below(3)).copied().unwrap_or(50);
        let change = |_| match rng.chance(kept_percent) {
            _ if rng.chance(20) => ChangeFate::Torn { sector: sector(rng.below(2)), seed: rng.next_u64() },
            true => ChangeFate::Kept,
            false => ChangeFate::Lost,
        };
        Self {
            changes: (0..changes).map(change).collect(),
            names: (0..names).map(|_| rng.chance(kept_percent)).collect(),
        }
    }

    /// Every outcome there is, if there are at most `budget`: each piece of each change, and each name, kept or lost.
    pub(super) fn all(pieces: &[Option<u64>], names: usize, budget: usize) -> Option<Vec<Self>> {
        let masks: Vec<u64> = pieces.iter().copied().collect::<Option<_>>()?;
        let bits = masks.iter().map(|mask| mask.count_ones()).sum::<u32>() + u32::try_from(names).ok()?;
        let count =
            1_u64.checked_shl(bits).filter(|count| usize::try_from(*count).is_ok_and(|count| count <= budget))?;
        let outcome = |mut choice: u64| {
            let mut take = || {
                let bit = choice & 1;
                choice >>= 1;
                bit
            };
            let change = |mask: &u64| {
                let kept = (0..u64::BITS).filter(|bit| mask >> bit & 1 == 1).fold(0, |kept, bit| kept | take() << bit);
                ChangeFate::Pieces(kept)
            };
            let changes = masks.iter().map(change).collect();
            Self { changes, names: (0..names).map(|_| take() == 1).collect() }
        };
        Some((0..count).map(outcome).collect())
    }

    /// At most `budget` outcomes: nothing, everything, bytes without names, names without bytes; then each change alone,
    /// all but one and each torn (a sample, when they are too many); the rest of the budget at random.
    pub(super) fn explore((changes, names): (usize, usize), budget: usize, rng: &SimRng) -> Vec<Self> {
        let mut found = vec![
            Self::uniform(changes, names, ChangeFate::Lost, false),
            Self::uniform(changes, names, ChangeFate::Kept, true),
            Self::uniform(changes, names, ChangeFate::Kept, false),
            Self::uniform(changes, names, ChangeFate::Lost, true),
        ];
        let mut cases: Vec<Case> = (0..changes)
            .flat_map(|i| [Case::ChangeAlone(i), Case::AllButChange(i), Case::Torn(i, 0), Case::Torn(i, 1)])
            .chain((0..names).flat_map(|i| [Case::NameAlone(i), Case::AllButName(i)]))
            .collect();
        while found.len() < budget && !cases.is_empty() {
            let case = cases.swap_remove(rng.below(cases.len()));
            found.push(Self::of_case(case, changes, names, rng));
        }
        if changes + names > 0 {
            while found.len() < budget {
                found.push(Self::random((changes, names), rng));
            }
        }
        found.truncate(budget);
        found
    }

    fn of_case(case: Case, changes: usize, names: usize, rng: &SimRng) -> Self {
        let (base, done) = match case {
            Case::ChangeAlone(_) => (ChangeFate::Lost, rng.chance(50)),
            Case::NameAlone(_) => (ChangeFate::Lost, false),
            Case::AllButChange(_) | Case::AllButName(_) | Case::Torn(..) => (ChangeFate::Kept, true),
        };
        let mut fates = Self::uniform(changes, names, base, done);
        let set_change = |fates: &mut Self, index: usize, fate: ChangeFate| {
            if let Some(slot) = fates.changes.get_mut(index) {
                *slot = fate;
            }
        };
        match case {
            Case::ChangeAlone(index) => set_change(&mut fates, index, ChangeFate::Kept),
            Case::AllButChange(index) => set_change(&mut fates, index, ChangeFate::Lost),
            Case::Torn(index, size) => {
                set_change(&mut fates, index, ChangeFate::Torn { sector: sector(size), seed: rng.next_u64() });
            }
            Case::NameAlone(index) | Case::AllButName(index) => {
                if let Some(slot) = fates.names.get_mut(index) {
                    *slot = !*slot;
                }
            }
        }
        fates
    }
}

/// The two units in which disks write: old and new sectors.
fn sector(which: usize) -> usize {
    if which == 0 { 512 } else { 4096 }
}

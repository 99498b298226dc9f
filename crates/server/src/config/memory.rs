//! How the memory budget is divided. Pure, but for asking the machine how much memory it has.

use super::ByteSize;

/// A part of the memory budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Its setting.
    pub(super) setting: &'static str,
    /// What the setting says; `None` is a share of what the others leave.
    pub(super) given: Option<ByteSize>,
    /// What it needs at least.
    pub(super) least: u64,
    /// How much of the rest it gets, in proportion.
    pub(super) weight: u64,
}

/// The parts together need more than there is: so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSmall(pub(super) u64);

/// Bytes of each part. Those that are given get what they are given; the others what they need at least, and what is left in
/// proportion to their weights. Together they are never more than the budget.
pub(super) fn divide<const N: usize>(budget: u64, parts: &[Part; N]) -> Result<[u64; N], TooSmall> {
    let needed: u64 = parts.iter().map(|part| part.given.map_or(part.least, |given| given.0)).sum();
    let rest = budget.checked_sub(needed).ok_or(TooSmall(needed))?;
    let weights: u64 = parts.iter().filter(|part| part.given.is_none()).map(|part| part.weight).sum();
    let share = |part: &Part| {
        let share = u128::from(rest) * u128::from(part.weight) / u128::from(weights.max(1));
        part.least.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
    };
    Ok(parts.map(|part| part.given.map_or_else(|| share(&part), |given| given.0)))
}

/// Memory of the machine, or what the container may use of it; `None` if the system does not tell.
pub(super) fn machine_bytes() -> Option<u64> {
    let read = |path| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(total_of_meminfo);
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = groups.into_iter().filter_map(|path| read(path)?.trim().parse().ok());
    limits.chain(machine).min()
}

fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, Part, TooSmall, divide, total_of_meminfo};

    fn part(given: Option<u64>, least: u64, weight: u64) -> Part {
        Part { setting: "a part", given: given.map(ByteSize), least, weight }
    }

    #[test]
    fn parts_get_what_they_are_given_and_share_the_rest() {
        let parts = [part(None, 10, 1), part(Some(300), 50, 9), part(None, 20, 3)];
        assert_eq!(divide(1_000, &parts), Ok([10 + 670 / 4, 300, 20 + 670 * 3 / 4]));
        assert_eq!(divide(330, &parts), Ok([10, 300, 20]));
        assert_eq!(divide(329, &parts), Err(TooSmall(330)));
        assert_eq!(divide(500, &[part(Some(400), 0, 1)]), Ok([400]));
        let [a, b] = divide(u64::MAX, &[part(None, 1, 1), part(None, 1, 2)]).unwrap();
        assert!(a.checked_add(b).is_some());
    }

    #[test]
    fn the_memory_of_a_machine_is_read() {
        let text = "MemTotal:       16303412 kB\nMemFree:         1 kB\n";
        assert_eq!(total_of_meminfo(text), Some(16_303_412 << 10));
        assert_eq!(total_of_meminfo("MemFree: 1 kB"), None);
        assert!(super::machine_bytes().unwrap() > 64 << 20);
    }
}

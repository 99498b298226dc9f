//! The simulated disk does what the real one does, as far as a process can see.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use outcrop_env::{Disk, Env, File, FileName};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Create(usize),
    Open(usize),
    Write(usize, u64, Vec<u8>),
    Read(usize, u64, usize),
    SetLen(usize, u64),
    ZeroFill(usize, u64, u64),
    Sync(usize),
    SyncDir(usize),
    Remove(usize),
    Publish(usize, usize),
    CreateDir(usize),
    List(usize),
}

const NAMES: [&str; 5] = ["a", "b", "d/a", "d/b", "d/e/f"];
const DIRS: [&str; 4] = ["", "d", "d/e", "x"];

fn op() -> impl Strategy<Value = Op> {
    let file = 0..NAMES.len();
    let dir = 0..DIRS.len();
    prop_oneof![
        4 => file.clone().prop_map(Op::Create),
        2 => file.clone().prop_map(Op::Open),
        6 => (file.clone(), 0..20_000_u64, prop::collection::vec(any::<u8>(), 0..600)).prop_map(|(f, o, b)| Op::Write(f, o, b)),
        6 => (file.clone(), 0..20_000_u64, 0..600_usize).prop_map(|(f, o, l)| Op::Read(f, o, l)),
        1 => (file.clone(), 0..20_000_u64).prop_map(|(f, l)| Op::SetLen(f, l)),
        1 => (file.clone(), 0..9000_u64, 0..9000_u64).prop_map(|(f, a, b)| Op::ZeroFill(f, a, b)),
        1 => file.clone().prop_map(Op::Sync),
        1 => dir.clone().prop_map(Op::SyncDir),
        1 => file.clone().prop_map(Op::Remove),
        1 => (file.clone(), file).prop_map(|(a, b)| Op::Publish(a, b)),
        2 => dir.clone().prop_map(Op::CreateDir),
        2 => dir.prop_map(Op::List),
    ]
}

/// A disk with the files that were opened on it.
struct User {
    disk: Arc<dyn Disk>,
    files: BTreeMap<usize, Arc<dyn File>>,
}

impl User {
    /// Does one operation; the outcome as text, errors by their kind.
    fn apply(&mut self, op: &Op) -> String {
        let outcome = self.try_apply(op).map_err(|error: io::Error| error.kind());
        format!("{outcome:?}")
    }

    fn try_apply(&mut self, op: &Op) -> io::Result<String> {
        let name = |index: &usize| FileName::new(NAMES[*index]).unwrap();
        let file = |files: &BTreeMap<usize, Arc<dyn File>>, index: &usize| {
            files.get(index).map(Arc::clone).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
        };
        match op {
            Op::Create(f) => self.disk.create(&name(f)).map(|file| drop(self.files.insert(*f, file)))?,
            Op::Open(f) => self.disk.open(&name(f)).map(|file| drop(self.files.insert(*f, file)))?,
            Op::Write(f, offset, bytes) => file(&self.files, f)?.write_all_at(*offset, bytes)?,
            Op::Read(f, offset, len) => {
                let mut bytes = vec![0; *len];
                file(&self.files, f)?.read_exact_at(*offset, &mut bytes)?;
                return Ok(format!("{bytes:?}"));
            }
            Op::SetLen(f, len) => file(&self.files, f)?.set_len(*len)?,
            Op::ZeroFill(f, from, to) => file(&self.files, f)?.zero_fill(*from, *to)?,
            Op::Sync(f) => file(&self.files, f)?.sync_data()?,
            Op::SyncDir(d) => self.disk.sync_dir(DIRS[*d])?,
            Op::Remove(f) => self.disk.remove(&name(f))?,
            Op::Publish(from, to) => self.disk.publish(&name(from), &name(to))?,
            Op::CreateDir(d) => self.disk.create_dir(DIRS[*d])?,
            Op::List(d) => return Ok(format!("{:?}", self.disk.list(DIRS[*d])?)),
        }
        // The length shows what the operation did to the file, if it has one.
        if let Op::Write(f, ..) | Op::SetLen(f, ..) | Op::ZeroFill(f, ..) = op {
            return Ok(file(&self.files, f)?.len()?.to_string());
        }
        Ok(String::new())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn real_and_simulated_disk_answer_the_same(ops in prop::collection::vec(op(), 1..60)) {
        let root = tempfile::tempdir().unwrap();
        let (simulated, sim) = Env::simulated(1);
        let mut real = User { disk: Env::real(root.path()).unwrap().disk, files: BTreeMap::new() };
        let mut simulated = User { disk: simulated.disk, files: BTreeMap::new() };
        for op in &ops {
            prop_assert_eq!(real.apply(op), simulated.apply(op), "{:?}", op);
        }
        for (name, bytes) in sim.image().files {
            prop_assert_eq!(std::fs::read(root.path().join(name.as_str())).unwrap(), bytes);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_trace_and_the_same_crash(ops in prop::collection::vec(op(), 1..60), seed in any::<u64>()) {
        let run = || {
            let (env, sim) = Env::simulated(seed);
            let mut user = User { disk: env.disk, files: BTreeMap::new() };
            for op in &ops {
                user.apply(op);
            }
            sim.crash();
            (sim.trace_hash(), sim.image())
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn a_lock_is_refused_twice_and_free_after_its_drop() {
    let root = tempfile::tempdir().unwrap();
    let name = FileName::new("LOCK").unwrap();
    for env in [Env::real(root.path()).unwrap(), Env::simulated(1).0] {
        let lock = env.disk.lock(&name).unwrap();
        assert_eq!(env.disk.lock(&name).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        drop(env.disk.lock(&name).unwrap());
    }
    let pid = std::fs::read_to_string(root.path().join("LOCK")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
}

#[test]
fn a_file_opened_for_reading_cannot_be_written() {
    let root = tempfile::tempdir().unwrap();
    let name = FileName::new("f").unwrap();
    for env in [Env::real(root.path()).unwrap(), Env::simulated(1).0] {
        drop(env.disk.create(&name).unwrap());
        let file = env.disk.open_read(&name).unwrap();
        assert!(file.write_all_at(0, b"x").is_err());
        assert!(file.is_empty().unwrap());
    }
}

#[test]
fn real_clock_and_randomness_move() {
    let root = tempfile::tempdir().unwrap();
    let env = Env::real(root.path()).unwrap();
    assert!(env.clock.wall_us() > 1_700_000_000_000_000);
    assert!(env.clock.monotonic() <= env.clock.monotonic());
    let mut bytes = [0; 32];
    env.rng.fill(&mut bytes);
    assert_ne!(bytes, [0; 32]);
    assert_ne!(env.rng.next_u64(), env.rng.next_u64());
}

//! The corpora of `tests/fuzz`, and mutations of them.

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use outcrop_fuzzing::{TARGETS, Target};
use outcrop_testkit::mutation::Mutator;

/// Mutations of a corpus, a target.
const MUTATIONS: usize = 400;

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = outcrop_testkit::repository().join("tests/fuzz").join(target.name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn what_is_kept_of_fuzzing_breaks_nothing() {
    for target in TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() > 1, "{} has no corpus", target.name);
        for (path, bytes) in corpus {
            let outcome = catch_unwind(|| (target.check)(&bytes));
            assert!(outcome.is_ok(), "{}: {}", target.name, path.display());
        }
    }
}

/// Mutates what is kept of each target so often; how many inputs that were, and those that broke something.
fn mutate(first_seed: u64, rounds: usize) -> (usize, Vec<String>) {
    let (mut made, mut broken) = (0, Vec::new());
    for (seed, target) in (first_seed..).zip(TARGETS) {
        let corpus = corpus(target);
        let mut mutator = Mutator::new(seed);
        for round in 0..rounds {
            let (_, input) = &corpus[mutator.below(corpus.len())];
            let (_, other) = &corpus[mutator.below(corpus.len())];
            let bytes = mutator.mutate(input, other);
            made += 1;
            if catch_unwind(|| (target.check)(&bytes)).is_err() {
                broken.push(format!("{}, seed {seed}, round {round}: {bytes:02x?}", target.name));
            }
        }
    }
    (made, broken)
}

#[test]
fn mutations_of_it_break_nothing() {
    let (made, broken) = mutate(0, MUTATIONS);
    assert!(broken.is_empty(), "{} of {made}:\n{}", broken.len(), broken.join("\n"));
}

/// For as long as `FUZZ_SECONDS` says, from `FUZZ_SEED` on, where there is no libFuzzer.
#[test]
#[ignore = "takes as long as asked: a lane of `cargo xtask soak`"]
fn mutations_for_a_long_time() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(60));
    let mut seed = number("FUZZ_SEED").unwrap_or(1).wrapping_mul(1_000);
    let (mut made, mut broken) = (0, Vec::new());
    while Instant::now() < until {
        let (more, found) = mutate(seed, 200);
        made += more;
        broken.extend(found);
        seed = seed.wrapping_add(TARGETS.len() as u64);
    }
    broken.iter().for_each(|broken| println!("{broken}"));
    println!("soak mutations: {made} inputs explored, {} failed", broken.len());
    assert!(broken.is_empty());
}

#[test]
fn every_target_has_a_binary_of_its_name() {
    let manifest = fs::read_to_string(outcrop_testkit::repository().join("fuzz/Cargo.toml")).unwrap();
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "fuzz/Cargo.toml lacks {}", target.name);
    }
    let folder = fs::read_dir(outcrop_testkit::repository().join("tests/fuzz")).unwrap();
    for entry in folder {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|target| target.name == name), "tests/fuzz/{name} is no target");
    }
}

//! The corpora of `tests/fuzz`, and mutations of them.

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

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

#[test]
fn mutations_of_it_break_nothing() {
    for (seed, target) in (0..).zip(TARGETS) {
        let corpus = corpus(target);
        let mut mutator = Mutator::new(seed);
        for round in 0..MUTATIONS {
            let (_, input) = &corpus[mutator.below(corpus.len())];
            let (_, other) = &corpus[mutator.below(corpus.len())];
            let bytes = mutator.mutate(input, other);
            let outcome = catch_unwind(|| (target.check)(&bytes));
            assert!(outcome.is_ok(), "{}, seed {seed}, round {round}: {bytes:02x?}", target.name);
        }
    }
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

//! The real disk really syncs, what it should and in which order: a file for which the kernel refuses the call shows that
//! the call was made (P1).

#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::{Env, FileName};

type Watch = Box<dyn FnMut(&Path)>;

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Called right before the kernel is.
pub(super) fn before_sync(file: &fs::File) {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            watch(&fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap());
        }
    });
}

/// What is synced while `body` runs, with whether `name` was there at that moment.
fn syncs_of(name: &Path, body: impl FnOnce()) -> Vec<(PathBuf, bool)> {
    let seen = std::rc::Rc::new(RefCell::new(Vec::new()));
    let (list, name) = (std::rc::Rc::clone(&seen), name.to_owned());
    WATCH.set(Some(Box::new(move |path| list.borrow_mut().push((path.to_owned(), name.exists())))));
    body();
    WATCH.set(None);
    seen.take()
}

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

#[test]
fn p1_syncs_of_files_and_directories_reach_the_kernel() {
    let root = tempfile::tempdir().unwrap();
    let env = Env::real(root.path()).unwrap();
    // Neither a device nor a directory of procfs can be synced, and only the kernel knows that.
    symlink("/dev/null", root.path().join("device")).unwrap();
    symlink("/proc/self", root.path().join("process")).unwrap();
    let refused = |outcome: io::Result<()>| assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    refused(env.disk.open(&name("device")).unwrap().sync_data());
    refused(env.disk.sync_dir("process"));
    // The file is synced before it has its name.
    refused(env.disk.publish(&name("device"), &name("published")));
    assert!(!root.path().join("published").exists());
}

#[test]
fn p1_a_publication_syncs_the_file_before_and_the_directories_after_its_renaming() {
    let root = tempfile::tempdir().unwrap();
    let env = Env::real(root.path()).unwrap();
    let path = root.path().canonicalize().unwrap();
    env.disk.create_dir("d").unwrap();
    for (temporary, directories) in [("d/a.tmp", vec![path.join("d")]), ("b.tmp", vec![path.join("d"), path.clone()])] {
        env.disk.create(&name(temporary)).unwrap().write_all_at(0, b"x").unwrap();
        let target = path.join("d/name");
        let seen = syncs_of(&target, || env.disk.publish(&name(temporary), &name("d/name")).unwrap());
        let expected: Vec<(PathBuf, bool)> = std::iter::once((path.join(temporary), false))
            .chain(directories.into_iter().map(|directory| (directory, true)))
            .collect();
        assert_eq!(seen, expected);
        env.disk.remove(&name("d/name")).unwrap();
    }
}

#[test]
fn p1_directories_are_durable_when_they_are_there() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().canonicalize().unwrap();
    let target = path.join("data/new");
    let seen = syncs_of(&target, || drop(Env::real(&target).unwrap()));
    let parents = seen.iter().rev().take(2).map(|(path, _)| path.as_path());
    assert!(parents.eq([target.parent().unwrap(), path.as_path()]), "{seen:?}");
    assert_eq!(seen.last().unwrap(), &(path.join("data"), true));
    // Also when another process made it: it may have been killed before its sync.
    let seen = syncs_of(&target, || drop(Env::real(&target).unwrap()));
    assert_eq!(seen, [(path.join("data"), true)]);
    let env = Env::real(&target).unwrap();
    let seen = syncs_of(&target.join("a/b"), || env.disk.create_dir("a/b").unwrap());
    assert_eq!(seen, [(target.clone(), false), (target.join("a"), true)]);
    let seen = syncs_of(&target.join("a/b"), || env.disk.create_dir("a/b").unwrap());
    assert_eq!(seen, [(target.clone(), true), (target.join("a"), true)]);
}

use super::*;

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

#[test]
fn names_that_leave_the_root_are_refused() {
    for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0b", "a\\b"] {
        assert!(FileName::new(bad).is_err(), "{bad:?}");
    }
    let good = name("a/b/c.log");
    assert_eq!((good.dir(), good.base()), ("a/b", "c.log"));
    assert_eq!(FileName::in_dir("", "x").unwrap().dir(), "");
}

#[test]
fn bad_directory_names_are_refused_by_both_disks() {
    let root = tempfile::tempdir().unwrap();
    let real = Env::real(root.path()).unwrap();
    let (simulated, _sim) = Env::simulated(0);
    for env in [real, simulated] {
        assert_eq!(env.disk.list("../x").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(env.disk.create_dir("/x").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(env.disk.sync_dir("a//b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

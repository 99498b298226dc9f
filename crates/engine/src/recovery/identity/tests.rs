use super::*;

fn id() -> Identity {
    Identity::new(LogId::from_bytes([0xAB; 16]))
}

#[test]
fn an_identity_comes_back() {
    let id = id();
    assert_eq!(Identity::decode(id.encode().as_bytes(), "FORMAT").unwrap(), id);
    let (env, _sim) = Env::simulated(1);
    assert_eq!(Identity::read(&env).unwrap(), None);
    id.write(&env).unwrap();
    assert_eq!(Identity::read(&env).unwrap(), Some(id));
}

#[test]
fn every_changed_byte_is_found_and_another_version_is_named() {
    let fork = id().fork(LogId::from_bytes([1; 16]), UnitId::new(7));
    [id(), fork].iter().for_each(every_change_is_found);
}

fn every_change_is_found(id: &Identity) {
    let text = id.encode();
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let error = Identity::decode(&bytes, "FORMAT").unwrap_err();
        let version = place == text.find("version ").unwrap() + 8;
        let expected = if version { Condition::UnsupportedVersion } else { Condition::DataCorrupted };
        assert_eq!(error.condition(), expected, "byte {place}");
    }
    for length in 0..text.len() {
        assert!(Identity::decode(&text.as_bytes()[..length], "FORMAT").is_err(), "{length} bytes");
    }
}

#[test]
fn a_fork_knows_whose_files_are_whose() {
    let (first, second, third) = (id().log_id, LogId::from_bytes([2; 16]), LogId::from_bytes([3; 16]));
    let fork = id().fork(second, UnitId::new(10)).fork(third, UnitId::new(25));
    assert!(fork.encode().starts_with("Outcrop data directory\nversion 2\n"), "{}", fork.encode());
    assert_eq!(Identity::decode(fork.encode().as_bytes(), "FORMAT").unwrap(), fork);
    for (unit, log) in [(1, first), (9, first), (10, second), (24, second), (25, third), (99, third)] {
        assert_eq!(fork.log_of(UnitId::new(unit)), log, "unit {unit}");
    }
    assert!([first, second, third].into_iter().all(|log| fork.descends_from(log)));
    assert!(!id().descends_from(second));
}

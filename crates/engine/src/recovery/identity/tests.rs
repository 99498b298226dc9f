use super::*;

const ID: Identity = Identity { log_id: LogId::from_bytes([0xAB; 16]) };

#[test]
fn an_identity_comes_back() {
    assert_eq!(Identity::decode(ID.encode().as_bytes(), "FORMAT").unwrap(), ID);
    let (env, _sim) = Env::simulated(1);
    assert_eq!(Identity::read(&env).unwrap(), None);
    ID.write(&env).unwrap();
    assert_eq!(Identity::read(&env).unwrap(), Some(ID));
}

#[test]
fn every_changed_byte_is_found_and_another_version_is_named() {
    let text = ID.encode();
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let error = Identity::decode(&bytes, "FORMAT").unwrap_err();
        let version = place == text.find("version 1").unwrap() + 8;
        let expected = if version { Condition::UnsupportedVersion } else { Condition::DataCorrupted };
        assert_eq!(error.condition(), expected, "byte {place}");
    }
    for length in 0..text.len() {
        assert!(Identity::decode(&text.as_bytes()[..length], "FORMAT").is_err(), "{length} bytes");
    }
}

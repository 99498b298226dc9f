use super::{Registry, SecretKey};

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 4])
}

#[test]
fn places_are_limited_and_freed() {
    let registry = Registry::new(2);
    let first = registry.register(key(1)).unwrap();
    let second = registry.register(key(2)).unwrap();
    assert_ne!(first.id(), second.id());
    assert!(registry.register(key(3)).is_none());
    drop(first);
    let third = registry.register(key(3)).unwrap();
    assert_ne!(third.id(), second.id());
    assert_eq!(registry.len(), 2);
}

#[test]
fn a_wrong_key_or_process_cancels_nothing() {
    let registry = Registry::new(2);
    let place = registry.register(key(1)).unwrap();
    registry.cancel(place.id(), &key(2));
    registry.cancel(place.id(), &SecretKey::from_bytes(&[1; 5]));
    registry.cancel(place.id() + 1, &key(1));
    // Before its session exists there is nothing to cancel either.
    registry.cancel(place.id(), &key(1));
}

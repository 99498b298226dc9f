use super::{REFUSALS_MAX, Registry, SecretKey};
use crate::ServerConfig;

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

fn config(pg: usize, http: usize) -> ServerConfig {
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    config.http_listen = Some("127.0.0.1:0".parse().unwrap());
    (config.connections_max, config.http_connections_max) = (pg, http);
    config
}

#[test]
fn sockets_take_at_most_half_of_the_descriptors() {
    for descriptors in [256_u64, 257, 1_024, 4_096, 65_536, u64::MAX] {
        for (pg, http) in [(1, 1), (10, 2_000), (1_000, 1_000), (100_000, 3), (100_000, 100_000)] {
            let mut config = config(pg, http);
            let lowered = config.fit_descriptors(descriptors).unwrap();
            let (pg_now, http_now) = (config.connections_max, config.http_connections_max);
            assert!(pg_now >= 1 && http_now >= 1 && pg_now <= pg && http_now <= http);
            assert_eq!(lowered, ((pg_now, http_now) != (pg, http)).then_some((pg_now, http_now)));
            let sockets = (pg_now as u64).saturating_add(http_now as u64).saturating_add(2 * REFUSALS_MAX as u64);
            assert!(sockets <= descriptors / 2 + 1, "{descriptors}: {pg_now} {http_now}");
        }
    }
    let mut usual = config(1_000, 1_000);
    assert_eq!(usual.fit_descriptors(1_024).unwrap(), Some((240, 240)));
    assert_eq!(config(1_000, 1_000).fit_descriptors(1 << 20).unwrap(), None);
}

#[test]
fn too_few_descriptors_are_refused() {
    let error = config(1, 1).fit_descriptors(255).unwrap_err();
    assert!(error.message().contains("255 files"), "{error}");
}

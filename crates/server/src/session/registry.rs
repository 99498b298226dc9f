//! Connections by process id.

use std::collections::HashMap;
use std::sync::Arc;

use outcrop_env::Env;
use outcrop_query::CancellationHandle;
use parking_lot::Mutex;

/// What a client must show to cancel a connection's statement: 4 bytes in protocol 3.0, 32 later.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretKey(Vec<u8>);

/// All connections that are past their start. Bounded by the limit that it is made with.
#[derive(Debug)]
pub(crate) struct Registry {
    connections_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: i32,
    connections: HashMap<i32, Entry>,
}

#[derive(Debug)]
struct Entry {
    key: SecretKey,
    /// Known once the session was made.
    cancel: Option<CancellationHandle>,
}

/// A connection's place in the registry; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    id: i32,
    key: SecretKey,
}

impl SecretKey {
    /// A new key of `length` bytes.
    pub(crate) fn random(env: &Env, length: usize) -> Self {
        let mut bytes = vec![0; length];
        env.rng.fill(&mut bytes);
        Self(bytes)
    }

    /// A key that a client sent.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares without telling by its time where the difference is.
    fn is(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey")
    }
}

impl Registry {
    pub(crate) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, state: Mutex::default() })
    }

    /// Takes a place; `None` if all are taken.
    pub(crate) fn register(self: &Arc<Self>, key: SecretKey) -> Option<Registration> {
        let mut state = self.state.lock();
        if state.connections.len() >= self.connections_max {
            return None;
        }
        let id = loop {
            let next = state.last_id.checked_add(1).unwrap_or(1);
            state.last_id = next;
            if !state.connections.contains_key(&next) {
                break next;
            }
        };
        state.connections.insert(id, Entry { key: key.clone(), cancel: None });
        Some(Registration { registry: Arc::clone(self), id, key })
    }

    /// Cancels what a connection runs, if the key is right. Whoever asks is told nothing.
    pub(crate) fn cancel(&self, id: i32, key: &SecretKey) {
        let state = self.state.lock();
        let handle =
            state.connections.get(&id).filter(|entry| entry.key.is(key)).and_then(|entry| entry.cancel.clone());
        drop(state);
        if let Some(handle) = handle {
            handle.cancel();
        }
    }

    /// Cancels everything that runs: the server stops.
    pub(crate) fn cancel_all(&self) {
        let handles: Vec<_> = self.state.lock().connections.values().filter_map(|entry| entry.cancel.clone()).collect();
        handles.iter().for_each(CancellationHandle::cancel);
    }

    /// Connections now.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().connections.len()
    }
}

impl Registration {
    /// From now on the connection can be cancelled.
    pub(crate) fn set_cancel(&self, handle: CancellationHandle) {
        if let Some(entry) = self.registry.state.lock().connections.get_mut(&self.id) {
            entry.cancel = Some(handle);
        }
    }

    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    pub(crate) fn key(&self) -> &SecretKey {
        &self.key
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.state.lock().connections.remove(&self.id);
    }
}

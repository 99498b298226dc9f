//! Standard input, whose beginning is read more than once: to see what it is, to guess its types, and to load it.

use std::io::{self, Read};
use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes that come once. What was looked at is kept until the last reading has passed it.
#[derive(Clone)]
pub(super) struct Pipe {
    state: Arc<Mutex<State>>,
}

struct State {
    source: Box<dyn Read + Send>,
    kept: Vec<u8>,
}

/// Reads a [`Pipe`] from its beginning. One at a time.
pub(super) struct PipeReader {
    pipe: Pipe,
    at: usize,
    keeps: bool,
}

impl Pipe {
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        Self { state: Arc::new(Mutex::new(State { source, kept: Vec::new() })) }
    }

    /// Reads what will be read again: everything is kept, so the reader stops soon.
    pub(super) fn look(&self) -> PipeReader {
        PipeReader { pipe: self.clone(), at: 0, keeps: true }
    }

    /// Reads it all.
    pub(super) fn read_on(&self) -> PipeReader {
        PipeReader { pipe: self.clone(), at: 0, keeps: false }
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.pipe.state.lock();
        let state = &mut *state;
        let mut kept = state.kept.get(self.at..).unwrap_or_default();
        if !kept.is_empty() {
            let count = kept.read(buffer)?;
            self.at += count;
            return Ok(count);
        }
        let count = state.source.read(buffer)?;
        if self.keeps {
            state.kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
            self.at += count;
        } else {
            // Behind all that was kept: nobody reads it again.
            state.kept = Vec::new();
            self.at = 0;
        }
        Ok(count)
    }
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipe")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::Pipe;

    #[test]
    fn what_was_looked_at_is_read_again() {
        let text = "0123456789".repeat(1_000);
        let pipe = Pipe::new(Box::new(std::io::Cursor::new(text.clone())));
        for length in [5, 4_000, 20] {
            let mut seen = String::new();
            pipe.look().take(length).read_to_string(&mut seen).unwrap();
            assert_eq!(seen, text[..usize::try_from(length).unwrap()]);
        }
        let mut all = String::new();
        pipe.read_on().read_to_string(&mut all).unwrap();
        assert_eq!(all, text);
        assert!(pipe.state.lock().kept.is_empty());
    }
}

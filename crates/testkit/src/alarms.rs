//! Warnings and errors that the code under test logs: a test that starts a node fails when one comes that nobody declared.
//!
//! The tests of a binary run side by side, and most lines come from threads of the node, so that what is seen and what is
//! declared belong to the process. A line that nobody declared fails the first test that looks, which it does at its end,
//! after its own node has stopped. So none goes unnoticed.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::filter::LevelFilter;

/// Lines that nobody has looked at.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Parts of lines that tests declared.
static DECLARED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

/// Looks at the log when it is dropped. To be dropped after the node.
///
/// # Panics
/// When it is dropped, if there is a line that nobody declared, unless the thread panics already.
#[derive(Debug)]
#[must_use = "the log is looked at when this is dropped"]
pub struct Watch(());

impl Drop for Watch {
    fn drop(&mut self) {
        let seen = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
        let undeclared: Vec<String> = {
            let declared = DECLARED.lock().unwrap_or_else(PoisonError::into_inner);
            seen.into_iter().filter(|line| !declared.iter().any(|part| line.contains(part))).collect()
        };
        if !std::thread::panicking() {
            assert!(undeclared.is_empty(), "nobody declared these lines of the log:\n{}", undeclared.concat());
        }
    }
}

/// Watches the log of this process.
pub fn watch() -> Watch {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_ansi(false).with_writer(|| Sink);
        log.compact().init();
    });
    Watch(())
}

/// Declares warnings and errors with `part` in them: this test causes some.
pub fn allow(part: &'static str) {
    DECLARED.lock().unwrap_or_else(PoisonError::into_inner).push(part);
}

/// Takes one line a call.
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{allow, watch};

    #[test]
    fn an_undeclared_line_fails_and_a_declared_one_does_not() {
        drop(watch());
        let watching = watch();
        tracing::info!("all is well");
        allow("the disk is full");
        tracing::warn!(file = "a", "the disk is full");
        drop(watching);
        tracing::error!("the disk is gone");
        let outcome = std::panic::catch_unwind(|| drop(watch())).unwrap_err();
        let message = outcome.downcast_ref::<String>().unwrap();
        assert!(message.contains("the disk is gone") && !message.contains("full"), "{message}");
        drop(watch());
    }
}

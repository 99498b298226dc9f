//! How many sockets a server may have, so that the engine can always open its files.

use std::time::Duration;

use outcrop_types::{Condition, Error, Result};

use crate::ServerConfig;

/// Connections beyond a listener's limit that may wait for their refusal.
pub(crate) const REFUSALS_MAX: usize = 16;
/// Pause after a failed accept: usually the process is out of file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Fewest file descriptors that a server starts with.
const DESCRIPTORS_MIN: usize = 256;

impl ServerConfig {
    /// Fits the connections into the file descriptors that the process may open. Half of them are for sockets at most:
    /// the others are for segments, log and spilled queries. Returns the limits of both listeners if they had to be
    /// lowered, in proportion.
    ///
    /// # Errors
    /// `TooManyConnections` if there are so few descriptors that a server makes no sense.
    pub fn fit_descriptors(&mut self, descriptors: u64) -> Result<Option<(usize, usize)>> {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        if descriptors < DESCRIPTORS_MIN {
            let message = format!("the process may open {descriptors} files, a server needs {DESCRIPTORS_MIN}");
            return Err(Error::new(Condition::TooManyConnections, message).with_hint("Raise the limit (ulimit -n)."));
        }
        let http = if self.http_listen.is_some() { self.http_connections_max } else { 0 };
        let wanted = self.connections_max.saturating_add(http);
        let room = (descriptors / 2).saturating_sub(2 * REFUSALS_MAX);
        if wanted <= room {
            return Ok(None);
        }
        // Configured limits are far below what overflows; `room` is less than `wanted` here, which is not 0.
        let share = |part: usize| (part.saturating_mul(room) / wanted).max(1);
        self.connections_max = share(self.connections_max);
        self.http_connections_max = share(http);
        Ok(Some((self.connections_max, self.http_connections_max)))
    }
}

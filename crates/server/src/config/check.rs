//! From settings to what the server is started with.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use outcrop_engine::EngineOptions;
use outcrop_query::DatabaseOptions;

use super::memory::{Part, TooSmall, divide, machine_bytes};
use super::{ByteSize, Config, users_path};
use crate::auth::{Authentication, Users};
use crate::{ServerConfig, Tls};

/// A configuration that makes sense, its files read.
#[derive(Clone, Debug)]
pub struct CheckedConfig {
    /// Directory of the database.
    pub data: PathBuf,
    /// Network.
    pub server: ServerConfig,
    /// Storage.
    pub engine: EngineOptions,
    /// Queries.
    pub database: DatabaseOptions,
    /// Threads for queries.
    pub query_threads: usize,
}

/// What is wrong, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblem {
    place: String,
    what: String,
}

impl ConfigProblem {
    pub(super) fn new(place: &str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), what: what.into() }
    }

    /// The setting, variable or file.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Problems so far.
#[derive(Default)]
struct Checks(Vec<ConfigProblem>);

impl Checks {
    fn say(&mut self, place: &str, what: impl Into<String>) {
        self.0.push(ConfigProblem::new(place, what));
    }

    fn range(&mut self, place: &str, size: ByteSize, least: ByteSize, most: ByteSize) {
        if !(least..=most).contains(&size) {
            self.say(place, format!("{size} is outside {least} to {most}"));
        }
    }
}

/// The memory budget, divided.
#[derive(Clone, Copy, Debug)]
struct Memory {
    memtables: u64,
    pages: u64,
    queries: u64,
    bodies: u64,
    results: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// Rows of a segment, 2^24, hold every generation.
const FLUSH_ROWS_MAX: u32 = 1 << 24;
const CONNECTIONS_MAX: usize = 100_000;
const THREADS_MAX: usize = 1_024;
/// What a machine is taken for that does not tell how much memory it has.
const MACHINE_BYTES_UNKNOWN: u64 = 4 << 30;
const SPILL_DIR: &str = "spill";

impl Config {
    /// Checks every setting and reads the files that they name.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn check(&self) -> Result<CheckedConfig, Vec<ConfigProblem>> {
        let mut checks = Checks::default();
        if self.data.as_os_str().is_empty() {
            checks.say("data", "names no directory");
        }
        let pg_listen = address(&mut checks, "pg_listen", &self.pg_listen);
        let http_listen = match self.http_listen.as_str() {
            "" | "off" => None,
            text => address(&mut checks, "http_listen", text),
        };
        let authentication = self.authentication(&mut checks);
        if let Some(Authentication::Trust) = &authentication {
            for (name, address) in [("pg_listen", pg_listen), ("http_listen", http_listen)] {
                if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
                    checks.say(name, format!("will not listen on {address} without authentication; add a user with `outcrop user add`, or listen on 127.0.0.1"));
                }
            }
        }
        let tls = self.tls(&mut checks);
        self.check_limits(&mut checks);
        self.check_log(&mut checks);
        let memory = self.memory(&mut checks);
        let (Some(pg_listen), Some(authentication), Some(memory), true) =
            (pg_listen, authentication, memory, checks.0.is_empty())
        else {
            return Err(checks.0);
        };
        let mut server = ServerConfig::new(pg_listen);
        server.http_listen = http_listen;
        server.http_hosts.clone_from(&self.http_hosts);
        server.authentication = authentication;
        server.tls = tls;
        server.connections_max = self.connections_max;
        server.http_connections_max = self.http_connections_max;
        server.http_idle_timeout = self.http_idle_timeout.0;
        server.message_bytes_max = to_usize(self.message_bytes_max);
        server.body_bytes_max = to_usize(self.body_bytes_max);
        server.body_memory_bytes = memory.bodies;
        server.result_memory_bytes = usize::try_from(memory.results).unwrap_or(usize::MAX);
        server.body_timeout = self.body_timeout.0;
        server.session_bytes_max = to_usize(self.session_bytes_max);
        server.startup_timeout = self.startup_timeout.0;
        server.drain_timeout = self.drain_timeout.0;
        server.network_threads = self.network_threads;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let query_threads = if self.query.threads == 0 { processors } else { self.query.threads };
        Ok(CheckedConfig {
            data: self.data.clone(),
            server,
            engine: self.engine_options(memory),
            database: self.database_options(query_threads, memory),
            query_threads,
        })
    }

    /// Reads the users file and the certificate again: what [`crate::RunningServer::reload`] takes.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn read_access(&self) -> Result<(Authentication, Option<Tls>), Vec<ConfigProblem>> {
        let mut checks = Checks::default();
        let (authentication, tls) = (self.authentication(&mut checks), self.tls(&mut checks));
        match authentication {
            Some(authentication) if checks.0.is_empty() => Ok((authentication, tls)),
            Some(_) | None => Err(checks.0),
        }
    }

    /// Users if there is a file of them with one in it, trust otherwise.
    fn authentication(&self, checks: &mut Checks) -> Option<Authentication> {
        let path = users_path(self);
        let place = format!("users_file {}", path.display());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.users_file.as_os_str().is_empty() => {
                return Some(Authentication::Trust);
            }
            Err(error) => {
                checks.say(&place, format!("cannot be read: {error}"));
                return None;
            }
        };
        match Users::parse(&text) {
            Ok(users) if users.users().is_empty() && users.api_keys().is_empty() => Some(Authentication::Trust),
            Ok(users) => Some(Authentication::Users(users)),
            Err(error) => {
                let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
                checks.say(&place, format!("{error}{detail}"));
                None
            }
        }
    }

    fn tls(&self, checks: &mut Checks) -> Option<Tls> {
        let (certificate, key) = (&self.tls.certificate, &self.tls.key);
        match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
            (true, true) => return None,
            (false, false) => {}
            (false, true) => checks.say("tls.key", "is missing, tls.certificate is set"),
            (true, false) => checks.say("tls.certificate", "is missing, tls.key is set"),
        }
        let certificate = read(checks, "tls.certificate", certificate);
        let key = read(checks, "tls.key", key);
        match Tls::from_pem(&certificate?, &key?) {
            Ok(tls) => Some(tls),
            Err(error) => {
                checks.say("tls", error.to_string());
                None
            }
        }
    }

    fn check_limits(&self, checks: &mut Checks) {
        let sizes = [
            ("message_bytes_max", self.message_bytes_max, 64 * KIB, 1 << 30),
            ("body_bytes_max", self.body_bytes_max, KIB, 1 << 30),
            ("session_bytes_max", self.session_bytes_max, MIB, TIB),
            ("engine.flush_bytes_max", self.engine.flush_bytes_max, 4 * KIB, TIB),
            ("engine.log_bytes_max", self.engine.log_bytes_max, MIB, TIB),
            ("engine.log_file_bytes", self.engine.log_file_bytes, MIB, 4 << 30),
            ("engine.commit_inline_bytes_max", self.engine.commit_inline_bytes_max, KIB, 1 << 30),
            ("engine.compaction_bytes_target", self.engine.compaction_bytes_target, MIB, TIB),
            ("engine.feed_retain_bytes", self.engine.feed_retain_bytes, MIB, 1_024 * TIB),
            ("engine.compaction_memory_bytes", self.engine.compaction_memory_bytes, MIB, TIB),
        ];
        for (place, size, least, most) in sizes {
            checks.range(place, size, ByteSize(least), ByteSize(most));
        }
        if !(1..=FLUSH_ROWS_MAX).contains(&self.engine.flush_rows_max) {
            checks.say("engine.flush_rows_max", format!("is outside 1 to {FLUSH_ROWS_MAX}"));
        }
        if !(1..=100).contains(&self.engine.compaction_dead_percent) {
            checks.say("engine.compaction_dead_percent", "is outside 1 to 100");
        }
        for (place, connections) in
            [("connections_max", self.connections_max), ("http_connections_max", self.http_connections_max)]
        {
            if !(1..=CONNECTIONS_MAX).contains(&connections) {
                checks.say(place, format!("is outside 1 to {CONNECTIONS_MAX}"));
            }
        }
        if !(1..=THREADS_MAX).contains(&self.network_threads) {
            checks.say("network_threads", format!("is outside 1 to {THREADS_MAX}"));
        }
        if self.query.threads > THREADS_MAX {
            checks.say("query.threads", format!("is more than {THREADS_MAX}"));
        }
        let timeouts = [
            ("startup_timeout", self.startup_timeout),
            ("http_idle_timeout", self.http_idle_timeout),
            ("body_timeout", self.body_timeout),
            ("engine.retention_interval", self.engine.retention_interval),
        ];
        for (place, timeout) in timeouts {
            if timeout.0.is_zero() {
                checks.say(place, "must be longer than 0s");
            }
        }
    }

    /// The parts of the memory budget.
    fn memory(&self, checks: &mut Checks) -> Option<Memory> {
        // A quarter is kept for small bodies.
        let bodies = self.body_bytes_max.0.div_ceil(3).saturating_mul(4);
        let parts = [
            ("engine.memtable_bytes_max", self.engine.memtable_bytes_max, self.engine.flush_bytes_max.0.max(MIB), 25),
            ("engine.page_cache_bytes", self.engine.page_cache_bytes, MIB, 25),
            ("query.memory_bytes", self.query.memory_bytes, 16 * MIB, 40),
            ("body_memory_bytes", self.body_memory_bytes, bodies.max(KIB), 5),
            ("result_memory_bytes", self.result_memory_bytes, MIB, 5),
        ];
        let parts = parts.map(|(setting, share, least, weight)| Part { setting, given: share.0, least, weight });
        for part in &parts {
            if let Some(given) = part.given {
                checks.range(part.setting, given, ByteSize(part.least), ByteSize(TIB));
            }
        }
        let least: u64 = parts.iter().map(|part| part.given.map_or(part.least, |given| given.0)).sum();
        let budget = match self.memory_budget.0 {
            Some(budget) => budget.0,
            // What somebody asked for by name is theirs, whatever the machine has.
            None => (machine_bytes().unwrap_or(MACHINE_BYTES_UNKNOWN) / 2).max(least),
        };
        match divide(budget, &parts) {
            Ok([memtables, pages, queries, bodies, results]) => {
                Some(Memory { memtables, pages, queries, bodies, results })
            }
            Err(TooSmall(needed)) => {
                let (budget, needed) = (ByteSize(budget), ByteSize(needed));
                checks.say("memory_budget", format!("{budget} is less than its parts need: {needed}"));
                None
            }
        }
    }

    fn check_log(&self, checks: &mut Checks) {
        if !matches!(self.log.format.as_str(), "full" | "compact") {
            checks.say("log.format", format!("\"{}\" is neither full nor compact", self.log.format));
        }
    }

    fn engine_options(&self, memory: Memory) -> EngineOptions {
        let mut options = EngineOptions::default();
        options.flush_bytes_max = self.engine.flush_bytes_max.0;
        options.flush_rows_max = self.engine.flush_rows_max;
        options.flush_age_max = self.engine.flush_age_max.0;
        options.memtable_bytes_max = memory.memtables;
        options.log_bytes_max = self.engine.log_bytes_max.0;
        options.log_file_bytes = self.engine.log_file_bytes.0;
        options.commit_inline_bytes_max = self.engine.commit_inline_bytes_max.0;
        options.page_cache_bytes = memory.pages;
        options.stall_max = self.engine.stall_max.0;
        options.compaction_bytes_target = self.engine.compaction_bytes_target.0;
        options.compaction_dead_percent = self.engine.compaction_dead_percent;
        options.snapshot_age_max = self.engine.snapshot_age_max.0;
        options.feed_retain_bytes = self.engine.feed_retain_bytes.0;
        options.compaction_memory_bytes = self.engine.compaction_memory_bytes.0;
        options.retention_interval = self.engine.retention_interval.0;
        options
    }

    fn database_options(&self, threads: usize, memory: Memory) -> DatabaseOptions {
        let spill_dir = match self.query.spill_dir.as_os_str().is_empty() {
            true => self.data.join(SPILL_DIR),
            false => self.query.spill_dir.clone(),
        };
        DatabaseOptions {
            memory_bytes: memory.queries,
            spill_dir: Some(spill_dir),
            spill_bytes_max: self.query.spill_bytes_max.0,
            target_partitions: threads,
            session_bytes_max: to_usize(self.session_bytes_max),
            statement_timeout: Some(self.query.statement_timeout.0).filter(|timeout| !timeout.is_zero()),
            ..DatabaseOptions::default()
        }
    }
}

/// An address, or a name with a port, which is looked up.
fn address(checks: &mut Checks, place: &str, text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    if found.is_none() {
        checks.say(place, format!("\"{text}\" is not an address such as 127.0.0.1:5433"));
    }
    found
}

fn read(checks: &mut Checks, place: &str, path: &Path) -> Option<Vec<u8>> {
    if path.as_os_str().is_empty() {
        return None;
    }
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            checks.say(place, format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}

fn to_usize(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

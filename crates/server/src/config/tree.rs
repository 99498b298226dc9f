//! The settings.

use std::path::PathBuf;
use std::time::Duration;

use outcrop_engine::EngineOptions;
use outcrop_query::DatabaseOptions;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Period, Share};

/// All settings of `outcrop serve`. Empty text means "not set" where a setting may be absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Directory of the database. Default `./outcrop-data`.
    pub data: PathBuf,
    /// Address of the PostgreSQL protocol. Default `127.0.0.1:5433`.
    pub pg_listen: String,
    /// Address of the REST interface; `off` for none. Default `127.0.0.1:8090`.
    pub http_listen: String,
    /// Host names that HTTP requests may name, beside addresses and `localhost`. With authentication and without names
    /// here any name will do. Default none.
    pub http_hosts: Vec<String>,
    /// Memory for rows that are not in segments yet, pages of files, queries, HTTP bodies and results that wait to be fetched.
    /// Settings of these parts take their part of it; the others share the rest. Default `auto`: half of the machine's.
    pub memory_budget: Share,
    /// File of users and API keys. Default `users.toml` in the data directory. If it exists, clients must authenticate.
    pub users_file: PathBuf,
    /// PostgreSQL sessions at once. Default 1,000.
    pub connections_max: usize,
    /// HTTP connections at once. Default 1,000.
    pub http_connections_max: usize,
    /// Longest that an HTTP client may be silent: before the head of a request is whole, between two pieces of its body,
    /// and while an answer waits for it. Default 30 s.
    pub http_idle_timeout: Period,
    /// Longest message of the PostgreSQL protocol. Default 64 MiB.
    pub message_bytes_max: ByteSize,
    /// Longest body of an HTTP request. Default 64 MiB.
    pub body_bytes_max: ByteSize,
    /// Memory for all bodies of HTTP requests at once. Default `auto`: a share of `memory_budget`.
    pub body_memory_bytes: Share,
    /// Memory for results of HTTP queries that wait to be fetched. Default `auto`: a share of `memory_budget`.
    pub result_memory_bytes: Share,
    /// Longest from the head of an HTTP request to the end of its body. Default 2 min.
    pub body_timeout: Period,
    /// Memory for the prepared statements and portals that one session keeps by name, estimated; and as much for those
    /// of SQL's PREPARE. Default 256 MiB.
    pub session_bytes_max: ByteSize,
    /// Time from a client's first byte to the end of its authentication. Default 60 s.
    pub startup_timeout: Period,
    /// How long running statements may go on once the server was told to stop. Default 30 s.
    pub drain_timeout: Period,
    /// Threads for network connections. Default 2.
    pub network_threads: usize,
    /// Encryption.
    pub tls: TlsSection,
    /// Storage.
    pub engine: EngineSection,
    /// Queries.
    pub query: QuerySection,
    /// Log output.
    pub log: LogSection,
}

/// Encryption by certificate files; both or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// Certificate chain in PEM, leaf first. Default none.
    pub certificate: PathBuf,
    /// Private key in PEM. Default none.
    pub key: PathBuf,
}

/// Limits of the storage engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSection {
    /// Rows in memory are flushed to a segment at this size. Default 64 MiB.
    pub flush_bytes_max: ByteSize,
    /// Rows in memory are flushed to a segment at this number. Default 1,000,000.
    pub flush_rows_max: u32,
    /// Rows in memory are flushed at this age, however few. Default 10 min.
    pub flush_age_max: Period,
    /// Memory for rows before writes are delayed, then refused. Default `auto`: a share of `memory_budget`.
    pub memtable_bytes_max: Share,
    /// Log kept before the oldest rows are flushed. Default 1 GiB.
    pub log_bytes_max: ByteSize,
    /// Size of one log file. Default 64 MiB.
    pub log_file_bytes: ByteSize,
    /// Larger commits are staged in segments. Default 8 MiB.
    pub commit_inline_bytes_max: ByteSize,
    /// Memory for pages of segments and key runs. Default `auto`: a share of `memory_budget`.
    pub page_cache_bytes: Share,
    /// Longest that a write waits for memory before it is refused. Default 10 s.
    pub stall_max: Period,
    /// Size that compaction gives segments. Default 256 MiB.
    pub compaction_bytes_target: ByteSize,
    /// A segment is rewritten when this share of its rows is dead. Default 30.
    pub compaction_dead_percent: u32,
    /// How long a statement or a block may read one snapshot, because it keeps files; `0s` is for ever. Default 10 min.
    pub snapshot_age_max: Period,
    /// Log and files that a feed cursor may keep for itself before it is ended. Default 4 GiB.
    pub feed_retain_bytes: ByteSize,
    /// Memory for sorting while tables with a sort key are flushed and compacted. Default 256 MiB.
    pub compaction_memory_bytes: ByteSize,
    /// How often tables with a retention are looked at. Default 1 min.
    pub retention_interval: Period,
}

/// Limits of queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySection {
    /// Memory that all queries share. Default `auto`: a share of `memory_budget`.
    pub memory_bytes: Share,
    /// Where queries spill what memory does not hold, in a folder of their own below it. Default `spill` in the data
    /// directory.
    pub spill_dir: PathBuf,
    /// Most bytes spilled at once. Default 64 GiB.
    pub spill_bytes_max: ByteSize,
    /// Threads for queries; 0 is one for each processor. Default 0.
    pub threads: usize,
    /// Longest that a statement may run; `0s` is for ever. Default `0s`.
    pub statement_timeout: Period,
}

/// Log output, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,outcrop_engine=debug`. Default `info`.
    pub level: String,
    /// `full` or `compact`. Default `compact`.
    pub format: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: "./outcrop-data".into(),
            pg_listen: "127.0.0.1:5433".to_owned(),
            http_listen: "127.0.0.1:8090".to_owned(),
            http_hosts: Vec::new(),
            memory_budget: Share::default(),
            users_file: PathBuf::new(),
            connections_max: 1_000,
            http_connections_max: 1_000,
            http_idle_timeout: Period(Duration::from_secs(30)),
            message_bytes_max: ByteSize(64 << 20),
            body_bytes_max: ByteSize(64 << 20),
            body_memory_bytes: Share::default(),
            result_memory_bytes: Share::default(),
            body_timeout: Period(Duration::from_secs(120)),
            session_bytes_max: ByteSize(256 << 20),
            startup_timeout: Period(Duration::from_secs(60)),
            drain_timeout: Period(Duration::from_secs(30)),
            network_threads: 2,
            tls: TlsSection::default(),
            engine: EngineSection::default(),
            query: QuerySection::default(),
            log: LogSection::default(),
        }
    }
}

impl Default for EngineSection {
    fn default() -> Self {
        let options = EngineOptions::default();
        Self {
            flush_bytes_max: ByteSize(options.flush_bytes_max),
            flush_rows_max: options.flush_rows_max,
            flush_age_max: Period(options.flush_age_max),
            memtable_bytes_max: Share::default(),
            log_bytes_max: ByteSize(options.log_bytes_max),
            log_file_bytes: ByteSize(options.log_file_bytes),
            commit_inline_bytes_max: ByteSize(options.commit_inline_bytes_max),
            page_cache_bytes: Share::default(),
            stall_max: Period(options.stall_max),
            compaction_bytes_target: ByteSize(options.compaction_bytes_target),
            compaction_dead_percent: options.compaction_dead_percent,
            snapshot_age_max: Period(options.snapshot_age_max),
            feed_retain_bytes: ByteSize(options.feed_retain_bytes),
            compaction_memory_bytes: ByteSize(options.compaction_memory_bytes),
            retention_interval: Period(options.retention_interval),
        }
    }
}

impl Default for QuerySection {
    fn default() -> Self {
        let options = DatabaseOptions::default();
        Self {
            memory_bytes: Share::default(),
            spill_dir: PathBuf::new(),
            spill_bytes_max: ByteSize(options.spill_bytes_max),
            threads: 0,
            statement_timeout: Period(options.statement_timeout.unwrap_or_default()),
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: "compact".to_owned() }
    }
}

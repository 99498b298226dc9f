//! `GET /metrics`: counters and gauges in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use outcrop_engine::EngineStatus;
use outcrop_engine::status::HistogramStatus;

use super::service::RestServices;

/// What Prometheus expects of text.
const FORMAT: &str = "text/plain; version=0.0.4";

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// One metric: name, help, kind, and where its value is.
struct Metric(&'static str, &'static str, Kind, fn(&EngineStatus) -> u64);

/// Every metric of the engine (style rule 57).
const METRICS: &[Metric] = &[
    Metric("outcrop_commits_total", "Commits since the start.", Kind::Counter, |s| s.commits),
    Metric("outcrop_replayed_records", "Records of the log that the start applied.", Kind::Gauge, |s| {
        s.replayed_records
    }),
    Metric("outcrop_log_groups_total", "Log groups synced since the start.", Kind::Counter, |s| s.groups),
    Metric("outcrop_flushes_total", "Flushes installed since the start.", Kind::Counter, |s| s.flushes),
    Metric("outcrop_compactions_total", "Compactions installed since the start.", Kind::Counter, |s| s.compactions),
    Metric("outcrop_compacted_rows_total", "Rows that compactions wrote.", Kind::Counter, |s| s.compacted_rows),
    Metric("outcrop_compacted_bytes_total", "Bytes that compactions wrote, about.", Kind::Counter, |s| {
        s.compacted_bytes
    }),
    Metric("outcrop_expired_rows_total", "Rows that retention deleted.", Kind::Counter, |s| s.expired_rows),
    Metric("outcrop_compaction_debt_bytes", "Bytes in segments that are worth a rewrite.", Kind::Gauge, |s| {
        s.compaction_debt_bytes
    }),
    Metric("outcrop_segment_rows", "Rows of all segments, dead and alive.", Kind::Gauge, |s| s.segment_rows),
    Metric("outcrop_dead_rows", "Dead rows of all segments.", Kind::Gauge, |s| s.dead_rows),
    Metric("outcrop_published_commit_seq", "Newest commit that readers see.", Kind::Gauge, |s| s.published.get()),
    Metric("outcrop_oldest_pin_commit_seq", "Commit of the oldest version that is read.", Kind::Gauge, |s| {
        s.oldest_pin.get()
    }),
    Metric("outcrop_pins", "Versions that are read.", Kind::Gauge, |s| s.pins),
    Metric("outcrop_live_rows", "Rows alive in all tables.", Kind::Gauge, |s| s.live_rows),
    Metric("outcrop_memtable_bytes", "Memory of memtables.", Kind::Gauge, |s| s.memtable_bytes),
    Metric("outcrop_key_index_bytes", "Memory of key indexes, the page cache apart.", Kind::Gauge, |s| {
        s.key_index_bytes
    }),
    Metric("outcrop_segments", "Segments of all tables.", Kind::Gauge, |s| s.segments),
    Metric("outcrop_key_runs", "Key runs of all tables.", Kind::Gauge, |s| s.key_runs),
    Metric("outcrop_key_run_bytes", "Bytes of key run files.", Kind::Gauge, |s| s.key_run_bytes),
    Metric("outcrop_segment_bytes", "Bytes of segment files.", Kind::Gauge, |s| s.segment_bytes),
    Metric("outcrop_log_bytes", "Log that a recovery would read.", Kind::Gauge, |s| s.log_bytes),
    Metric("outcrop_feed_log_bytes", "Log before that, kept for feed cursors.", Kind::Gauge, |s| s.feed_log_bytes),
    Metric("outcrop_poisoned", "1 if writes are refused until a restart.", Kind::Gauge, |s| {
        u64::from(s.poisoned.is_some())
    }),
];

/// One distribution: name, help, what a unit of its numbers is in the unit of its name, and where it is.
struct Distribution(&'static str, &'static str, Unit, fn(&EngineStatus) -> &HistogramStatus);

#[derive(Clone, Copy)]
enum Unit {
    /// Microseconds, told in seconds.
    Seconds,
    Things,
}

/// Every distribution of the engine.
const DISTRIBUTIONS: &[Distribution] = &[
    Distribution("outcrop_commit_seconds", "From the wish to commit to the answer.", Unit::Seconds, |s| &s.commit_time),
    Distribution("outcrop_log_sync_seconds", "Syncs of the log.", Unit::Seconds, |s| &s.sync_time),
    Distribution("outcrop_group_commits", "Commits that share a sync.", Unit::Things, |s| &s.group_commits),
    Distribution("outcrop_freshness_seconds", "From a place in the log to visible.", Unit::Seconds, |s| &s.freshness),
    Distribution("outcrop_stall_seconds", "Delays of writes for lack of memory.", Unit::Seconds, |s| &s.stall_time),
];

/// Reasons that [`EngineStatus::stall_reason`] gives become a label of this metric.
const STALL: &str = "outcrop_stalled";
const CONNECTIONS: &str = "outcrop_pg_connections";

/// `GET /metrics`
pub(super) async fn metrics(State(services): State<Arc<RestServices>>) -> impl IntoResponse {
    let connections = u64::try_from(services.registry.len()).unwrap_or(u64::MAX);
    ([(CONTENT_TYPE, FORMAT)], render(&services.database.engine().status(), connections))
}

pub(super) fn render(status: &EngineStatus, connections: u64) -> String {
    let mut text = String::new();
    for Metric(name, help, kind, value) in METRICS {
        put(&mut text, name, help, *kind, "", value(status));
    }
    for Distribution(name, help, unit, value) in DISTRIBUTIONS {
        put_distribution(&mut text, name, help, *unit, value(status));
    }
    put(&mut text, CONNECTIONS, "Sessions of the PostgreSQL protocol.", Kind::Gauge, "", connections);
    let label = status.stall_reason.map(|reason| format!("{{reason=\"{}\"}}", reason.replace('"', "'")));
    let stalled = u64::from(label.is_some());
    put(&mut text, STALL, "1 while writes are delayed.", Kind::Gauge, &label.unwrap_or_default(), stalled);
    text
}

fn put(text: &mut String, name: &str, help: &str, kind: Kind, label: &str, value: u64) {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    // Writing to a string cannot fail.
    write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{label} {value}\n").unwrap_or_default();
}

fn put_distribution(text: &mut String, name: &str, help: &str, unit: Unit, histogram: &HistogramStatus) {
    let told = |number: u64| match unit {
        // Exact in decimal: six digits behind the point.
        Unit::Seconds => format!("{}.{:06}", number / 1_000_000, number % 1_000_000),
        Unit::Things => number.to_string(),
    };
    // Writing to a string cannot fail.
    write!(text, "# HELP {name} {help}\n# TYPE {name} histogram\n").unwrap_or_default();
    let mut below = 0;
    for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
        below += count;
        writeln!(text, "{name}_bucket{{le=\"{}\"}} {below}", told(*bound)).unwrap_or_default();
    }
    let all: u64 = histogram.counts.iter().sum();
    writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {all}").unwrap_or_default();
    write!(text, "{name}_sum {}\n{name}_count {all}\n", told(histogram.sum)).unwrap_or_default();
}

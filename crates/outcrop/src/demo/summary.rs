//! What was seen, told at the end.

use outcrop_engine::EngineStatus;

use super::screen::aligned;
use super::state::{State, percentiles};
use crate::terminal::{duration, grouped, megabytes};

/// The summary, line by line.
pub(super) fn summary(state: &State, engine: &EngineStatus) -> Vec<String> {
    let total = &state.total;
    let mut lines = vec![
        format!("Outcrop demo: {:.1} seconds", state.elapsed.as_secs_f64()),
        format!("  rows          processes {}, samples {}", grouped(state.rows.processes), grouped(state.rows.samples)),
        format!(
            "  changes       {} acknowledged ({} upserted, {} deleted, {} appended), {} per second",
            grouped(total.all()),
            grouped(total.upserted),
            grouped(total.deleted),
            grouped(total.appended),
            grouped(total.per_second(state.elapsed)),
        ),
        format!("  acknowledged  {}, each after its sync to disk", percentiles(&state.acknowledged)),
        format!(
            "  freshness     {}, at most {}: from sending a change to seeing it in another session ({} measured)",
            percentiles(&state.freshness),
            duration(state.freshness.max()),
            grouped(state.freshness.count()),
        ),
        format!(
            "  stored        {} commits; log {}, {} segments with {}",
            grouped(engine.commits),
            megabytes(engine.log_bytes),
            grouped(engine.segments),
            megabytes(engine.segment_bytes),
        ),
    ];
    for answer in state.answers.iter().filter(|answer| answer.latencies.count() > 0) {
        lines.push(String::new());
        lines.push(format!(
            "{}: {}, {} times",
            answer.title,
            percentiles(&answer.latencies),
            grouped(answer.latencies.count()),
        ));
        lines.extend(aligned(answer, ROWS_MAX));
    }
    lines.push(String::new());
    lines
}

const ROWS_MAX: usize = 5;

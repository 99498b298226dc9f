//! Removing files that no manifest and no version needs.

use std::sync::Arc;

use outcrop_env::FileName;
use outcrop_segment::{data_file_name_of, key_run_file_name, meta_file_name};
use outcrop_types::{CommitSeq, UnitId};

use super::checkpoints::Kept;
use crate::files::file_name;
use crate::node::{Node, RetiredRun, RetiredSegment, SEGMENT_DIR};

/// Removes retired segments, key runs and victims files that recovery from `oldest`, the older of the kept manifests, does not need.
///
/// A segment goes when it left before that manifest, so that no replay meets its name, when nobody reads it any more, and when no
/// feed cursor keeps it.
pub(super) fn retire(node: &Node, oldest: &Kept) {
    // What is published is durable: no cursor will ever stand before its position there.
    let feeds = Arc::clone(&node.published.load().feeds);
    let gone: Vec<RetiredSegment> = {
        let mut retired = node.retired.lock();
        let is_free = |entry: &mut RetiredSegment| {
            entry.at <= oldest.checkpoint && entry.segment.strong_count() == 0 && !feeds.keeps(entry.unit)
        };
        retired.extract_if(.., is_free).collect()
    };
    gone.iter().for_each(|entry| {
        // The meta file first: without it the data file means nothing.
        remove(node, file_name(SEGMENT_DIR, &meta_file_name(node.identity.log_of(entry.unit), entry.unit)));
        remove_data_files(node, entry.unit);
    });
    let gone: Vec<RetiredRun> = {
        let mut retired = node.retired_runs.lock();
        retired.extract_if(.., |entry| entry.at <= oldest.checkpoint && entry.run.strong_count() == 0).collect()
    };
    gone.iter().for_each(|entry| {
        remove(node, file_name(SEGMENT_DIR, &key_run_file_name(node.identity.log_of(entry.unit), entry.unit)))
    });

    let files: Vec<String> = {
        let mut files = node.victims_files.lock();
        let passed = feeds.oldest_position();
        let is_free = |seq: CommitSeq| seq < oldest.log_start && passed.is_none_or(|passed| seq <= passed);
        files.extract_if(.., |(seq, _)| is_free(*seq)).map(|(_, name)| name).collect()
    };
    files.iter().for_each(|name| remove_staged_file(node, name));
    collect_keys(node);
}

/// Whether files of retired units could be removed if the older manifest held commit `checkpoint`, and whether some wait for
/// nothing but a newer one.
pub(super) fn retired(node: &Node, checkpoint: CommitSeq) -> (bool, bool) {
    let version = node.published.load_full();
    let published = version.seq;
    let segments = node.retired.lock();
    let free = segments.iter().filter(|entry| !version.feeds.keeps(entry.unit));
    let segments = free.map(|entry| (entry.at, entry.segment.strong_count()));
    let (mut removable, mut waiting) = (false, false);
    for (at, readers) in segments.collect::<Vec<_>>() {
        removable |= readers == 0 && at <= checkpoint;
        waiting |= readers == 0 && at > checkpoint && at <= published;
    }
    (removable, waiting)
}

/// Removes the files of a segment that was never installed, its key run among them. What cannot be removed is an orphan, which the next
/// start removes.
pub(crate) fn remove_segment_files(node: &Node, unit: UnitId) {
    remove(node, file_name(SEGMENT_DIR, &meta_file_name(node.identity.log_of(unit), unit)));
    remove_data_files(node, unit);
    remove(node, file_name(SEGMENT_DIR, &key_run_file_name(node.identity.log_of(unit), unit)));
}

/// Removes a victims file, given its name from the root.
pub(crate) fn remove_staged_file(node: &Node, name: &str) {
    remove(node, file_name("", name));
}

/// Removes the data files of a segment, which are counted from 0 without gaps. What a failure leaves is an orphan.
fn remove_data_files(node: &Node, unit: UnitId) {
    let name = |number| file_name(SEGMENT_DIR, &data_file_name_of(node.identity.log_of(unit), unit, number));
    let mut number = 0;
    while is_removed(node, name(number)) {
        number += 1;
    }
}

fn remove(node: &Node, name: outcrop_types::Result<FileName>) {
    is_removed(node, name);
}

/// Removes a file; whether it was there.
fn is_removed(node: &Node, name: outcrop_types::Result<FileName>) -> bool {
    let outcome = name.map(|name| (node.env.disk.remove(&name), name));
    match outcome {
        Ok((Ok(()), _)) => return true,
        Ok((Err(error), _)) if error.kind() == std::io::ErrorKind::NotFound => {}
        Ok((Err(error), name)) => tracing::debug!(file = %name, %error, "a retired file stays"),
        Err(error) => tracing::debug!(%error, "a retired file has no name"),
    }
    false
}

/// Lets the key indexes drop entries of units that only old readers needed.
fn collect_keys(node: &Node) {
    let version = node.published.load();
    for shard in version.tables.values().flat_map(|table| &table.shards) {
        if let Some(keys) = shard.keys() {
            keys.collect();
        }
    }
}

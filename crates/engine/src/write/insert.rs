//! `INSERT` and its conflicts.

use std::collections::HashSet;

use arrow_array::{Array, BooleanArray, RecordBatch};
use outcrop_format::record::{Op, Ops};
use outcrop_types::{Condition, Error, Result};

use super::api::{ConflictUpdate, OnConflict, RowOutcome};
use super::decision::{Decision, check_unique, gather, insert_all, ops_from};
use super::normalise::normalise;
use super::overwrite::insert_or_overwrite;
use super::tail::TailView;
use crate::key_index::KeyHash;

/// Judges an `INSERT` whose rows are in memory.
pub(crate) fn decide_insert(
    view: &TailView<'_>,
    rows: &RecordBatch,
    keys: &[KeyHash],
    on_conflict: &mut OnConflict,
) -> Result<Decision> {
    if keys.is_empty() {
        return insert_all(rows.clone(), Vec::new());
    }
    match on_conflict {
        OnConflict::Error => {
            check_unique(view, rows, keys, &Ops::AllInserts { count: 0 })?;
            insert_all(rows.clone(), keys.to_vec())
        }
        OnConflict::Nothing => insert_new(view, rows, keys),
        OnConflict::Update(callback) => insert_or_update(view, rows, keys, callback.as_mut()),
        OnConflict::Overwrite(columns) => insert_or_overwrite(view, rows, keys, columns),
    }
}

/// `DO NOTHING`: rows with a key that is there, or came earlier in the statement, are skipped.
fn insert_new(view: &TailView<'_>, rows: &RecordBatch, keys: &[KeyHash]) -> Result<Decision> {
    let mut seen = HashSet::with_capacity(keys.len());
    let mut picks = Vec::with_capacity(keys.len());
    let mut row_keys = Vec::with_capacity(keys.len());
    let mut outcomes = Vec::with_capacity(keys.len());
    for (row, (key, existing)) in keys.iter().zip(view.lookup(keys)?).enumerate() {
        if existing.is_none() && seen.insert(*key) {
            picks.push((0, row));
            row_keys.push(*key);
            outcomes.push(RowOutcome::Inserted);
        } else {
            outcomes.push(RowOutcome::Skipped);
        }
    }
    if row_keys.len() == keys.len() {
        return insert_all(rows.clone(), row_keys);
    }
    let ops = ops_from(vec![Op::Insert; row_keys.len()])?;
    Ok(Decision { rows: gather(view.schema, std::slice::from_ref(rows), &picks)?, row_keys, ops, outcomes })
}

/// `DO UPDATE`. Rows with one key are judged one after the other; the second one meets 21000 if the first was applied.
fn insert_or_update(
    view: &TailView<'_>,
    rows: &RecordBatch,
    keys: &[KeyHash],
    callback: &mut dyn ConflictUpdate,
) -> Result<Decision> {
    let existing = view.lookup(keys)?;
    let mut sources = vec![rows.clone()];
    let mut results: Vec<Option<(Op, (usize, usize))>> = vec![None; keys.len()];
    let mut applied = HashSet::new();
    let mut waiting: Vec<usize> = (0..keys.len()).collect();
    while !waiting.is_empty() {
        let mut round = HashSet::new();
        let mut conflicts = Vec::new();
        let mut later = Vec::new();
        for row in waiting {
            let (Some(key), Some(found)) = (keys.get(row), existing.get(row)) else { continue };
            if applied.contains(key) {
                return Err(meets_row_twice());
            }
            match found {
                _ if !round.insert(*key) => later.push(row),
                Some(address) => conflicts.push((row, *key, *address)),
                None => {
                    applied.insert(*key);
                    set(&mut results, row, Op::Insert, (0, row));
                }
            }
        }
        if !conflicts.is_empty() {
            let picks: Vec<(usize, usize)> = conflicts.iter().map(|(row, _, _)| (0, *row)).collect();
            let addresses: Vec<_> = conflicts.iter().map(|(_, _, address)| *address).collect();
            let proposed = gather(view.schema, std::slice::from_ref(rows), &picks)?;
            let answer = callback.update(&view.fetch(&addresses)?, &proposed)?;
            check_answer(&answer.matches, &answer.rows, conflicts.len())?;
            let source = sources.len();
            for (index, (row, key, address)) in conflicts.iter().enumerate() {
                if is_true(&answer.matches, index) {
                    applied.insert(*key);
                    set(&mut results, *row, Op::Update(*address), (source, index));
                }
            }
            sources.push(checked_rows(view, &answer.matches, &answer.rows)?);
        }
        waiting = later;
    }
    finish_updates(view, &sources, &results)
}

fn finish_updates(
    view: &TailView<'_>,
    sources: &[RecordBatch],
    results: &[Option<(Op, (usize, usize))>],
) -> Result<Decision> {
    let picks: Vec<(usize, usize)> = results.iter().flatten().map(|(_, pick)| *pick).collect();
    let ops = ops_from(results.iter().flatten().map(|(op, _)| *op).collect())?;
    let outcomes = results
        .iter()
        .map(|result| match result {
            Some((Op::Insert, _)) => RowOutcome::Inserted,
            Some((Op::Update(_), _)) => RowOutcome::Updated,
            Some((Op::Delete(_), _)) | None => RowOutcome::Skipped,
        })
        .collect();
    let new_rows = gather(view.schema, sources, &picks)?;
    let row_keys = view.key_hashes(&new_rows)?;
    check_unique(view, &new_rows, &row_keys, &ops)?;
    Ok(Decision { rows: new_rows, row_keys, ops, outcomes })
}

fn set(results: &mut [Option<(Op, (usize, usize))>], row: usize, op: Op, pick: (usize, usize)) {
    if let Some(result) = results.get_mut(row) {
        *result = Some((op, pick));
    }
}

/// 21000.
pub(super) fn meets_row_twice() -> Error {
    Error::new(Condition::CardinalityViolation, "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .with_hint(
            "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
        )
}

/// The callback answers one row for each row it was given.
pub(crate) fn check_answer(matches: &BooleanArray, rows: &RecordBatch, expected: usize) -> Result<()> {
    if matches.len() == expected && rows.num_rows() == expected {
        return Ok(());
    }
    Err(Error::internal(format!(
        "a callback answered {} conditions and {} rows for {expected} rows",
        matches.len(),
        rows.num_rows()
    )))
}

/// The rows of an answer in stored form. Rows that do not match are not checked: their values mean nothing, and may even
/// break constraints; they keep their place, so that positions stay.
pub(crate) fn checked_rows(view: &TailView<'_>, matches: &BooleanArray, rows: &RecordBatch) -> Result<RecordBatch> {
    let arrow = view.schema.to_arrow();
    if (0..matches.len()).all(|index| is_true(matches, index)) {
        return normalise(rows, view.schema, &arrow);
    }
    let wanted: Vec<(usize, usize)> =
        (0..matches.len()).filter(|index| is_true(matches, *index)).map(|index| (0, index)).collect();
    let checked = normalise(&gather(view.schema, std::slice::from_ref(rows), &wanted)?, view.schema, &arrow)?;
    if checked.num_rows() == 0 {
        return Ok(checked);
    }
    // Spread out again; the gaps repeat the first row and are never picked.
    let mut next = 0;
    let spread: Vec<(usize, usize)> = (0..matches.len())
        .map(|index| {
            let here = if is_true(matches, index) { next } else { 0 };
            next += usize::from(is_true(matches, index));
            (0, here)
        })
        .collect();
    gather(view.schema, &[checked], &spread)
}

/// NULL counts as false.
pub(crate) fn is_true(matches: &BooleanArray, index: usize) -> bool {
    index < matches.len() && matches.is_valid(index) && matches.value(index)
}

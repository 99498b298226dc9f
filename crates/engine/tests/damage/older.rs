//! Older copies of parts of a database: what a clean stop makes sure is found, and what nothing can find after a crash.

use outcrop_env::{DiskImage, FileName};

use crate::database::{Built, EVERYTHING, WITH_VICTIMS};
use crate::faults::Fault;
use crate::matrix::{Case, Outcome};

fn stopped(built: &Built) -> Case<'_> {
    Case { sound: &built.stopped, earlier: &built.earlier, contents: std::slice::from_ref(&built.contents) }
}

fn killed(built: &Built) -> Case<'_> {
    Case { sound: &built.killed, earlier: &built.earlier, contents: &built.killed_contents }
}

/// The log file in which the log ends: the last one that is not zeros only, but for its header.
fn live_log(image: &DiskImage) -> FileName {
    let is_log = |name: &&FileName| name.dir() == "log";
    let is_written = |name: &&FileName| image.files[*name][4_096..].iter().any(|byte| *byte != 0);
    image.files.keys().filter(is_log).rfind(is_written).unwrap().clone()
}

/// The page of the last group of records in the live log file, which is followed by marks and starts of an epoch at most.
fn last_records(image: &DiskImage) -> Option<(FileName, usize)> {
    let file = live_log(image);
    let pages: Vec<&[u8]> = image.files[&file].chunks(4_096).collect();
    // A page that begins its own group, of kind 1.
    let begins = |page: &&[u8]| page[8..16] == page[16..24] && page[32] == 1;
    let page = (1..pages.len()).rev().find(|number| begins(&pages[*number]))?;
    Some((file, page * 4_096))
}

#[test]
fn p7_after_a_clean_stop_an_older_copy_of_the_live_log_file_is_found() {
    let built = &*EVERYTHING;
    let file = live_log(&built.stopped);
    let mut refused = 0;
    for moment in 0..built.earlier.len() {
        match stopped(built).judge(&Fault::Older { file: file.clone(), moment }) {
            Some(Outcome::Refused) => refused += 1,
            Some(other) => panic!("moment {moment}: {other:?}"),
            // The file was not there then.
            None => {}
        }
    }
    assert!(refused > 0);
}

#[test]
fn p7_after_a_clean_stop_damage_in_the_last_group_is_found_and_after_a_kill_it_is_the_end() {
    let built = &*EVERYTHING;
    let (file, offset) = last_records(&built.stopped).unwrap();
    let flip = Fault::Flip { file, offset: offset + 100, bits: 1 };
    assert_eq!(stopped(built).judge(&flip), Some(Outcome::Refused));
    let (file, offset) = last_records(&built.killed).unwrap();
    let flip = Fault::Flip { file, offset: offset + 100, bits: 1 };
    assert_eq!(killed(built).judge(&flip), Some(Outcome::TakenForTheEnd));
}

/// Every directory of the database as it was at an earlier moment, the others as they are.
#[test]
fn p7_after_a_clean_stop_an_older_copy_of_a_directory_is_found_or_changes_nothing() {
    for built in [&*EVERYTHING, &*WITH_VICTIMS] {
        let mut refused = 0;
        for earlier in &built.earlier {
            for dir in ["log", "manifest", "segments", "staged"] {
                let mut image = built.stopped.clone();
                image.files.retain(|name, _| name.dir() != dir);
                let older = earlier.files.iter().filter(|(name, _)| name.dir() == dir);
                image.files.extend(older.map(|(name, bytes)| (name.clone(), bytes.clone())));
                if image != built.stopped {
                    let outcome = stopped(built).judge_image(&image, None);
                    refused += usize::from(outcome == Outcome::Refused);
                }
            }
        }
        assert!(refused > 0);
    }
}

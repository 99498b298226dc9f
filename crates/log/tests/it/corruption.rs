//! P7: a changed byte gives an error with its place, or a right answer.

use outcrop_env::{DiskImage, Env, FileName, Sim};
use outcrop_log::{Log, Reach};
use outcrop_types::{Condition, LogId};

use crate::harness::{DIR, Known, LOG, Op, assert_prefix, create_and_run, file_names, reopen, seq, text};

/// A log over three files whose records are all below a mark, but the last two.
fn image() -> (DiskImage, Known) {
    let (env, sim) = Env::simulated(2);
    let ops = [
        Op::Group(vec![10, 20]),
        Op::Sync,
        Op::Group(vec![9000]),
        Op::Sync,
        Op::Group(vec![30]),
        Op::Sync,
        Op::Mark,
        Op::Group(vec![11]),
        Op::Group(vec![12]),
    ];
    let mut known = Known::default();
    drop(create_and_run(&env, &sim, &ops, &mut known).unwrap());
    (sim.image(), known)
}

/// Checks one damaged image: corrupt, or a prefix with everything below the mark.
fn assert_honest(image: &DiskImage, known: &Known, what: &str) -> bool {
    let (env, _sim) = Sim::from_image(image, 1);
    match reopen(&env, 1) {
        Ok((_, found)) => {
            assert_prefix(&found, known);
            false
        }
        Err(error) => {
            assert_eq!(error.condition(), Condition::DataCorrupted, "{what}: {error}");
            assert!(error.message().contains("/sim/log/") || error.message().contains("log"), "{error}");
            true
        }
    }
}

#[test]
fn p7_every_flipped_bit_is_corruption_or_leaves_a_prefix_with_all_marked_records() {
    let (image, known) = image();
    let mut corrupt = 0;
    let mut checked = 0;
    for (name, bytes) in &image.files {
        // Every bit of the first bytes of each page, where all fields are; a sample of the rest.
        let bits = (0..bytes.len() * 8).filter(|bit| (bit / 8) % 4096 < 96 || bit % 1009 == 0);
        for bit in bits {
            let mut damaged = image.clone();
            damaged.files.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            corrupt += usize::from(assert_honest(&damaged, &known, &format!("{name} bit {bit}")));
            checked += 1;
        }
    }
    assert!(corrupt > checked / 4, "only {corrupt} of {checked} flips were noticed");
}

#[test]
fn p7_truncated_extended_zeroed_and_swapped_files_are_noticed() {
    let (image, known) = image();
    let names: Vec<&FileName> = image.files.keys().collect();
    for name in &names {
        let len = image.files[*name].len();
        for cut in (0..len).step_by(1024) {
            let mut damaged = image.clone();
            damaged.files.get_mut(*name).unwrap().truncate(cut);
            assert_honest(&damaged, &known, &format!("{name} cut to {cut}"));
            let mut damaged = image.clone();
            damaged.files.get_mut(*name).unwrap()[cut..(cut + 512).min(len)].fill(0);
            assert_honest(&damaged, &known, &format!("{name} zeroed at {cut}"));
        }
        let mut damaged = image.clone();
        damaged.files.get_mut(*name).unwrap().extend_from_slice(&[0xAA; 5000]);
        assert!(!assert_honest(&damaged, &known, "extended"));
    }
    let mut swapped = image.clone();
    swapped.files.insert(names[0].clone(), image.files[names[1]].clone());
    swapped.files.insert(names[1].clone(), image.files[names[0]].clone());
    assert!(assert_honest(&swapped, &known, "swapped"));
}

#[test]
fn p7_a_missing_file_before_the_end_is_named() {
    let (image, known) = image();
    let names: Vec<FileName> = image.files.keys().cloned().collect();
    assert!(names.len() >= 3);
    for (index, name) in names.iter().enumerate() {
        let mut damaged = image.clone();
        damaged.files.remove(name);
        let corrupt = assert_honest(&damaged, &known, "missing");
        // The newest one may have been prepared only.
        assert!(corrupt || index + 1 == names.len(), "{name}");
    }
    let mut damaged = image.clone();
    damaged.files.remove(&names[1]);
    let (env, _sim) = Sim::from_image(&damaged, 1);
    let error = reopen(&env, 1).unwrap_err();
    assert!(error.message().contains("00000000000000000002.log"), "{error}");
}

#[test]
fn verify_reports_every_damaged_page_and_changes_nothing() {
    let (image, _) = image();
    let (env, sim) = Sim::from_image(&image, 1);
    assert_eq!(outcrop_log::verify(&env, DIR, LOG).unwrap().problems, []);
    let names = file_names(&env);
    sim.corrupt(&names[0], |bytes| bytes[2 * 4096 + 700] ^= 1).unwrap();
    sim.corrupt(&names[1], |bytes| bytes[4096 + 9] ^= 1).unwrap();
    let before = sim.image();
    let report = outcrop_log::verify(&env, DIR, LOG).unwrap();
    let places: Vec<_> = report.problems.iter().map(|p| (p.file.as_str(), p.offset)).collect();
    assert_eq!(places, [("/sim/log/00000000000000000001.log", 2 * 4096), ("/sim/log/00000000000000000002.log", 4096)]);
    assert_eq!(sim.image(), before);
}

#[test]
fn files_of_another_log_are_refused_by_name() {
    let (image, _) = image();
    let (env, _sim) = Sim::from_image(&image, 1);
    let other = LogId::from_bytes([1; 16]);
    let reach = Reach { from: seq(1), to: seq(0) };
    let error = Log::recover(&env, DIR, other, reach, &mut |_, _| Ok(())).unwrap_err();
    assert!(text(&error).contains("belongs to another log"), "{error}");
}

#[test]
fn newer_formats_are_refused_by_version() {
    let (image, _) = image();
    let (env, sim) = Sim::from_image(&image, 1);
    let first = file_names(&env).remove(0);
    sim.corrupt(&first, |bytes| {
        bytes[8] = 2;
        let checksum = crc32c(&bytes[..4092]);
        bytes[4092..4096].copy_from_slice(&checksum.to_le_bytes());
    })
    .unwrap();
    let error = reopen(&env, 1).unwrap_err();
    assert_eq!(error.condition(), Condition::UnsupportedVersion);
    assert!(error.message().contains("version 2"), "{error}");
}

#[test]
fn a_log_that_does_not_reach_the_callers_commits_is_corrupt() {
    let (image, known) = image();
    let (env, _sim) = Sim::from_image(&image, 1);
    let error = reopen(&env, known.last() + 2).unwrap_err();
    assert_eq!(error.condition(), Condition::DataCorrupted);
}

/// CRC32C bit by bit, independent of the crate under test.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 })
    })
}

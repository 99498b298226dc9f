//! The cache is bounded, and gives out what was put in.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test data is made from arbitrary numbers"
)]

use outcrop_env::{Env, FileName};
use proptest::prelude::*;

use super::{PAGE_BYTES, PageCache, PageError, PagedFile};

fn file(length: u64) -> (Env, FileName, Vec<u8>, Vec<u32>) {
    let (env, _sim) = Env::simulated(length);
    let name = FileName::new("f").unwrap();
    let bytes: Vec<u8> = (0..length).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 7) as u8).collect();
    env.disk.create(&name).unwrap().write_all_at(0, &bytes).unwrap();
    let checksums = bytes.chunks(PAGE_BYTES as usize).map(crc32c::crc32c).collect();
    (env, name, bytes, checksums)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_are_right_and_the_cache_is_bounded(
        length in 1_u64..1_000_000, cache_pages in 0_u64..20, reads in prop::collection::vec((any::<u64>(), any::<u64>()), 1..40),
    ) {
        let (env, name, bytes, checksums) = file(length);
        let cache = PageCache::new(cache_pages * PAGE_BYTES);
        let paged = PagedFile::open(&env.disk, &name, length, &checksums, &cache).unwrap();
        for (start, count) in reads {
            let start = start % length;
            let count = count % (length - start + 1);
            let mut out = vec![0; count as usize];
            paged.read(start, &mut out).unwrap();
            prop_assert_eq!(&out[..], &bytes[start as usize..(start + count) as usize]);
            prop_assert!(cache.stats().bytes <= cache.bytes_max());
        }
        for offset in [length, u64::MAX] {
            let outside = matches!(paged.read(offset, &mut [0]), Err(PageError::Outside { .. }));
            prop_assert!(outside);
        }
        drop(paged);
        prop_assert_eq!(cache.stats().bytes, 0);
    }
}

#[test]
fn g2_a_bad_page_is_never_given_out_and_names_its_offset() {
    let (env, name, _, checksums) = file(200_000);
    let cache = PageCache::new(1 << 20);
    env.disk.open(&name).unwrap().write_all_at(140_000, &[0; 8]).unwrap();
    let paged = PagedFile::open(&env.disk, &name, 200_000, &checksums, &cache).unwrap();
    paged.read(0, &mut [0; 100_000]).unwrap();
    for _ in 0..2 {
        let error = paged.read(131_072, &mut [0; 4]).unwrap_err();
        assert!(matches!(error, PageError::Checksum { offset: 131_072, .. }), "{error:?}");
    }
    assert!(matches!(paged.verify(), Err(PageError::Checksum { offset: 131_072, .. })));
}

#[test]
fn what_is_read_again_outlives_what_is_read_once() {
    let (env, name, _, checksums) = file(PAGE_BYTES * 40);
    let cache = PageCache::new(PAGE_BYTES * 8);
    let paged = PagedFile::open(&env.disk, &name, PAGE_BYTES * 40, &checksums, &cache).unwrap();
    let mut byte = [0];
    for page in 0..40 {
        paged.read(0, &mut byte).unwrap();
        paged.read(page * PAGE_BYTES, &mut byte).unwrap();
    }
    let misses = cache.stats().misses;
    assert_eq!(misses, 40, "page 0 was read from the disk once");
}

#[test]
fn p12_few_files_are_open_and_every_one_can_be_read() {
    let (env, sim) = Env::simulated(1);
    let cache = PageCache::with_open_files(0, 3);
    let files: Vec<PagedFile> = (0_u8..10)
        .map(|number| {
            let name = FileName::new(format!("f{number}")).unwrap();
            env.disk.create(&name).unwrap().write_all_at(0, &[number; 100]).unwrap();
            PagedFile::open(&env.disk, &name, 100, &[crc32c::crc32c(&[number; 100])], &cache).unwrap()
        })
        .collect();
    for round in 0..30_u8 {
        let number = round * 7 % 10;
        let mut byte = [255];
        files[usize::from(number)].read(99, &mut byte).unwrap();
        assert_eq!(byte, [number]);
        assert!(sim.handles() <= 3 && cache.stats().open_files == sim.handles());
    }
    // What is read all the time stays open.
    let opened = |sim: &outcrop_env::Sim| {
        sim.trace().iter().filter(|operation| operation.class == outcrop_env::OperationClass::Open).count()
    };
    let before = opened(&sim);
    for number in [0, 1, 0, 2, 0, 3, 0, 4] {
        files[number].read(0, &mut [0]).unwrap();
    }
    assert_eq!(opened(&sim) - before, 5);
    // When others have taken all, our own make room.
    sim.set_handles_max(Some(sim.handles()));
    files[9].read(0, &mut [0]).unwrap();
    drop(files);
    assert_eq!((sim.handles(), cache.stats().open_files), (0, 0));
}

//! A damaged store answers with the right data or with an error that names the place, never with other or older data.
//!
//! `make test` tries a sample, `make damage-test` everything; `docs/testing.md` has the figures.
#![allow(clippy::disallowed_methods)] // makes real files to be refused

mod harness;
#[path = "../support/random.rs"]
mod random;
mod readers;

use std::sync::OnceLock;

use freyja::ErrorKind;
use freyja::store::{Options, Store};
use harness::blocks::damage_blocks;
use harness::files::damage_files;
use harness::flips::{cut, flip_bits};
use harness::gap::Tally;
use harness::golden::{Ending, Golden, open};
use harness::{Told, overwrite};

const ENDINGS: [Ending; 4] = [
    Ending::Closed,
    Ending::WithoutImages,
    Ending::Killed,
    Ending::Merged,
];

fn golden(ending: Ending) -> &'static Golden {
    static STORES: [OnceLock<Golden>; ENDINGS.len()] = [const { OnceLock::new() }; ENDINGS.len()];
    STORES[ending as usize].get_or_init(|| Golden::new(ending, 1))
}

fn report(what: &str, ending: Ending, tally: &Told<Tally>) {
    match tally {
        Ok(tally) => println!("{what}, {ending:?}: {tally:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn each(what: &str, damage: impl Fn(&Golden) -> Told<Tally>) {
    for ending in ENDINGS {
        report(what, ending, &damage(golden(ending)));
    }
}

#[test]
fn the_store_to_be_damaged_has_everything_in_it() {
    for ending in ENDINGS {
        let golden = golden(ending);
        let bytes: usize = golden.segments().map(|(_, bytes)| bytes.len()).sum();
        let (least_bytes, least_segments) = match ending {
            Ending::Merged => (32 << 10, 5),
            _ => (48 << 10, 6),
        };
        assert!((least_bytes..96 << 10).contains(&bytes), "{bytes}");
        assert!(golden.segments().count() >= least_segments);
        let has = |suffix: &str| {
            let names = golden.files.iter().map(|(name, _)| name);
            names.filter(|name| name.ends_with(suffix)).count()
        };
        let (images, lists) = match ending {
            Ending::Closed => (1, 0),
            Ending::WithoutImages | Ending::Killed => (0, 0),
            Ending::Merged => (1, 1),
        };
        assert_eq!((has(".img"), has(".moves")), (images, lists));
        let tombstones = |versions: &&Vec<_>| versions.last() == Some(&None);
        assert!(golden.versions.values().filter(tombstones).count() > 3);
    }
}

#[test]
fn a_flipped_bit_is_noticed_and_costs_one_record() {
    each("flipped bits", |golden| flip_bits(golden, "", 97));
}

#[test]
fn a_cut_file_costs_what_was_cut() {
    each("cuts", |golden| cut(golden, 67));
}

/// What compaction wrote, and what its manifest lists as complete, has had a footer. Without it, and cut where a record ends, it looks like
/// a log that just ends there; it was taken for that, and what had been behind was gone without a word.
#[test]
fn a_complete_segment_that_ends_early_is_told_at_every_open_and_left_alone() {
    let golden = golden(Ending::Merged);
    let (name, _) = golden
        .files
        .iter()
        .find(|(name, _)| name.ends_with(".moves"))
        .unwrap();
    let output = name.replace("index-", "").replace(".moves", ".seg");
    let complete: Vec<_> = golden
        .segments()
        .take_while(|(name, _)| *name <= output)
        .collect();
    assert!(complete.len() > 1);
    let mut cuts = 0;
    for (name, bytes) in complete {
        let records = golden.records.iter().filter(|it| it.file == *name);
        // With the first gone, nothing in the file is of use.
        for record in records.skip(1).step_by(2) {
            let disk = golden.copy();
            overwrite(&disk, name, &bytes[..record.head.start as usize]).unwrap();
            for _ in 0..2 {
                let store = open(&disk, Ending::Merged);
                for told in [store.failure(), store.compact(|_| true).err()] {
                    let error = told.expect("told");
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    assert!(error.message().contains(name.as_str()), "{error}");
                }
                store.close().unwrap();
            }
            cuts += 1;
        }
    }
    assert!(cuts > 10);
}

#[test]
fn a_damaged_block_costs_the_records_in_it() {
    for size in [512, 4096] {
        each("blocks", |golden| damage_blocks(golden, size, 1));
    }
}

#[test]
fn a_file_that_is_not_what_it_was_costs_what_was_in_it() {
    each("files", |golden| {
        damage_files(golden, &Golden::new(golden.ending, 2))
    });
}

#[test]
fn a_segment_s_name_that_is_no_file_is_refused_and_named() {
    for what in ["directory", "link", "pipe"] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        store.put(b"key", b"value").unwrap();
        store.close().unwrap();
        let name = "0000000000000001.seg";
        std::fs::remove_file(directory.path().join(name)).unwrap();
        let path = directory.path().join(name);
        match what {
            "directory" => std::fs::create_dir(path).unwrap(),
            "link" => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
            _ => {
                let made = std::process::Command::new("mkfifo").arg(path).status();
                assert!(made.unwrap().success());
            }
        }
        let refused = Store::open(directory.path(), &Options::default());
        let error = refused.err().unwrap_or_else(|| panic!("{what} accepted"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.message().contains(name), "{what}: {error}");
    }
}

#[test]
fn a_reader_that_shares_no_code_finds_the_same_damage() {
    for ending in [Ending::WithoutImages, Ending::Killed, Ending::Merged] {
        let compared = readers::compare(golden(ending), 200, 1);
        println!("{compared} damaged stores read by both, {ending:?}");
    }
}

/// Which part of the whole a campaign does: `FREYJA_STEP` 1 is everything.
fn step() -> usize {
    std::env::var("FREYJA_STEP").map_or(1, |step| step.parse().expect("FREYJA_STEP is a number"))
}

#[test]
#[ignore = "takes minutes: make damage-test"]
fn campaign_of_all_bits() {
    each("all bits", |golden| flip_bits(golden, "", step() as u64));
}

#[test]
#[ignore = "takes minutes: make damage-test"]
fn campaign_of_all_lengths() {
    each("all lengths", |golden| cut(golden, step()));
}

#[test]
#[ignore = "takes minutes: make damage-test"]
fn campaign_of_blocks() {
    for seed in 2..=(40 / step() as u64).max(2) {
        for size in [512, 4096] {
            each("blocks", |golden| damage_blocks(golden, size, seed));
        }
    }
}

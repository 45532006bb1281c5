//! What a power loss may do, piece by piece.

use super::*;
use std::collections::BTreeSet;

/// Keeps all names and the length given, and deals out the fates given, in order.
struct Dealt {
    length: Option<u64>,
    fates: Vec<SectorFate>,
}

impl Choices for Dealt {
    fn begin(&mut self, unsynced: &Unsynced) {
        assert_eq!(unsynced.sectors, self.fates.len() as u64);
        self.fates.reverse();
    }

    fn sector(&mut self, _: u64, _: u64) -> SectorFate {
        self.fates.pop().unwrap()
    }

    fn length(&mut self, _: u64, current: u64) -> u64 {
        self.length.unwrap_or(current)
    }

    fn directory(&mut self, happened: &mut [bool]) {
        happened.fill(true);
    }
}

fn deal(disk: &SimulatedDisk, fates: &[SectorFate], length: Option<u64>) -> Vec<u8> {
    let fates = fates.to_vec();
    let crashed = disk.power_loss(&mut Dealt { length, fates }, 0);
    content(&crashed, "/file").unwrap()
}

/// A file whose first 100 bytes are durable `1`s, followed by unsynced `2`s up to byte 1200.
fn half_synced() -> (SimulatedDisk, Box<dyn File>) {
    let disk = disk();
    durable_file(&disk, "/other", &[9; 2048]);
    let file = durable_file(&disk, "/file", &[1; 100]);
    file.write_all_at(&[2; 1100], 100).unwrap();
    (disk, file)
}

#[test]
fn every_unsynced_sector_meets_its_own_fate_and_synced_bytes_none() {
    use SectorFate::{Garbage, Mixed, New, Old, Shorn, Stale, Zeros};
    let (disk, _file) = half_synced();
    let expect = |fates: [SectorFate; 3], runs: &[(usize, u8)]| {
        let expected: Vec<u8> = runs
            .iter()
            .flat_map(|(count, byte)| vec![*byte; *count])
            .collect();
        assert_eq!(deal(&disk, &fates, None), expected, "{fates:?}");
    };
    expect([New, New, New], &[(100, 1), (1100, 2)]);
    expect([Old, Old, Old], &[(100, 1), (1100, 0)]);
    expect([New, Zeros, New], &[(100, 1), (412, 2), (512, 0), (176, 2)]);
    expect([Old, New, Old], &[(100, 1), (412, 0), (512, 2), (176, 0)]);
    expect(
        [Shorn(110), Shorn(1), Shorn(511)],
        &[(100, 1), (10, 2), (402, 0), (1, 2), (511, 0), (176, 2)],
    );
    expect([Shorn(99), Old, Shorn(0)], &[(100, 1), (1100, 0)]);
    expect(
        [Stale(3), Old, Stale(4)],
        &[(100, 1), (412, 9), (512, 0), (176, 9)],
    );

    let noise = deal(&disk, &[Garbage(1), Garbage(2), Old], None);
    assert_eq!(noise[..100], [1; 100]);
    let different: BTreeSet<u8> = noise[100..1024].iter().copied().collect();
    assert!(different.len() > 100);
    assert_ne!(noise[100..200], noise[612..712]);
    assert_eq!(noise[1024..], [0; 176]);

    let mixed = deal(&disk, &[Mixed(1), Mixed(2), Old], None);
    assert_eq!(mixed[..100], [1; 100]);
    let count = |byte: u8| mixed.iter().filter(|other| **other == byte).count();
    assert_eq!(count(0) + count(2), 1100);
    assert!(count(2) > 300 && count(0) > 476);
    assert_ne!(mixed[100..512], mixed[612..1024]);
}

#[test]
fn the_length_is_lost_or_kept_apart_from_the_data() {
    let (disk, file) = half_synced();
    let news = [SectorFate::New; 3];
    assert_eq!(deal(&disk, &news, Some(100)), [1; 100]);
    assert_eq!(
        deal(&disk, &news, Some(101)),
        [&[1; 100][..], &[2]].concat()
    );
    // No length is possible but those between the durable and the current one.
    assert_eq!(deal(&disk, &news, Some(0)).len(), 100);
    assert_eq!(deal(&disk, &news, Some(1 << 50)).len(), 1200);

    file.sync().unwrap();
    file.set_len(10).unwrap();
    let whole = [&[1; 100][..], &[2; 1100]].concat();
    // What lies behind the cut was not written, so there is nothing to damage, only to cut or not.
    assert_eq!(deal(&disk, &[], Some(1200)), whole);
    assert_eq!(deal(&disk, &[], Some(150)), whole[..150]);
    assert_eq!(deal(&disk, &[], None), whole[..10]);
}

#[test]
fn a_lost_cut_leaves_the_bytes_behind_it_old_even_in_a_sector_that_was_written() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 1024]);
    file.write_all_at(&[2; 100], 0).unwrap();
    file.set_len(200).unwrap();
    let expected = [&[2; 100][..], &[1; 924]].concat();
    assert_eq!(deal(&disk, &[SectorFate::New], Some(1024)), expected);
}

#[test]
fn a_file_cut_by_a_crash_reads_zeros_where_it_grows_again() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 1024]);
    file.set_len(10).unwrap();
    let crashed = disk.power_loss(&mut Uniform(SectorFate::New), 0);
    let file = crashed.open(Path::new("/file"), Access::Write).unwrap();
    file.set_len(1024).unwrap();
    assert_eq!(content(&crashed, "/file").unwrap()[10..], [0; 1014]);
}

#[test]
fn bytes_cut_off_and_grown_again_may_be_old_or_zeros() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 1024]);
    file.set_len(0).unwrap();
    file.set_len(1024).unwrap();
    let fates = [SectorFate::Old, SectorFate::New];
    let expected = [[1; 512], [0; 512]].concat();
    assert_eq!(deal(&disk, &fates, None), expected);
    assert_eq!(content(&disk, "/file").unwrap(), [0; 1024]);
}

#[test]
fn writes_through_a_mapping_are_unsynced_like_any_other() {
    let disk = disk();
    let file = durable_file(&disk, "/file", b"");
    file.allocate(4096).unwrap();
    file.sync().unwrap();
    let (_, mut writer) = file.map_append(0, 4096).unwrap();
    writer.set_limit(4096);
    writer.write(0, &[&[3; 600]]).unwrap();
    assert_eq!(disk.unsynced().sectors, 2);
    let zeros = deal(&disk, &[SectorFate::Old, SectorFate::Shorn(8)], None);
    assert_eq!(zeros[..512], [0; 512]);
    assert_eq!(zeros[512..520], [3; 8]);
    assert_eq!(zeros[520..], [0; 3576]);
    file.sync().unwrap();
    assert_eq!(disk.unsynced(), Unsynced::default());
    assert_eq!(deal(&disk, &[], None)[..600], [3; 600]);
}

#[test]
#[cfg_attr(miri, ignore = "slow, and nothing for Miri")]
fn seeds_find_every_kind_of_damage() {
    let disk = disk();
    let path = Path::new("/file");
    durable_file(&disk, "/other", &[9; 8192]);
    disk.create_new(path)
        .unwrap()
        .write_all_at(&[2; 8192], 0)
        .unwrap();
    let mut found = BTreeSet::new();
    let mut lengths = BTreeSet::new();
    for seed in 0..400 {
        let Some(bytes) = content(&disk.crash(Crash::PowerLoss, seed), "/file") else {
            found.insert("no file");
            continue;
        };
        lengths.insert(bytes.len());
        for sector in bytes.chunks_exact(512) {
            let first = sector.iter().position(|byte| *byte != sector[0]);
            found.insert(match (sector[0], first) {
                (0, None) => "zeros",
                (2, None) => "new",
                (9, None) => "stale",
                (2, Some(at)) if sector[at..].iter().all(|byte| *byte == 0) => "shorn",
                _ if sector.iter().all(|byte| [0, 2].contains(byte)) => "mixed",
                _ => "garbage",
            });
        }
        let sectors: Vec<&[u8]> = bytes.chunks(512).collect();
        let news = sectors.iter().take_while(|bytes| bytes[0] == 2).count();
        let mut rest = sectors.iter().skip(news + 1);
        if news > 0 && news < 15 && rest.all(|bytes| bytes[0] == 0) {
            found.insert("written in order up to a point");
        }
    }
    let expected = [
        "garbage",
        "mixed",
        "new",
        "no file",
        "shorn",
        "stale",
        "written in order up to a point",
        "zeros",
    ];
    assert!(found.into_iter().eq(expected));
    assert!(lengths.contains(&0) && lengths.contains(&8192) && lengths.len() > 20);
}

#[test]
fn names_are_durable_only_after_their_directory_was_synced() {
    let nothing = || Uniform(SectorFate::Old);
    let disk = disk();
    let root = Path::new("/");
    durable_file(&disk, "/kept", b"old");
    disk.create_new(Path::new("/new")).unwrap().sync().unwrap();
    assert_eq!(content(&disk.power_loss(&mut nothing(), 0), "/new"), None);
    disk.sync_directory(root).unwrap();
    disk.rename(Path::new("/new"), Path::new("/kept")).unwrap();
    let lost = disk.power_loss(&mut nothing(), 0);
    assert_eq!(content(&lost, "/kept").unwrap(), b"old");
    assert_eq!(content(&lost, "/new").unwrap(), b"");
    disk.sync_directory(root).unwrap();
    let lost = disk.power_loss(&mut nothing(), 0);
    assert_eq!(content(&lost, "/kept").unwrap(), b"");
    assert_eq!(content(&lost, "/new"), None);
    disk.remove(Path::new("/kept")).unwrap();
    let lost = disk.power_loss(&mut nothing(), 0);
    assert_eq!(content(&lost, "/kept").unwrap(), b"");
    disk.sync_directory(root).unwrap();
    let lost = disk.power_loss(&mut nothing(), 0);
    assert_eq!(content(&lost, "/kept"), None);
}

#[test]
fn a_link_is_durable_when_its_own_directory_was_synced_whatever_becomes_of_the_first_name() {
    let nothing = || Uniform(SectorFate::Old);
    let disk = disk();
    disk.create_directory(Path::new("/other")).unwrap();
    durable_file(&disk, "/file", b"linked");
    let link = Path::new("/other/link");
    disk.hard_link(Path::new("/file"), link).unwrap();
    disk.sync_directory(Path::new("/")).unwrap();
    let lost = disk.power_loss(&mut nothing(), 0);
    assert_eq!(content(&lost, "/other/link"), None);
    assert_eq!(content(&lost, "/file").unwrap(), b"linked");
    disk.sync_directory(Path::new("/other")).unwrap();
    disk.remove_file(Path::new("/file")).unwrap();
    let lost = disk.power_loss(&mut nothing(), 0);
    assert_eq!(content(&lost, "/other/link").unwrap(), b"linked");
    assert_eq!(content(&lost, "/file"), None);
}

#[test]
fn a_lost_directory_takes_its_files_with_it() {
    let disk = disk();
    disk.create_directory(Path::new("/store")).unwrap();
    let file = disk.create_new(Path::new("/store/file")).unwrap();
    file.sync().unwrap();
    disk.sync_directory(Path::new("/store")).unwrap();
    let lost = disk.power_loss(&mut Uniform(SectorFate::Old), 0);
    assert_eq!(
        kind(lost.list(Path::new("/store"))),
        io::ErrorKind::NotFound
    );
    disk.sync_directory(Path::new("/")).unwrap();
    let lost = disk.power_loss(&mut Uniform(SectorFate::Old), 0);
    assert_eq!(content(&lost, "/store/file").unwrap(), b"");
}

#[test]
fn pending_changes_of_a_directory_survive_as_prefixes_and_as_subsets() {
    let disk = disk();
    for name in ["/a", "/b", "/c"] {
        disk.create_new(Path::new(name)).unwrap();
    }
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let crashed = disk.crash(Crash::PowerLoss, seed);
        let entries = crashed.list(Path::new("/")).unwrap();
        let names = entries.into_iter().map(|entry| entry.name);
        seen.insert(names.collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn a_change_that_survives_alone_touches_no_other_file() {
    let disk = disk();
    let paths = ["/a", "/b"].map(Path::new);
    durable_file(&disk, "/a", b"first");
    disk.remove(paths[0]).unwrap();
    let second = disk.create_new(paths[0]).unwrap();
    second.write_all_at(b"second", 0).unwrap();
    disk.rename(paths[0], paths[1]).unwrap();
    disk.remove(paths[1]).unwrap();

    struct Only(usize);
    impl Choices for Only {
        fn sector(&mut self, _: u64, _: u64) -> SectorFate {
            SectorFate::New
        }
        fn length(&mut self, _: u64, current: u64) -> u64 {
            current
        }
        fn directory(&mut self, happened: &mut [bool]) {
            happened[self.0] = true;
        }
    }
    let names = |only| {
        let crashed = disk.power_loss(&mut Only(only), 0);
        ["/a", "/b"].map(|name| content(&crashed, name))
    };
    let (first, second) = (Some(b"first".to_vec()), Some(b"second".to_vec()));
    assert_eq!(names(0), [None, None]);
    assert_eq!(names(1), [second.clone(), None]);
    assert_eq!(names(2), [first.clone(), second]);
    assert_eq!(names(3), [first.clone(), None]);

    // The removal of the replacement, without the replacement.
    let disk = super::disk();
    durable_file(&disk, "/a", b"first");
    durable_file(&disk, "/b", b"second");
    disk.rename(paths[1], paths[0]).unwrap();
    disk.remove(paths[0]).unwrap();
    let crashed = disk.power_loss(&mut Only(1), 0);
    assert_eq!(content(&crashed, "/a"), first);
}

#[test]
fn a_sync_of_the_file_keeps_its_name_only_if_the_disk_is_told_so() {
    let disk = disk();
    disk.set_sync_keeps_name(true);
    let synced = disk.create_new(Path::new("/first")).unwrap();
    disk.create_new(Path::new("/other")).unwrap();
    disk.rename(Path::new("/first"), Path::new("/second"))
        .unwrap();
    synced.sync().unwrap();
    let lost = disk.power_loss(&mut Uniform(SectorFate::Old), 0);
    assert_eq!(content(&lost, "/second").unwrap(), b"");
    assert_eq!(content(&lost, "/first"), None);
    assert_eq!(content(&lost, "/other"), None);
}

#[test]
fn a_crash_releases_locks_and_forgets_files_that_only_handles_kept() {
    let disk = disk();
    let path = Path::new("/LOCK");
    let _lock = disk.lock(path, LockMode::Exclusive).unwrap();
    let removed = durable_file(&disk, "/file", &[1; 1000]);
    disk.remove(Path::new("/file")).unwrap();
    disk.sync_directory(Path::new("/")).unwrap();
    assert_eq!(disk.allocated_bytes(), 1000);
    for crash in [Crash::ProcessKill, Crash::PowerLoss] {
        let crashed = disk.crash(crash, 0);
        assert_eq!(crashed.allocated_bytes(), 0);
        drop(crashed.lock(path, LockMode::Exclusive).unwrap());
    }
    drop(removed);
    assert_eq!(disk.allocated_bytes(), 0);
}

#[test]
fn pictures_show_the_disk_before_every_call_as_stopping_there_does() {
    let workload = |disk: &SimulatedDisk| -> io::Result<()> {
        let file = disk.create_new(Path::new("/file"))?;
        file.allocate(1000)?;
        let (_, mut writer) = file.map_append(0, 1000)?;
        writer.set_limit(1000);
        writer.write(0, &[&[1; 700]])?;
        file.sync()?;
        disk.sync_directory(Path::new("/"))?;
        writer.write(700, &[&[2; 300]])?;
        disk.rename(Path::new("/file"), Path::new("/renamed"))
    };
    let image = |disk: &SimulatedDisk| ["/file", "/renamed"].map(|name| content(disk, name));
    let filmed = disk();
    filmed.start_pictures();
    workload(&filmed).unwrap();
    let pictures = filmed.take_pictures();
    assert_eq!(pictures.len() as u64, filmed.calls());
    for (index, picture) in pictures {
        let stopped = disk();
        stopped.stop_at(index, Effect::Before);
        workload(&stopped).unwrap_err();
        assert_eq!(picture.unsynced(), stopped.unsynced(), "call {index}");
        for seed in 0..20 {
            let crash = |disk: &SimulatedDisk| image(&disk.crash(Crash::PowerLoss, seed));
            assert_eq!(
                crash(&picture),
                crash(&stopped),
                "call {index}, seed {seed}"
            );
        }
    }
}

#[test]
fn crashes_can_be_taken_while_other_threads_write() {
    let disk = disk();
    let file = durable_file(&disk, "/file", b"");
    let records = if cfg!(miri) { 20 } else { 2000 };
    file.allocate(records * 8).unwrap();
    file.sync().unwrap();
    let (mapping, mut writer) = file.map_append(0, records as usize * 8).unwrap();
    writer.set_limit(records as usize * 8);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for record in 0..records {
                let offset = record as usize * 8;
                writer
                    .write(offset, &[&(record + 1).to_le_bytes()])
                    .unwrap();
                writer.publish(offset + 8);
            }
        });
        while mapping.published() < records as usize * 8 {
            let seen = mapping.published() / 8;
            let killed = content(&disk.crash(Crash::ProcessKill, 0), "/file").unwrap();
            let (numbers, _) = killed.as_chunks::<8>();
            for (record, bytes) in numbers.iter().enumerate().take(seen) {
                assert_eq!(u64::from_le_bytes(*bytes), record as u64 + 1);
            }
            std::thread::yield_now();
        }
    });
}

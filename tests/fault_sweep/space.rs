//! A disk that fills up at any moment and has space again later.

use freyja::ErrorKind;

use crate::judge::content;
use crate::scenario::{Before, KEYS, SETTINGS, Setting, batch, key, prepare, value};

/// Writes until the disk is full; answers how often.
fn fill(store: &freyja::store::Store) -> (u64, freyja::Error) {
    let mut written = 0;
    loop {
        let step = written as usize;
        let length = [10, 700, 3500, 5000][step % 4];
        let done = match step % 3 {
            2 => store.write(&batch(step, length)),
            _ => store.put(&key(written as u8 % KEYS), &value(step, length)),
        };
        match done {
            Ok(()) => written += 1,
            Err(error) => return (written, error),
        }
    }
}

fn fills_up_and_has_space_again(setting: Setting, spare: u64) {
    let (disk, _) = prepare(setting, Before::Closed, 2);
    disk.set_allocation(setting.allocation);
    let store = setting.open(&disk, false).unwrap();
    let what = format!("{setting:?}, {spare} spare bytes");
    disk.set_capacity(Some(disk.allocated_bytes() + spare));
    for _ in 0..3 {
        let before = content(&store).unwrap();
        let (written, error) = fill(&store);
        assert_eq!(error.os_code(), libc::ENOSPC, "{what}: {error}");
        let full = content(&store).unwrap();
        assert_eq!(store.failure().map(|it| it.to_string()), None, "{what}");
        if written == 0 {
            assert_eq!(before, full, "{what}: what was refused did not happen");
        }
        // Others take the space meanwhile: what was acknowledged needs none.
        let crashed = disk.crash(freyja::vfs::simulated::Crash::ProcessKill, 1);
        crashed.set_capacity(None);
        let next = setting.open(&crashed, false).unwrap();
        assert_eq!(content(&next).unwrap(), full, "{what}");
        disk.set_capacity(Some(disk.allocated_bytes() + spare + 20_000));
    }
    disk.set_capacity(None);
    store
        .put(&key(0), b"space")
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let full = content(&store).unwrap();
    store.close().unwrap();
    let store = setting.open(&disk, false).unwrap();
    assert_eq!(content(&store).unwrap(), full, "{what}");
    assert_ne!(
        store.failure().map(|it| it.kind()),
        Some(ErrorKind::Corrupt)
    );
}

#[test]
fn writing_resumes_when_a_full_disk_has_space_again() {
    for setting in SETTINGS {
        for spare in (0..24_000).step_by(617) {
            fills_up_and_has_space_again(setting, spare);
        }
    }
}

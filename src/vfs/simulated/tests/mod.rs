//! The simulated disk against the contract, and against its own promises.

use super::*;
use crate::vfs::contract;
use rustix::io::Errno;

mod crashes;
mod faults;
mod model;
mod space;

fn disk() -> SimulatedDisk {
    SimulatedDisk::new(1)
}

/// A file with its name and `bytes` durable.
fn durable_file(disk: &SimulatedDisk, path: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = disk.create_new(Path::new(path)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_directory(Path::new("/")).unwrap();
    file
}

fn content(disk: &SimulatedDisk, path: &str) -> Option<Vec<u8>> {
    match disk.read_file(Path::new(path)) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    match result {
        Ok(_) => panic!("this call must fail"),
        Err(error) => error.kind(),
    }
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    for allocation in [Allocation::Reserved, Allocation::Unsupported] {
        let disk = disk();
        disk.set_allocation(allocation);
        let directory = Path::new("/store");
        disk.create_directory(directory).unwrap();
        contract::check(&disk, directory);
    }
}

#[test]
fn the_clocks_stand_still_until_they_are_moved() {
    let disk = disk();
    disk.set_wall_clock_ms(500);
    assert_eq!(disk.wall_clock_ms(), 500);
    assert_eq!(disk.monotonic(), disk.monotonic());
    let before = disk.monotonic();
    disk.advance_clock(Duration::from_millis(1500));
    assert_eq!(disk.monotonic() - before, Duration::from_millis(1500));
    assert_eq!(disk.wall_clock_ms(), 2000);
    assert_eq!(disk.crash(Crash::PowerLoss, 0).wall_clock_ms(), 2000);
}

#[test]
fn random_bytes_follow_from_the_seed_and_differ_after_a_crash() {
    let draw = |disk: &SimulatedDisk| [disk.random().unwrap(), disk.random().unwrap()];
    assert_eq!(draw(&SimulatedDisk::new(7)), draw(&SimulatedDisk::new(7)));
    assert_ne!(draw(&SimulatedDisk::new(7)), draw(&SimulatedDisk::new(8)));
    let crashed = |seed| disk().crash(Crash::ProcessKill, seed);
    assert_eq!(draw(&crashed(1)), draw(&crashed(1)));
    assert_ne!(draw(&crashed(1)), draw(&crashed(2)));
}

#[test]
fn paths_out_of_the_disk_are_refused() {
    let disk = disk();
    for path in ["..", "/../file", "/"] {
        let path = Path::new(path);
        assert_eq!(kind(disk.create_new(path)), io::ErrorKind::InvalidInput);
    }
    disk.create_new(Path::new("relative")).unwrap();
    assert!(disk.open(Path::new("/./relative"), Access::Read).is_ok());
    let below_a_file = disk.create_new(Path::new("/relative/file"));
    assert_eq!(kind(below_a_file), io::ErrorKind::NotADirectory);
}

#[test]
fn tests_can_damage_and_restore_files_that_are_not_mapped() {
    let disk = disk();
    let path = Path::new("/file");
    disk.overwrite_file(path, b"at rest").unwrap();
    let calls = disk.calls();
    let file = disk.open(path, Access::Write).unwrap();
    let mapping = file.map(4).unwrap();
    let refused = disk.overwrite_file(path, b"damaged");
    assert_eq!(kind(refused), io::ErrorKind::ResourceBusy);
    assert_eq!(mapping.bytes(0, 4), Some(&b"at r"[..]));
    drop(mapping);
    disk.overwrite_file(path, b"damaged").unwrap();
    let mut bytes = [0; 7];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"damaged");
    assert_eq!(disk.calls(), calls + 3, "open, map and read");
    let nothing = &mut Uniform(SectorFate::Old);
    let crashed = disk.power_loss(nothing, 0);
    assert_eq!(content(&crashed, "/file").unwrap(), b"damaged");
    disk.remove_file(path).unwrap();
    assert_eq!(content(&disk.power_loss(nothing, 0), "/file"), None);
    assert_eq!(kind(disk.remove_file(path)), io::ErrorKind::NotFound);
}

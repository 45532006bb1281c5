//! What every implementation of [`Vfs`] promises, as one test that each of them runs.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::{Access, Allocation, DirectoryEntry, EntryKind, File, LockMode, Vfs};

/// Checks all promises in `directory`, which exists and is empty.
pub(super) fn check(vfs: &dyn Vfs, directory: &Path) {
    names(vfs, directory);
    contents(vfs, directory);
    lengths(vfs, directory);
    renames_and_removals(vfs, directory);
    links(vfs, directory);
    allocation(vfs, directory);
    read_mappings(vfs, directory);
    append_mappings(vfs, directory);
    locks(vfs, directory);
    clocks_and_random(vfs);
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this call must fail"),
        Err(error) => error.kind(),
    }
}

fn read(file: &dyn File, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xaa; length];
    file.read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

fn names(vfs: &dyn Vfs, directory: &Path) {
    let directory = directory.join("names");
    assert_eq!(kind(vfs.list(&directory)), ErrorKind::NotFound);
    assert_eq!(kind(vfs.sync_directory(&directory)), ErrorKind::NotFound);
    assert_eq!(
        kind(vfs.create_new(&directory.join("file"))),
        ErrorKind::NotFound
    );
    vfs.create_directory(&directory).unwrap();
    assert_eq!(
        kind(vfs.create_directory(&directory)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(vfs.list(&directory).unwrap(), []);

    let path = directory.join("file");
    assert_eq!(kind(vfs.open(&path, Access::Write)), ErrorKind::NotFound);
    vfs.create_new(&path).unwrap();
    assert_eq!(kind(vfs.create_new(&path)), ErrorKind::AlreadyExists);
    assert_eq!(kind(vfs.create_directory(&path)), ErrorKind::AlreadyExists);
    let inner = directory.join("inner");
    vfs.create_directory(&inner).unwrap();
    for access in [Access::Read, Access::Write] {
        assert_eq!(kind(vfs.open(&inner, access)), ErrorKind::InvalidInput);
    }
    assert_eq!(kind(vfs.create_new(&inner)), ErrorKind::AlreadyExists);

    let mut entries = vfs.list(&directory).unwrap();
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    let entry = |name: &str, kind| DirectoryEntry {
        name: name.into(),
        kind,
    };
    assert_eq!(
        entries,
        [
            entry("file", EntryKind::File),
            entry("inner", EntryKind::Directory)
        ]
    );
    vfs.sync_directory(&directory).unwrap();
}

fn contents(vfs: &dyn Vfs, directory: &Path) {
    let path = directory.join("contents");
    let file = vfs.create_new(&path).unwrap();
    assert_eq!(file.len().unwrap(), 0);
    file.write_all_at(b"hello", 3).unwrap();
    assert_eq!(file.len().unwrap(), 8);
    assert_eq!(read(&*file, 0, 8), b"\0\0\0hello");
    file.write_all_at(b"", 100).unwrap();
    assert_eq!(file.len().unwrap(), 8);
    file.write_all_at(b"J", 3).unwrap();
    file.sync().unwrap();

    let reader = vfs.open(&path, Access::Read).unwrap();
    assert_eq!(read(&*reader, 3, 5), b"Jello");
    assert_eq!(read(&*reader, 8, 0), b"");
    let mut bytes = [0; 6];
    assert_eq!(
        kind(reader.read_exact_at(&mut bytes, 3)),
        ErrorKind::UnexpectedEof
    );
    assert_eq!(
        kind(reader.read_exact_at(&mut bytes, 1 << 40)),
        ErrorKind::UnexpectedEof
    );
    assert!(reader.write_all_at(b"x", 0).is_err());
    assert!(reader.set_len(0).is_err());
    assert_eq!(read(&*reader, 0, 8), b"\0\0\0Jello");

    let count = if cfg!(miri) { 9_000 } else { 300_000 };
    let large: Vec<u8> = (0..count).map(|number| number as u8).collect();
    file.write_all_at(&large, 8).unwrap();
    assert_eq!(read(&*reader, 8, large.len()), large);
}

fn lengths(vfs: &dyn Vfs, directory: &Path) {
    let file = vfs.create_new(&directory.join("lengths")).unwrap();
    file.write_all_at(b"0123456789", 0).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(file.len().unwrap(), 4);
    let mut bytes = [0; 5];
    assert_eq!(
        kind(file.read_exact_at(&mut bytes, 0)),
        ErrorKind::UnexpectedEof
    );
    file.set_len(9000).unwrap();
    assert_eq!(read(&*file, 0, 10), b"0123\0\0\0\0\0\0");
    assert_eq!(read(&*file, 8990, 10), [0; 10]);
}

fn renames_and_removals(vfs: &dyn Vfs, directory: &Path) {
    let (from, to) = (directory.join("from"), directory.join("to"));
    assert_eq!(kind(vfs.rename(&from, &to)), ErrorKind::NotFound);
    assert_eq!(kind(vfs.remove(&from)), ErrorKind::NotFound);
    let old = vfs.create_new(&to).unwrap();
    old.write_all_at(b"old", 0).unwrap();
    let new = vfs.create_new(&from).unwrap();
    new.write_all_at(b"new", 0).unwrap();
    vfs.rename(&from, &to).unwrap();
    assert_eq!(kind(vfs.open(&from, Access::Read)), ErrorKind::NotFound);
    assert_eq!(read(&*vfs.open(&to, Access::Read).unwrap(), 0, 3), b"new");
    // Replaced and removed files stay readable through what was opened before.
    assert_eq!(read(&*old, 0, 3), b"old");
    let mapping = new.map(3).unwrap();
    vfs.remove(&to).unwrap();
    assert_eq!(kind(vfs.open(&to, Access::Read)), ErrorKind::NotFound);
    assert_eq!(read(&*new, 0, 3), b"new");
    assert_eq!(mapping.bytes(0, 3), Some(&b"new"[..]));
    new.write_all_at(b"er", 3).unwrap();
    new.sync().unwrap();
    vfs.create_new(&to).unwrap();
    vfs.remove(&to).unwrap();
}

fn links(vfs: &dyn Vfs, directory: &Path) {
    let other = directory.join("other directory");
    vfs.create_directory(&other).unwrap();
    let (first, second) = (directory.join("first name"), other.join("second name"));
    assert_eq!(kind(vfs.hard_link(&first, &second)), ErrorKind::NotFound);
    let file = vfs.create_new(&first).unwrap();
    file.write_all_at(b"linked", 0).unwrap();
    vfs.hard_link(&first, &second).unwrap();
    for taken in [&first, &second] {
        assert_eq!(kind(vfs.hard_link(&first, taken)), ErrorKind::AlreadyExists);
    }
    assert!(
        vfs.hard_link(&other, &directory.join("third name"))
            .is_err()
    );
    // One file: what is written under one name is read under the other, and stays when one name goes.
    let linked = vfs.open(&second, Access::Read).unwrap();
    file.write_all_at(b"L", 0).unwrap();
    assert_eq!(read(&*linked, 0, 6), b"Linked");
    vfs.remove(&first).unwrap();
    drop((file, linked));
    assert_eq!(kind(vfs.open(&first, Access::Read)), ErrorKind::NotFound);
    assert_eq!(
        read(&*vfs.open(&second, Access::Read).unwrap(), 0, 6),
        b"Linked"
    );
    // Renaming one name of a file to another one of it is no change, and no error.
    let third = other.join("third name");
    vfs.hard_link(&second, &third).unwrap();
    vfs.rename(&second, &third).unwrap();
    assert_eq!(vfs.list(&other).unwrap().len(), 2);
    vfs.sync_directory(&other).unwrap();
}

fn allocation(vfs: &dyn Vfs, directory: &Path) {
    let file = vfs.create_new(&directory.join("allocation")).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    let length = match file.allocate(10_000).unwrap() {
        Allocation::Reserved => 10_000,
        Allocation::Unsupported => 5,
    };
    assert_eq!(file.len().unwrap(), length);
    assert_eq!(read(&*file, 0, 5), b"start");
    assert!(
        read(&*file, 5, length as usize - 5)
            .iter()
            .all(|byte| *byte == 0)
    );
    // Asking for less, or nothing, never cuts.
    file.allocate(100).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.len().unwrap(), length.max(5));
}

fn read_mappings(vfs: &dyn Vfs, directory: &Path) {
    let path = directory.join("mapped");
    let file = vfs.create_new(&path).unwrap();
    file.write_all_at(b"mapped bytes", 0).unwrap();
    let reader = vfs.open(&path, Access::Read).unwrap();
    assert_eq!(kind(reader.map(13)), ErrorKind::UnexpectedEof);
    let mapping = reader.map(6).unwrap();
    drop(reader);
    assert_eq!(mapping.published(), 6);
    assert_eq!(mapping.bytes(2, 4), Some(&b"pped"[..]));
    assert_eq!(mapping.bytes(2, 5), None);
    file.write_all_at(&[7; 100_000], 12).unwrap();
    assert_eq!(file.map(0).unwrap().bytes(0, 0), Some(&b""[..]));
    assert_eq!(file.map(100_012).unwrap().bytes(11, 2), Some(&b"s\x07"[..]));
    assert_eq!(mapping.bytes(0, 6), Some(&b"mapped"[..]));
}

fn append_mappings(vfs: &dyn Vfs, directory: &Path) {
    let path = directory.join("appended");
    let file = vfs.create_new(&path).unwrap();
    assert_eq!(kind(file.map_append(1, 4096)), ErrorKind::UnexpectedEof);
    if file.allocate(8192).unwrap() == Allocation::Unsupported {
        file.write_all_at(&[0; 8192], 0).unwrap();
    }
    file.write_all_at(b"header", 0).unwrap();
    assert_eq!(kind(file.map_append(2, 1)), ErrorKind::InvalidInput);
    let (mapping, mut writer) = file.map_append(6, 1 << 20).unwrap();
    assert_eq!(mapping.bytes(0, 6), Some(&b"header"[..]));
    writer.set_limit(8192);
    writer.write(6, &[b"first", b"second"]).unwrap();
    assert_eq!(mapping.bytes(6, 1), None);
    writer.publish(17);
    assert_eq!(mapping.bytes(6, 11), Some(&b"firstsecond"[..]));
    for (offset, bytes) in [(8190, &b"123"[..]), (16, b"x"), (0, b"")] {
        assert_eq!(
            kind(writer.write(offset, &[bytes])),
            ErrorKind::InvalidInput
        );
    }

    // What goes through the mapping and what goes through the file are the same bytes.
    let reader = vfs.open(&path, Access::Read).unwrap();
    assert_eq!(read(&*reader, 0, 17), b"headerfirstsecond");
    writer.write(17, &[b"third"]).unwrap();
    assert_eq!(read(&*reader, 17, 5), b"third");
    file.sync().unwrap();

    // The file grows under the mapping, and is cut down to what is published.
    if file.allocate(16_384).unwrap() == Allocation::Unsupported {
        file.write_all_at(&[0; 8192], 8192).unwrap();
    }
    writer.set_limit(16_384);
    writer.write(10_000, &[b"far"]).unwrap();
    assert_eq!(read(&*reader, 10_000, 3), b"far");
    writer.publish(22);
    file.set_len(22).unwrap();
    assert_eq!(file.len().unwrap(), 22);
    drop(writer);
    drop(file);
    assert_eq!(mapping.bytes(17, 5), Some(&b"third"[..]));
    assert_eq!(
        reader.map(22).unwrap().bytes(6, 16),
        Some(&b"firstsecondthird"[..])
    );
}

fn locks(vfs: &dyn Vfs, directory: &Path) {
    let path = directory.join("LOCK");
    let exclusive = vfs.lock(&path, LockMode::Exclusive).unwrap();
    assert!(vfs.open(&path, Access::Read).is_ok(), "the file is created");
    for mode in [LockMode::Exclusive, LockMode::Shared] {
        assert_eq!(kind(vfs.lock(&path, mode)), ErrorKind::WouldBlock);
    }
    drop(exclusive);
    let first = vfs.lock(&path, LockMode::Shared).unwrap();
    let second = vfs.lock(&path, LockMode::Shared).unwrap();
    for _ in [first, second] {
        assert_eq!(
            kind(vfs.lock(&path, LockMode::Exclusive)),
            ErrorKind::WouldBlock
        );
    }
    drop(vfs.lock(&path, LockMode::Exclusive).unwrap());
    let other = directory.join("OTHER");
    let _shared = vfs.lock(&other, LockMode::Shared).unwrap();
    let _exclusive = vfs.lock(&path, LockMode::Exclusive).unwrap();
}

fn clocks_and_random(vfs: &dyn Vfs) {
    let earlier = vfs.monotonic();
    assert!(vfs.monotonic() >= earlier);
    let first_of_2020 = 1_577_836_800_000;
    assert!(vfs.wall_clock_ms() > first_of_2020);
    assert_ne!(vfs.random().unwrap(), vfs.random().unwrap());
}

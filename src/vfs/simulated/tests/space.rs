//! Blocks: who has them, who may write into them, what happens when there are none left.

use super::*;

#[test]
fn a_full_disk_takes_what_fits_and_refuses_the_rest() {
    let disk = disk();
    disk.set_capacity(Some(1000));
    let file = durable_file(&disk, "/file", &[1; 600]);
    assert_eq!(disk.allocated_bytes(), 600);
    let full = file.write_all_at(&[2; 600], 500);
    assert_eq!(kind(full), io::ErrorKind::StorageFull);
    let expected = [&[1; 500][..], &[2; 500]].concat();
    assert_eq!(content(&disk, "/file").unwrap(), expected);
    // Bytes that have their blocks can still be written, other files get none.
    file.write_all_at(&[3; 1000], 0).unwrap();
    let other = disk.create_new(Path::new("/other")).unwrap();
    let full = other.write_all_at(b"x", 0);
    assert_eq!(kind(full), io::ErrorKind::StorageFull);
    assert_eq!(other.len().unwrap(), 0);
    file.set_len(990).unwrap();
    other.write_all_at(b"x", 0).unwrap();
    drop(file);
    disk.remove(Path::new("/file")).unwrap();
    assert_eq!(disk.allocated_bytes(), 1);
    disk.set_capacity(None);
    other.write_all_at(&[1; 5000], 0).unwrap();
}

#[test]
fn reserved_blocks_are_there_when_the_disk_is_full() {
    let disk = disk();
    disk.set_capacity(Some(1000));
    let file = disk.create_new(Path::new("/file")).unwrap();
    assert_eq!(file.allocate(700).unwrap(), Allocation::Reserved);
    let full = file.allocate(1001);
    assert_eq!(kind(full), io::ErrorKind::StorageFull);
    file.set_len(700).unwrap();
    let other = disk.create_new(Path::new("/other")).unwrap();
    let full = other.write_all_at(&[1; 301], 0);
    assert_eq!(kind(full), io::ErrorKind::StorageFull);
    file.write_all_at(&[2; 700], 0).unwrap();
    // A file grown without blocks has to get them when it is written.
    other.set_len(10_000).unwrap();
    assert_eq!(disk.allocated_bytes(), 1000);
    let full = other.write_all_at(b"x", 9000);
    assert_eq!(kind(full), io::ErrorKind::StorageFull);
}

#[test]
fn a_mapped_write_where_a_real_one_would_kill_the_process_is_an_error() {
    let disk = disk();
    let file = durable_file(&disk, "/file", b"header");
    let (_, mut writer) = file.map_append(6, 8192).unwrap();
    writer.set_limit(8192);
    writer.write(6, &[b"x"]).unwrap_err();
    // Grown, but without blocks.
    file.set_len(4096).unwrap();
    writer.write(6, &[b"x"]).unwrap_err();
    file.allocate(4096).unwrap();
    writer.write(6, &[b"x"]).unwrap();
    writer.write(4000, &[&[1; 97]]).unwrap_err();
    file.set_len(100).unwrap();
    writer.write(99, &[b"xy"]).unwrap_err();
    let expected = [&b"headerx"[..], &[0; 93]].concat();
    assert_eq!(content(&disk, "/file").unwrap(), expected);
}

#[test]
fn bytes_that_a_mapping_shows_cannot_be_changed_while_it_lives() {
    let disk = disk();
    let file = durable_file(&disk, "/file", b"0123456789");
    let mapping = file.map(5).unwrap();
    assert!(file.write_all_at(b"x", 4).is_err());
    assert_eq!(kind(file.set_len(4)), io::ErrorKind::ResourceBusy);
    file.write_all_at(b"x", 5).unwrap();
    file.set_len(5).unwrap();
    assert_eq!(mapping.bytes(0, 5), Some(&b"01234"[..]));
    drop(mapping);
    file.write_all_at(b"abcde", 0).unwrap();
    file.set_len(2).unwrap();
    assert_eq!(content(&disk, "/file").unwrap(), b"ab");
}

#[test]
fn a_file_may_outgrow_its_mappings_but_not_its_mapped_writer() {
    let disk = disk();
    let file = durable_file(&disk, "/file", b"0123456789");
    let mapping = file.map(10).unwrap();
    let (_, mut writer) = file.map_append(10, 20).unwrap();
    writer.set_limit(20);
    file.allocate(20).unwrap();
    writer.write(10, &[b"mapped"]).unwrap();
    for end in [100, 5000, 70_000_u64] {
        file.write_all_at(b"end", end - 3).unwrap();
    }
    assert_eq!(mapping.bytes(0, 10), Some(&b"0123456789"[..]));
    for _ in 0..2 {
        assert!(file.write_all_at(b"x", 9).is_err());
        let refused = disk.overwrite_file(Path::new("/file"), b"");
        assert_eq!(kind(refused), io::ErrorKind::ResourceBusy);
    }
    assert_eq!(content(&disk, "/file").unwrap()[..16], *b"0123456789mapped");
    writer.write(16, &[b"lost"]).unwrap_err();
    drop((mapping, writer));
    file.write_all_at(b"x", 9).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri really allocates what is never touched")]
fn large_mappings_of_small_files_cost_little() {
    let disk = disk();
    let mut open = Vec::new();
    for number in 0..200 {
        let file = disk.create_new(Path::new(&format!("/{number}"))).unwrap();
        file.allocate(1 << 30).unwrap();
        let (mapping, mut writer) = file.map_append(0, 1 << 30).unwrap();
        writer.set_limit(1 << 30);
        writer.write(0, &[b"small"]).unwrap();
        file.sync().unwrap();
        open.push((file, mapping, writer));
    }
    let crashed = disk.crash(Crash::ProcessKill, 0);
    assert_eq!(crashed.allocated_bytes(), 200 << 30);
}

#[test]
#[cfg_attr(miri, ignore = "Miri gives up where memory runs out")]
fn impossible_lengths_are_refused() {
    let disk = disk();
    let file = durable_file(&disk, "/file", b"x");
    assert!(file.set_len(u64::MAX).is_err());
    assert!(file.allocate(u64::MAX).is_err());
    assert!(file.write_all_at(b"x", u64::MAX).is_err());
    assert!(file.map(usize::MAX).is_err());
    assert!(file.map_append(0, usize::MAX).is_err());
    assert!(file.map_append(1, 0).is_err());
    assert_eq!(content(&disk, "/file").unwrap(), b"x");
}

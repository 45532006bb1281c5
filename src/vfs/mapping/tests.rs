//! Over heap memory, so that Miri can run them; mapped files are covered by the contract tests.

use super::*;
use std::thread;

struct Direct(Arc<HeapRegion>);

impl HeapWrites for Direct {
    fn write(&self, offset: usize, parts: &[&[u8]]) -> io::Result<()> {
        let mut at = offset;
        for part in parts {
            self.0.write(at, part)?;
            at += part.len();
        }
        Ok(())
    }
}

fn append_mapping(
    published: usize,
    capacity: usize,
) -> (Arc<HeapRegion>, Arc<Mapping>, MappingWriter) {
    let region = HeapRegion::new(capacity).unwrap();
    let direct = Box::new(Direct(region.clone()));
    let (mapping, writer) = MappingWriter::of_heap(&region, published, capacity, direct).unwrap();
    (region, mapping, writer)
}

#[test]
fn written_bytes_are_readable_only_once_published() {
    let (region, mapping, mut writer) = append_mapping(0, 64);
    writer.set_limit(64);
    writer.write(0, &[b"head", b"", b"body"]).unwrap();
    region.write(0, b"H").unwrap();
    assert_eq!(mapping.published(), 0);
    assert_eq!(mapping.bytes(0, 1), None);
    assert_eq!(mapping.bytes(0, 0), Some(&b""[..]));
    writer.publish(8);
    assert!(region.write(0, b"X").is_err());
    assert_eq!(mapping.bytes(0, 8), Some(&b"Headbody"[..]));
    assert_eq!(mapping.bytes(4, 4), Some(&b"body"[..]));
    assert_eq!(mapping.bytes(4, 5), None);
}

#[test]
fn no_range_however_large_reads_outside_the_published_prefix() {
    let (_, mapping, mut writer) = append_mapping(0, 16);
    writer.set_limit(16);
    writer.publish(16);
    assert_eq!(mapping.bytes(16, 0), Some(&b""[..]));
    for (offset, length) in [
        (17, 0),
        (0, 17),
        (16, 1),
        (usize::MAX, 1),
        (1, usize::MAX),
        (usize::MAX, usize::MAX),
        (usize::MAX, 0),
    ] {
        assert_eq!(mapping.bytes(offset, length), None, "{offset} + {length}");
    }
}

#[test]
fn writes_below_the_published_end_or_above_the_limit_change_nothing() {
    let (region, _, mut writer) = append_mapping(4, 64);
    let refused = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    };
    refused(writer.write(4, &[b"no limit was set"]));
    writer.set_limit(8);
    refused(writer.write(3, &[b"xx"]));
    refused(writer.write(4, &[b"xxxx", b"x"]));
    refused(writer.write(usize::MAX, &[b"x"]));
    writer.set_limit(usize::MAX);
    refused(writer.write(60, &[b"12345"]));
    assert_eq!(writer.capacity(), 64);
    region.with_bytes(|bytes| assert_eq!(bytes, [0; 64]));
    writer.write(60, &[b"1234"]).unwrap();
}

#[test]
fn the_published_end_never_goes_back_nor_above_the_limit() {
    let (_, mapping, mut writer) = append_mapping(4, 64);
    writer.set_limit(0);
    writer.publish(2);
    assert_eq!(mapping.published(), 4);
    writer.set_limit(32);
    writer.publish(32);
    writer.publish(8);
    assert_eq!(mapping.published(), 32);
}

#[test]
fn a_mapping_larger_than_its_memory_is_refused() {
    let region = HeapRegion::new(8).unwrap();
    assert!(Mapping::of_heap(&region, 9).is_err());
    let direct = || Box::new(Direct(region.clone()));
    assert!(MappingWriter::of_heap(&region, 0, 9, direct()).is_err());
    assert!(MappingWriter::of_heap(&region, 5, 4, direct()).is_err());
    assert!(MappingWriter::of_heap(&region, 4, 4, direct()).is_ok());
}

#[test]
fn an_empty_mapping_reads_as_nothing() {
    let region = HeapRegion::new(0).unwrap();
    let mapping = Mapping::of_heap(&region, 0).unwrap();
    assert_eq!(mapping.bytes(0, 0), Some(&b""[..]));
    assert_eq!(mapping.bytes(0, 1), None);
}

#[test]
fn heap_bytes_that_a_mapping_published_cannot_be_written_while_it_lives() {
    let mut region = HeapRegion::new(16).unwrap();
    region.write(0, b"0123456789").unwrap();
    let mapping = Mapping::of_heap(&region, 8).unwrap();
    let slice = mapping.bytes(0, 8).unwrap();
    assert!(region.write(7, b"x").is_err());
    assert!(region.zero(0, 16).is_err());
    region.write(8, b"x").unwrap();
    assert_eq!(slice, b"01234567");
    HeapRegion::release(&mut region);
    assert_eq!(region.protected(), 8);
    drop(mapping);
    HeapRegion::release(&mut region);
    region.write(7, b"y").unwrap();
    region.zero(0, 2).unwrap();
    region.with_bytes(|bytes| assert_eq!(&bytes[..10], b"\0\x0023456yx9"));
}

#[test]
fn a_region_refuses_writes_outside_of_itself() {
    let region = HeapRegion::new(4).unwrap();
    assert!(region.write(1, b"four").is_err());
    assert!(region.write(usize::MAX, b"x").is_err());
    assert!(region.zero(2, usize::MAX).is_err());
    assert!(HeapRegion::new(usize::MAX).is_err());
}

#[test]
fn the_memory_outlives_the_region_handle_and_the_writer() {
    let (region, mapping, mut writer) = append_mapping(0, 8);
    writer.set_limit(8);
    writer.write(0, &[b"kept"]).unwrap();
    writer.publish(4);
    drop(region);
    drop(writer);
    assert_eq!(mapping.bytes(0, 4), Some(&b"kept"[..]));
}

#[test]
fn readers_beside_a_writer_see_every_published_byte_as_written() {
    const RECORDS: usize = if cfg!(miri) { 40 } else { 20_000 };
    let (region, mapping, mut writer) = append_mapping(0, RECORDS * 8);
    writer.set_limit(RECORDS * 8);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < RECORDS {
                    let end = mapping.published() / 8;
                    for record in seen..end {
                        let expected = (record as u64).to_le_bytes();
                        assert_eq!(mapping.bytes(record * 8, 8), Some(&expected[..]));
                    }
                    seen = end;
                    thread::yield_now();
                }
            });
        }
        scope.spawn(|| {
            // A handle of the same file sees whole writes only, unpublished ones too.
            while mapping.published() < RECORDS * 8 {
                region.with_bytes(|bytes| {
                    let record = mapping.published() / 8;
                    if let Some(bytes) = bytes.get(record * 8..record * 8 + 3) {
                        assert!(
                            [0, record as u32]
                                .contains(&u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
                        );
                    }
                });
                thread::yield_now();
            }
        });
        for record in 0..RECORDS {
            let bytes = (record as u64).to_le_bytes();
            writer
                .write(record * 8, &[&bytes[..3], &bytes[3..]])
                .unwrap();
            writer.publish(record * 8 + 8);
        }
    });
}

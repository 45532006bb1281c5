//! The format on disk is what `docs/format.md` says: its example is the file that the library writes, and a reader that
//! knows nothing but the document reads what the library writes.

use std::path::Path;
use std::sync::Arc;

use freyja::log::record::{Fields, Kind};
use freyja::log::segment_header::{Origin, SegmentHeader};
use freyja::log::writer::Growth;
use freyja::log::{ReadMode, Segment, SegmentWriter};
use freyja::vfs::{Access, RealVfs, Vfs};

const DOCUMENT: &str = include_str!("../docs/format.md");

fn header() -> SegmentHeader {
    SegmentHeader {
        origin: Origin::Fresh,
        salt: 0x0403_0201,
        store_id: *b"an example store",
        segment_id: 3,
        base_sequence: 1000,
        predecessor_sequence: 999,
        durable_sequence: 990,
        expired_until_ms: 0,
    }
}

fn create(directory: &Path) -> (SegmentWriter, Arc<Segment>) {
    let (size, growth) = (1 << 20, Growth::Unknown);
    SegmentWriter::create(
        &RealVfs,
        directory,
        &header(),
        size,
        growth,
        ReadMode::Mapped,
    )
    .unwrap()
}

fn fields<'a>(sequence: u64, key: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    Fields {
        kind: Kind::Put,
        continues: false,
        follows_durable: false,
        expires_at_ms: None,
        sequence,
        key,
        value,
    }
}

fn read_file(path: &Path) -> Vec<u8> {
    let file = RealVfs.open(path, Access::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The file of the document's example.
fn example() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, segment) = create(directory.path());
    writer.append(&fields(1000, b"key", b"value")).unwrap();
    writer
        .append(&Fields {
            expires_at_ms: Some(1_767_225_600_000),
            ..fields(1001, b"session", b"")
        })
        .unwrap();
    writer
        .append(&Fields {
            kind: Kind::Tombstone,
            ..fields(1002, b"key", b"")
        })
        .unwrap();
    assert!(writer.append_mark(1001).unwrap());
    writer.seal(1).unwrap();
    read_file(segment.path())
}

fn dump(bytes: &[u8]) -> String {
    let line = |(number, chunk): (usize, &[u8])| {
        let digits: String = chunk.iter().map(|byte| format!(" {byte:02x}")).collect();
        format!("{:08x} {digits}\n", number * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

/// The bytes of all lines of the document that look like a dump: eight digits of offset, then bytes.
fn dumped_in_document() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in DOCUMENT.lines() {
        let mut words = line.split_whitespace();
        let offset = words.next().filter(|word| word.len() == 8);
        let offset = offset.and_then(|word| usize::from_str_radix(word, 16).ok());
        let Some(offset) = offset else {
            continue;
        };
        assert_eq!(offset, bytes.len(), "{line}");
        bytes.extend(
            words
                .take(16)
                .map_while(|word| u8::from_str_radix(word, 16).ok()),
        );
    }
    bytes
}

#[test]
fn the_example_in_the_document_is_what_the_library_writes() {
    let written = example();
    assert!(
        dumped_in_document() == written,
        "the example must be:\n{}",
        dump(&written)
    );
}

/// CRC-32 as the document gives it, a bit at a time.
fn crc32(initial: u32, bytes: &[u8]) -> u32 {
    let mut state = !initial;
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            state = if state & 1 == 1 {
                state >> 1 ^ 0xedb8_8320
            } else {
                state >> 1
            };
        }
    }
    !state
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for count in 0.. {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << (7 * count);
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// A record as the document describes it: kind and flags, sequence number as stored, expiry, key, value.
type Read = (u8, u64, Option<u64>, Vec<u8>, Vec<u8>);

/// Reads a whole segment by the document alone.
fn read_by_the_document(file: &[u8]) -> Vec<Read> {
    assert_eq!(&file[..8], b"\x89FREYJA\n");
    assert_eq!(&file[8..12], [1, 0, 1, 1]);
    assert_eq!(number(&file[124..128]) as u32, crc32(0, &file[..124]));
    let salt = number(&file[20..24]) as u32;
    let mut records = Vec::new();
    let mut offset = 128;
    while offset < file.len() {
        let stored = number(&file[offset..offset + 4]) as u32;
        let checked = &file[offset + 4..];
        let kind = checked[0];
        let mut rest = &checked[1..];
        let key_len = varint(&mut rest) as usize;
        let value_len = varint(&mut rest) as usize;
        let sequence = varint(&mut rest);
        let mut expiry = None;
        if kind & 0x10 != 0 {
            expiry = Some(number(&rest[..8]));
            rest = &rest[8..];
        }
        let (key, rest) = rest.split_at(key_len);
        let (value, rest) = rest.split_at(value_len);
        let checked = &checked[..checked.len() - rest.len()];
        assert_eq!(
            stored,
            crc32(salt ^ (offset / 16) as u32, checked),
            "at byte {offset}"
        );
        records.push((kind, sequence, expiry, key.to_vec(), value.to_vec()));
        let len = 4 + checked.len();
        let padded = len.div_ceil(16) * 16;
        assert!(
            file[offset + len..offset + padded]
                .iter()
                .all(|&byte| byte == 0)
        );
        offset += padded;
    }
    assert_eq!(offset, file.len());
    records
}

/// A put or tombstone as hints tell of it: offset, kind, sequence number as stored, key.
type Place = (u64, u8, u64, Vec<u8>);

/// Reads hints by the document alone.
fn hints_by_the_document(mut hints: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    let (mut offset, mut next) = (0, 0);
    while !hints.is_empty() {
        let distance = varint(&mut hints);
        let sequence = next + varint(&mut hints);
        let key_len = varint(&mut hints) as usize;
        let (key, rest) = hints.split_at(key_len);
        hints = rest;
        offset += distance / 2 * 16;
        places.push((offset, 1 + (distance % 2) as u8, sequence, key.to_vec()));
        next = sequence + 1;
    }
    places
}

/// Where the puts and tombstones of a segment lie.
fn places_by_the_document(file: &[u8]) -> Vec<Place> {
    let mut offset = 128;
    let mut places = Vec::new();
    for (kind, sequence, expiry, key, value) in read_by_the_document(file) {
        let numbers = [key.len() as u64, value.len() as u64, sequence];
        let lengths = numbers.map(|it| (64 - (it | 1).leading_zeros()).div_ceil(7) as usize);
        let head = 5 + lengths.iter().sum::<usize>() + if expiry.is_some() { 8 } else { 0 };
        let len = (head + key.len() + value.len()).next_multiple_of(16);
        if matches!(kind & 0x0f, 1 | 2) {
            places.push((offset, kind & 0x0f, sequence, key));
        }
        offset += len as u64;
    }
    places
}

#[test]
fn a_reader_that_knows_only_the_document_reads_what_the_library_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, segment) = create(directory.path());
    let mut expected: Vec<Read> = Vec::new();
    for step in 0..500u64 {
        // Some of them long, but not so many that hints would not be small.
        let key_len = if step % 9 == 0 {
            step * 7 % 300
        } else {
            step % 40
        };
        let key = vec![step as u8; key_len as usize];
        let value = vec![step as u8; (step * step % 3000) as usize];
        let put = fields(1000 + step, &key, &value);
        let (kind, written) = match step % 6 {
            0 => (
                0x02,
                Fields {
                    kind: Kind::Tombstone,
                    value: b"",
                    ..put
                },
            ),
            1 => (
                0x11,
                Fields {
                    expires_at_ms: Some(step << 40),
                    ..put
                },
            ),
            2 => (
                0x21,
                Fields {
                    continues: true,
                    ..put
                },
            ),
            3 => (
                0x41,
                Fields {
                    follows_durable: true,
                    ..put
                },
            ),
            _ => (0x01, put),
        };
        writer.append(&written).unwrap();
        expected.push((
            kind,
            step,
            written.expires_at_ms,
            key.clone(),
            written.value.to_vec(),
        ));
        if step % 50 == 0 {
            assert!(writer.append_mark(900 + step).unwrap());
            expected.push((0x03, 900 + step, None, Vec::new(), Vec::new()));
        }
    }
    let totals = *writer.totals();
    writer.seal(2).unwrap();
    let file = read_file(segment.path());
    let mut found = read_by_the_document(&file);
    let (kind, sequence, _, key, footer) = found.pop().unwrap();
    assert_eq!((kind, sequence, key.len(), footer.len()), (0x04, 0, 0, 199));
    let (kind, sequence, _, key, hints) = found.pop().unwrap();
    assert_eq!((kind, sequence, key.len()), (0x05, 0, 0));
    assert_eq!(found, expected);
    assert_eq!(hints_by_the_document(&hints), places_by_the_document(&file));
    let numbers: Vec<u64> = footer[..56].chunks(8).map(number).collect();
    let offset = file.len() as u64 - 208;
    let hints_at = offset - (hints.len() as u64 + 9).next_multiple_of(16);
    assert_eq!(
        numbers,
        [500, totals.tombstones, 1000, 1499, offset, 2, hints_at]
    );
    assert_eq!(footer[56..184], file[..128]);
    assert_eq!(&footer[184..], b"\0\0\0\0\0\0\0FREYEND\x89");
    assert_eq!(&file[file.len() - 8..], b"FREYEND\x89");
}

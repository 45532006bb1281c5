//! Bytes as a segment: the scanner ends, goes forward only, and all that it calls valid is there.
#![no_main]

use freyja::log::segment_header::HEADER_LEN;
use freyja::log::{Event, OpenedSegment, ReadMode, Scanner, Segment};
use freyja::vfs::{SimulatedDisk, Vfs};
use freyja_fuzz::input::Input;
use freyja_fuzz::stores::{STORE, header, mend_checksums, segment};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let how = input.byte();
    let header = header(match how & 3 {
        0 => 1,
        1 => (1 << 63) - 20,
        _ => 1 + u64::from(input.u16()),
    });
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(input.0);
    mend_checksums(&mut bytes, &header.context());
    if how & 4 != 0 {
        bytes.resize(bytes.len() + 4096, 0);
    }
    let disk = SimulatedDisk::new(1);
    disk.create_directory(Path::new(STORE)).unwrap();
    disk.overwrite_file(&segment(1), &bytes).unwrap();
    let read_mode = match how & 8 {
        0 => ReadMode::Mapped,
        _ => ReadMode::Pread,
    };
    let opened = match Segment::open(&disk, &segment(1), read_mode) {
        Ok(OpenedSegment::Sealed { segment, .. } | OpenedSegment::Unsealed { segment }) => segment,
        Ok(OpenedSegment::Headless { .. }) => panic!("the header is intact"),
        Err(error) => panic!("{error}"),
    };
    let mut scanner = Scanner::new(&opened).unwrap();
    let mut at = HEADER_LEN as u64;
    let mut last = 0;
    let length = bytes.len() as u64;
    let mut scratch = Vec::new();
    loop {
        match scanner.next_event().unwrap() {
            Event::Record(record) => {
                assert!(record.offset >= at && record.sequence > last);
                assert!(
                    record.offset + 5 + record.key.len() as u64 + record.value_len as u64 <= length
                );
                let view = opened.record(record.offset, &mut scratch).unwrap();
                view.verify().unwrap();
                assert_eq!(
                    (view.key(), view.value().len()),
                    (record.key, record.value_len)
                );
                at = record.offset + record.len;
                last = record.sequence;
            }
            Event::Mark { offset, .. } => {
                assert!(offset >= at);
                at = offset + 16;
            }
            Event::Hints { end } | Event::Manifest { end } => {
                assert!(end >= at);
                at = end;
            }
            Event::Damaged(span) => {
                assert!(span.offset >= at && span.len > 0 && span.offset + span.len <= length + 16);
                at = span.offset + span.len;
            }
            Event::End(end) => {
                assert!(end.last_sequence >= last && end.valid_end <= length + 16);
                break;
            }
        }
    }
});

//! Bytes as the hints of a sealed segment: they are believed only if every number fits, and say then what the records say
//! as far as they are counted.
#![no_main]

use freyja::log::footer::{Footer, Totals};
use freyja::log::record::{self, Fields, Kind};
use freyja::log::segment_header::HEADER_LEN;
use freyja::log::{OpenedSegment, ReadMode, Segment, hints};
use freyja::vfs::{SimulatedDisk, Vfs};
use freyja_fuzz::input::Input;
use freyja_fuzz::stores::{STORE, header, segment};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let header = header(1 + u64::from(input.byte()));
    let context = header.context();
    // So many bytes of records, which nobody reads here.
    let start = (HEADER_LEN as u64 + u64::from(input.u16())).next_multiple_of(16);
    let totals = Totals {
        records: u64::from(input.byte()),
        tombstones: u64::from(input.byte()),
        first_sequence: header.base_sequence + u64::from(input.byte()),
        last_sequence: header.base_sequence + u64::from(input.u16()),
    };
    let fields = Fields {
        kind: Kind::Hints,
        continues: false,
        follows_durable: false,
        expires_at_ms: None,
        sequence: header.base_sequence,
        key: &[],
        value: input.0,
    };
    let head = record::encode_head(&fields, start, &context).unwrap();
    let mut bytes = header.encode().to_vec();
    bytes.resize(start as usize, 1);
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(input.0);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let footer = Footer {
        totals,
        offset: bytes.len() as u64,
        keys: 0,
        hints_at: Some(start),
        nothing_expires: false,
        expired_until_ms: 0,
        header: header.encode(),
    };
    let Ok(encoded) = footer.encode(&context) else {
        return;
    };
    bytes.extend_from_slice(&encoded);
    let disk = SimulatedDisk::new(1);
    disk.create_directory(Path::new(STORE)).unwrap();
    disk.overwrite_file(&segment(1), &bytes).unwrap();
    let Ok(OpenedSegment::Sealed {
        segment, footer, ..
    }) = Segment::open(&disk, &segment(1), ReadMode::Pread)
    else {
        return;
    };
    let mut scratch = Vec::new();
    let Ok(Some(hints)) = hints::read(&segment, &footer, &mut scratch) else {
        return;
    };
    let (mut before, mut last, mut counted) = (0, 0, Totals::default());
    for hint in hints {
        assert!(hint.offset > before && hint.offset < start && hint.sequence > last);
        (before, last) = (hint.offset, hint.sequence);
        counted.add(hint.kind, hint.sequence);
    }
    assert_eq!(counted, footer.totals);
});

//! Segments built byte by byte, for the tests of what no writer would write.

use std::sync::Arc;

use crate::log::ReadMode;
use crate::log::Segment;
use crate::log::footer::{Footer, Totals};
use crate::log::record::{self, Fields, Kind};
use crate::log::segment_header::SegmentHeader;
use crate::log::segment_name;
use crate::log::test_files::{TestDisk, header, put, readable};

/// The bytes of a segment's file.
#[derive(Clone)]
pub struct Image {
    pub header: SegmentHeader,
    pub bytes: Vec<u8>,
    pub totals: Totals,
}

impl Image {
    /// A header and nothing else.
    pub fn new(header: SegmentHeader) -> Self {
        Self {
            bytes: header.encode().to_vec(),
            header,
            totals: Totals::default(),
        }
    }

    /// The bytes of a record of `fields` that is valid at `offset`.
    pub fn record(&self, fields: &Fields<'_>, offset: u64) -> Vec<u8> {
        let head = record::encode_head(fields, offset, &self.header.context()).unwrap();
        let mut bytes = [head.as_bytes(), fields.key, fields.value].concat();
        bytes.resize(record::padded(bytes.len() as u64) as usize, 0);
        bytes
    }

    /// Appends a record, whatever its sequence number; returns its offset.
    pub fn push(&mut self, fields: &Fields<'_>) -> u64 {
        let offset = self.bytes.len() as u64;
        let record = self.record(fields, offset);
        self.bytes.extend(record);
        self.totals.add(fields.kind, fields.sequence);
        offset
    }

    /// Appends a mark.
    pub fn push_mark(&mut self, durable_sequence: u64) -> u64 {
        self.push(&Fields {
            kind: Kind::Mark,
            ..put(durable_sequence, b"", b"")
        })
    }

    /// Appends a footer.
    pub fn push_footer(&mut self) {
        let mut header_bytes = [0; 128];
        header_bytes.copy_from_slice(&self.header.encode());
        let footer = Footer {
            totals: self.totals,
            offset: self.bytes.len() as u64,
            keys: 0,
            hints_at: None,
            nothing_expires: false,
            expired_until_ms: 0,
            header: header_bytes,
        };
        self.bytes
            .extend(footer.encode(&self.header.context()).unwrap());
    }

    /// Puts the image into its file and opens it.
    pub fn open(&self, disk: &TestDisk, read_mode: ReadMode) -> Arc<Segment> {
        let name = segment_name::file_name(self.header.segment_id);
        let path = disk.directory().join(name);
        disk.write(&path, &self.bytes);
        readable(Segment::open(disk, &path, read_mode).unwrap()).0
    }
}

/// Three puts, a mark, a tombstone, a longer put, a mark and an empty put: every kind, small enough to try everything.
pub fn small_image() -> Image {
    let mut image = Image::new(header());
    image.push(&put(100, b"alpha", b"1"));
    image.push(&Fields {
        continues: true,
        ..put(101, b"beta", b"a value of forty bytes, more or less")
    });
    image.push(&Fields {
        expires_at_ms: Some(1 << 41),
        ..put(102, b"gamma", b"")
    });
    image.push_mark(102);
    image.push(&Fields {
        kind: Kind::Tombstone,
        ..put(103, b"alpha", b"")
    });
    image.push(&put(104, b"delta", &[0xab; 200]));
    image.push_mark(104);
    image.push(&put(105, b"", b""));
    image
}

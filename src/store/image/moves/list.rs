//! A list of moves as it is read back.

use std::path::Path;

use super::format::{self, HEADER_LEN, SOURCE_LEN, SegmentName, TRAILER_LEN};
use crate::log::record::MAX_KEY_LEN;
use crate::log::varint;
use crate::store::image::names;
use crate::vfs::{Access, Vfs};

/// What became of a put of a replaced segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its copy lies at this unit of the output.
    Copied(u32),
    /// It was not copied. Its key has so many bytes.
    LeftBehind(u32),
}

/// A put of a replaced segment.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// Where it lay, in units of 16 bytes.
    from: u32,
    /// The unit of its copy; or [`NOT_COPIED`] and the length of its key.
    what: u32,
}

const NOT_COPIED: u32 = 1 << 31;

/// A replaced segment, and its puts as they lay.
struct Source {
    name: SegmentName,
    items: Vec<Item>,
}

/// What became of the puts of the segments that an output replaced.
pub struct MoveList {
    /// The output.
    pub output: SegmentName,
    /// Bytes of the tombstones in it.
    pub tombstone_bytes: u64,
    /// The unit of the output where the last copy begins; 0 if nothing was copied.
    pub last_copy: u64,
    sources: Vec<Source>,
}

impl MoveList {
    /// The list of the output with this id in `directory`; `None` if there is none that can be used for the store `store_id`.
    pub fn read(vfs: &dyn Vfs, directory: &Path, store_id: &[u8; 16], output: u64) -> Option<Self> {
        let path = directory.join(names::moves_file_name(output));
        let file = vfs.open(&path, Access::Read).ok()?;
        let length = usize::try_from(file.len().ok()?).ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).ok()?;
        bytes.resize(length, 0);
        file.read_exact_at(&mut bytes, 0).ok()?;
        Self::decode(&bytes, store_id).filter(|list| list.output.id == output)
    }

    /// Memory in bytes that it takes.
    pub fn bytes(&self) -> usize {
        let items: usize = self.sources.iter().map(|it| it.items.capacity()).sum();
        items * size_of::<Item>()
    }

    /// The segments that the output replaced.
    pub fn sources(&self) -> impl Iterator<Item = SegmentName> {
        self.sources.iter().map(|source| source.name)
    }

    /// What became of the put that lay at this unit of segment number `source`.
    pub fn fate(&self, source: usize, unit: u64) -> Option<Fate> {
        let items = &self.sources.get(source)?.items;
        let found = items.binary_search_by_key(&unit, |item| u64::from(item.from));
        let what = items.get(found.ok()?)?.what;
        Some(match what & NOT_COPIED {
            0 => Fate::Copied(what),
            _ => Fate::LeftBehind(what & !NOT_COPIED),
        })
    }

    fn decode(bytes: &[u8], store_id: &[u8; 16]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let tombstone_bytes = format::decode_trailer(bytes)?;
        let (output, count) = format::decode_header(header, store_id)?;
        let rest = rest.get(..rest.len().checked_sub(TRAILER_LEN)?)?;
        let (names, items) = rest.split_at_checked(count.checked_mul(SOURCE_LEN)?)?;
        let mut sources = Vec::new();
        sources.try_reserve_exact(count).ok()?;
        sources.extend(names.as_chunks().0.iter().map(|name| Source {
            name: format::decode_source(name),
            items: Vec::new(),
        }));
        // Once to count, so that no list is larger than it has to be.
        let mut counts = Vec::new();
        counts.try_reserve_exact(count).ok()?;
        counts.resize(count, 0);
        for_each(items, count, |source, _| counts[source] += 1)?;
        for (source, count) in sources.iter_mut().zip(counts) {
            source.items.try_reserve_exact(count).ok()?;
        }
        let mut last_copy = 0;
        for_each(items, count, |source, item| {
            if item.what & NOT_COPIED == 0 {
                last_copy = u64::from(item.what);
            }
            sources[source].items.push(item);
        })?;
        Some(Self {
            last_copy,
            output,
            tombstone_bytes,
            sources,
        })
    }
}

/// Calls `visit` with every item in `bytes`; `None` if they are no items of so many segments.
fn for_each(bytes: &[u8], sources: usize, mut visit: impl FnMut(usize, Item)) -> Option<()> {
    let mut last = Vec::new();
    last.try_reserve_exact(sources).ok()?;
    last.resize(sources, 0_u64);
    let (mut position, mut last_copy) = (0, 0_u64);
    while position < bytes.len() {
        let head = varint::read(bytes, &mut position)?;
        let distance = varint::read(bytes, &mut position)?;
        let number = varint::read(bytes, &mut position)?;
        let source = usize::try_from(head >> 1).ok()?;
        let from = last.get_mut(source)?;
        *from = from.checked_add(distance).filter(|_| distance > 0)?;
        let what = if head & 1 == 1 {
            last_copy = last_copy.checked_add(number).filter(|_| number > 0)?;
            u32::try_from(last_copy)
                .ok()
                .filter(|it| *it < NOT_COPIED)?
        } else {
            NOT_COPIED
                | u32::try_from(number)
                    .ok()
                    .filter(|it| *it as usize <= MAX_KEY_LEN)?
        };
        let from = u32::try_from(*from).ok()?;
        visit(source, Item { from, what });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::image::moves::MoveListWriter;
    use crate::vfs::SimulatedDisk;
    use std::sync::Arc;

    const STORE: &str = "/store";
    const STORE_ID: [u8; 16] = *b"an example store";
    const OUTPUT: SegmentName = SegmentName { id: 9, salt: 77 };
    const SOURCES: [SegmentName; 2] = [
        SegmentName { id: 3, salt: 5 },
        SegmentName { id: 8, salt: 6 },
    ];

    fn written(disk: &SimulatedDisk) -> MoveListWriter {
        let _ = disk.create_directory(Path::new(STORE));
        let vfs = Arc::new(disk.clone());
        MoveListWriter::begin(
            vfs,
            Path::new(STORE),
            &STORE_ID,
            OUTPUT,
            &SOURCES,
            Arc::default(),
        )
    }

    fn read(disk: &SimulatedDisk, store_id: &[u8; 16]) -> Option<MoveList> {
        MoveList::read(disk, Path::new(STORE), store_id, OUTPUT.id)
    }

    #[test]
    fn a_list_of_many_moves_reads_back_as_written_in_about_five_bytes_each() {
        let disk = SimulatedDisk::new(1);
        let mut list = written(&disk);
        let puts = 100_000_u64;
        let from = |number: u64| 128 + number / 2 * 144;
        for number in 0..puts {
            let source = (number % 2) as usize;
            match number % 5 {
                0 => list.left_behind(source, from(number), (number % 300) as usize),
                _ => list.moved(source, from(number), 256 + number * 160),
            }
        }
        list.tombstone(32);
        list.tombstone(48);
        assert!(list.finish());
        let read_back = read(&disk, &STORE_ID).unwrap();
        assert_eq!((read_back.output, read_back.tombstone_bytes), (OUTPUT, 80));
        assert!(read_back.sources().eq(SOURCES));
        for number in 0..puts {
            let expected = match number % 5 {
                0 => Fate::LeftBehind((number % 300) as u32),
                _ => Fate::Copied((256 + number * 160) as u32 / 16),
            };
            let source = (number % 2) as usize;
            let unit = from(number) / 16;
            assert_eq!(read_back.fate(source, unit), Some(expected));
            assert_eq!(read_back.fate(source, unit + 1), None);
        }
        assert_eq!(read_back.bytes() as u64, puts * 8);
        let path = Path::new(STORE).join(names::moves_file_name(OUTPUT.id));
        let bytes = disk.read_file(&path).unwrap().len() as u64;
        assert!(bytes <= puts * 5, "{bytes} bytes for {puts} puts");
        assert!(read(&disk, b"some other store").is_none());
    }

    #[test]
    fn a_list_with_numbers_that_no_merge_writes_is_refused_though_its_checksum_is_right() {
        let intact = |change: &dyn Fn(&mut MoveListWriter)| {
            let disk = SimulatedDisk::new(2);
            let mut list = written(&disk);
            list.moved(0, 128, 256);
            change(&mut list);
            assert!(list.finish());
            read(&disk, &STORE_ID).is_some()
        };
        assert!(intact(&|_| {}));
        assert!(intact(&|list| list.moved(0, 144, 272)));
        // The same place twice, as source and as copy.
        assert!(!intact(&|list| list.moved(0, 128, 272)));
        assert!(!intact(&|list| list.moved(0, 144, 256)));
        // Further than 31 bits of units, a key that is too long, a segment that is not listed.
        assert!(!intact(&|list| list.moved(0, 144, 1 << 36)));
        assert!(!intact(&|list| list.left_behind(0, 1 << 37, 1)));
        assert!(!intact(&|list| list.left_behind(0, 144, MAX_KEY_LEN + 1)));
        assert!(!intact(&|list| {
            list.last.push(0);
            list.left_behind(2, 144, 1);
        }));
    }
}

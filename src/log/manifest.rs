//! The manifest: the first record of a segment that compaction wrote. It says which segments with smaller ids are still
//! part of the store, and so which are not, although their files may still be there.
//!
//! The manifest of the segment with the highest id counts. It comes into force when that segment gets its name, with
//! everything that the segment replaces at one stroke, whatever order the files then vanish in.
//! `docs/format.md` describes it byte by byte.

use crate::error::{Error, ErrorKind, Result};
use crate::log::record::Kind;
use crate::log::segment::Segment;
use crate::log::segment_header::{HEADER_LEN, Origin};
use crate::log::varint;

/// Another segment, as a manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The segment's id.
    pub id: u64,
    /// Whether the segment was complete and durable: if it is not there, it is missing. Of one that was being written,
    /// recovery may have found that nothing counts.
    pub is_complete: bool,
}

/// The segments with smaller ids that belong to the store, by rising ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The segments.
    pub members: Vec<Member>,
}

impl Manifest {
    /// The value of the manifest's record. Errors: `Memory`, and `Invalid` unless the ids rise.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reserved = bytes.try_reserve(self.members.len() * 3);
        reserved.map_err(|_| Error::memory("a manifest"))?;
        let mut previous = 0;
        for member in &self.members {
            let distance = member.id.checked_sub(previous);
            let distance = distance
                .filter(|&it| it > 0 && it < 1 << 63)
                .ok_or_else(|| {
                    let message = format!("segment {} cannot follow {previous}", member.id);
                    Error::new(ErrorKind::Invalid, message)
                })?;
            let mut number = [0; varint::MAX_LEN];
            let mut len = 0;
            let is_complete = u64::from(member.is_complete);
            varint::write(&mut number, &mut len, distance << 1 | is_complete);
            let reserved = bytes.try_reserve(len);
            reserved.map_err(|_| Error::memory("a manifest"))?;
            bytes.extend_from_slice(&number[..len]);
            previous = member.id;
        }
        Ok(bytes)
    }

    /// Reads the value of a manifest's record; `None` if it is none.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut members = Vec::new();
        members.try_reserve(bytes.len() / varint::MAX_LEN).ok()?;
        let (mut position, mut id) = (0, 0_u64);
        while position < bytes.len() {
            let number = varint::read(bytes, &mut position)?;
            id = id.checked_add(number >> 1).filter(|_| number > 1)?;
            members.try_reserve(1).ok()?;
            members.push(Member {
                id,
                is_complete: number & 1 == 1,
            });
        }
        Some(Self { members })
    }

    /// The manifest that `segment` begins with; `None` if it is none of compaction's, or its manifest is damaged.
    /// Errors: `Memory`, `Io`.
    pub fn read(segment: &Segment) -> Result<Option<Self>> {
        if segment.header().origin != Origin::Compaction {
            return Ok(None);
        }
        let mut scratch = Vec::new();
        let record = match segment.record(HEADER_LEN as u64, &mut scratch) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
            Err(error) => return Err(error),
        };
        if record.kind() != Kind::Manifest || record.verify().is_err() {
            return Ok(None);
        }
        Ok(Self::decode(record.value()))
    }

    /// What the manifest says of the segment `id`; `None` if it does not belong to the store.
    pub fn find(&self, id: u64) -> Option<&Member> {
        let found = self.members.binary_search_by_key(&id, |member| member.id);
        self.members.get(found.ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(members: &[(u64, bool)]) -> Manifest {
        let members = members
            .iter()
            .map(|&(id, is_complete)| Member { id, is_complete });
        Manifest {
            members: members.collect(),
        }
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        for members in [
            &[][..],
            &[(1, true)],
            &[
                (3, false),
                (4, true),
                (1 << 40, true),
                ((1 << 63) - 1, false),
            ],
        ] {
            let manifest = manifest(members);
            let bytes = manifest.encode().unwrap();
            assert_eq!(Manifest::decode(&bytes), Some(manifest));
        }
        assert_eq!(
            manifest(&[(1, true), (70, false)]).encode().unwrap(),
            [3, 0x8a, 1]
        );
    }

    #[test]
    fn ids_that_do_not_rise_are_refused_and_never_read() {
        assert!(manifest(&[(0, true)]).encode().is_err());
        assert!(manifest(&[(2, true), (2, true)]).encode().is_err());
        for bytes in [
            &[0][..],
            &[1],
            &[3, 0],
            &[0x83],
            &[3, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(Manifest::decode(bytes), None, "{bytes:?}");
        }
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(
            Manifest::decode(&[most, most, most].concat()),
            None,
            "overflow"
        );
    }

    #[test]
    fn a_member_is_found_by_its_id() {
        let manifest = manifest(&[(3, false), (9, true)]);
        assert_eq!(manifest.find(3).map(|it| it.is_complete), Some(false));
        assert_eq!(manifest.find(9).map(|it| it.is_complete), Some(true));
        assert_eq!(manifest.find(4), None);
    }
}

//! The file in a backup that says what belongs to it: which store, up to where, which segments.
//!
//! Lines of text, so that people can read it; the last is a checksum over those before. `docs/format.md` describes it.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::vfs::{Access, Vfs};

/// Name of the manifest of a finished backup.
pub const FINISHED: &str = "BACKUP";
/// Name of the manifest while the segments in the directory may not belong together.
pub const UNFINISHED: &str = "BACKUP.new";
/// Name under which a manifest is written.
pub const TEMPORARY: &str = "BACKUP.tmp";

const FIRST_LINE: &str = "freyja backup 1\n";
const CHECKSUM: &str = "checksum ";

/// A segment of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The segment's id.
    pub id: u64,
    /// The segment's salt, which tells it from one with the same id that another run of the store wrote.
    pub salt: u32,
    /// Bytes of its file.
    pub length: u64,
}

/// What belongs to a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The store's identity.
    pub store_id: [u8; 16],
    /// Sequence number of the last record.
    pub sequence: u64,
    /// In the order of their ids.
    pub members: Vec<Member>,
}

impl Manifest {
    /// The member with that id.
    pub fn member(&self, id: u64) -> Option<&Member> {
        let position = self.members.binary_search_by_key(&id, |member| member.id);
        position
            .ok()
            .and_then(|position| self.members.get(position))
    }

    /// The manifest as it goes to disk.
    pub fn encode(&self) -> String {
        let mut text = String::from(FIRST_LINE);
        // Writing to a String does not fail.
        let _ = writeln!(text, "store {:032x}", u128::from_be_bytes(self.store_id));
        let _ = writeln!(text, "sequence {}", self.sequence);
        for Member { id, salt, length } in &self.members {
            let _ = writeln!(text, "segment {id:016x} {salt:08x} {length}");
        }
        let checksum = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "{CHECKSUM}{checksum:08x}");
        text
    }

    /// Reads what [`Self::encode`] made; `None` if it is anything else.
    pub fn decode(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (content, checksum) = text.split_at_checked(text.rfind(CHECKSUM)?)?;
        let expected = format!("{CHECKSUM}{:08x}\n", crc32fast::hash(content.as_bytes()));
        let mut lines = content.strip_prefix(FIRST_LINE)?.lines();
        let store = lines.next()?.strip_prefix("store ")?;
        let sequence = lines.next()?.strip_prefix("sequence ")?;
        let mut members: Vec<Member> = Vec::new();
        for line in lines {
            let mut fields = line.strip_prefix("segment ")?.split(' ');
            members.push(Member {
                id: u64::from_str_radix(fields.next()?, 16).ok()?,
                salt: u32::from_str_radix(fields.next()?, 16).ok()?,
                length: fields.next()?.parse().ok()?,
            });
        }
        let manifest = Self {
            store_id: u128::from_str_radix(store, 16).ok()?.to_be_bytes(),
            sequence: sequence.parse().ok()?,
            members,
        };
        let ascends = manifest
            .members
            .is_sorted_by(|left, right| left.id < right.id);
        (checksum == expected && ascends).then_some(manifest)
    }

    /// The manifest in `directory` under `name`, if there is one. Errors: `Corrupt` if it is damaged.
    pub fn read(vfs: &dyn Vfs, directory: &Path, name: &str) -> Result<Option<Self>> {
        let path = directory.join(name);
        let failed = |error: &io::Error| Error::io("read", &path, error);
        let file = match vfs.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let length = file.len().map_err(|error| failed(&error))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut text = Vec::new();
        text.try_reserve_exact(length)
            .map_err(|_| Error::memory("the manifest of a backup"))?;
        text.resize(length, 0);
        file.read_exact_at(&mut text, 0)
            .map_err(|error| failed(&error))?;
        match Self::decode(&text) {
            Some(manifest) => Ok(Some(manifest)),
            None => Err(Error::corrupt(
                &path,
                0,
                "the manifest of the backup is damaged; back up to another place",
            )),
        }
    }

    /// Writes the manifest so that it stands in `directory` under [`UNFINISHED`], whole and durable, when this returns.
    pub fn announce(&self, vfs: &dyn Vfs, directory: &Path) -> Result<()> {
        let temporary = directory.join(TEMPORARY);
        let failed = |doing: &str, error: &io::Error| Error::io(doing, &temporary, error);
        let file = match vfs.create_new(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                vfs.remove(&temporary)
                    .map_err(|error| failed("remove", &error))?;
                vfs.create_new(&temporary)
            }
            created => created,
        };
        let file = file.map_err(|error| failed("create", &error))?;
        file.write_all_at(self.encode().as_bytes(), 0)
            .map_err(|error| failed("write", &error))?;
        file.sync().map_err(|error| failed("sync", &error))?;
        vfs.rename(&temporary, &directory.join(UNFINISHED))
            .map_err(|error| failed("rename", &error))?;
        sync_directory(vfs, directory)
    }
}

/// Says of a directory that a backup to it was cut short: what is there may not belong together.
pub fn cut_short(directory: &Path) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "{}: a backup to here was cut short, and its segments may not belong together; back up to here again",
            directory.join(UNFINISHED).display()
        ),
    )
}

/// Makes the names in `directory` durable.
pub fn sync_directory(vfs: &dyn Vfs, directory: &Path) -> Result<()> {
    vfs.sync_directory(directory)
        .map_err(|error| Error::io("sync directory", directory, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let member = |id| Member {
            id,
            salt: 0x0123_4567,
            length: id + 400,
        };
        Manifest {
            store_id: *b"\x00 store of the k",
            sequence: 1234,
            members: [1, 2, 0x1f, 1 << 60].map(member).to_vec(),
        }
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let manifest = manifest();
        assert_eq!(
            Manifest::decode(manifest.encode().as_bytes()),
            Some(manifest.clone())
        );
        assert_eq!(manifest.member(0x1f).map(|member| member.length), Some(431));
        assert_eq!(manifest.member(3), None);
    }

    #[test]
    fn a_manifest_is_what_the_description_of_the_format_says() {
        let manifest = Manifest {
            store_id: *b"an example store",
            sequence: 1002,
            members: vec![Member {
                id: 3,
                salt: 0x0403_0201,
                length: 416,
            }],
        };
        assert!(include_str!("../../../docs/format.md").contains(&manifest.encode()));
    }

    #[test]
    fn a_manifest_with_any_byte_changed_or_cut_off_is_refused() {
        let bytes = manifest().encode().into_bytes();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert_eq!(Manifest::decode(&changed), None, "byte {position}");
            assert_eq!(Manifest::decode(&bytes[..position]), None);
        }
    }
}

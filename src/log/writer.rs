//! The one writer of the segment that is being written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::error::{Error, ErrorKind, Result};
use crate::log::footer::{FOOTER_LEN, Footer, Totals};
use crate::log::hints;
use crate::log::manifest::Manifest;
use crate::log::record::{self, Fields, Kind, MARK_LEN, PADDING};
use crate::log::segment::{Content, ReadMode, Segment, mapping_len, read_footer};
use crate::log::segment_header::{HEADER_LEN, Origin, SegmentHeader};
use crate::log::segment_name;
use crate::memory::budget::MemoryBudget;
use crate::vfs::{Access, File, Vfs};

mod chain;
mod gathered;
mod output;
mod space;

use output::Output;
pub use space::Growth;
use space::{Space, is_full};

/// Appends records to a segment, which readers see as soon as they are complete.
pub struct SegmentWriter {
    segment: Arc<Segment>,
    output: Output,
    /// The last records of the chain that is being written, as far as they are in no file yet.
    assembly: Vec<u8>,
    /// Where the next record begins.
    end: u64,
    /// What the file may grow to, footer included.
    size: u64,
    totals: Totals,
    /// For the footer.
    expired_until_ms: u64,
    /// Set once a write failed in a way that leaves the bytes behind `end` unknown.
    failed: bool,
    /// What is needed to seal comes from it.
    budget: Arc<MemoryBudget>,
}

/// The size, in bytes, of a segment that holds one record of `record_len` bytes on disk and no more.
pub fn exact_size(record_len: u64) -> u64 {
    (HEADER_LEN + FOOTER_LEN) as u64 + record_len
}

impl SegmentWriter {
    /// Creates the file of a new segment in `directory`, to grow to no more than `size` bytes, and writes its header.
    /// Header and name are durable when this returns; the name only appears when the header is durable. If it fails, the
    /// file is removed again as far as that is possible.
    pub fn create(
        vfs: &dyn Vfs,
        directory: &Path,
        header: &SegmentHeader,
        size: u64,
        growth: Growth,
        read_mode: ReadMode,
    ) -> Result<(Self, Arc<Segment>)> {
        let mut created = Self::create_unnamed(vfs, directory, header, size, growth, read_mode)?;
        sabotage!(RenamedBeforeSync, {
            let new_path = directory.join(segment_name::new_file_name(header.segment_id));
            let path = directory.join(segment_name::file_name(header.segment_id));
            let _ = (vfs.rename(&new_path, &path), vfs.sync_directory(directory));
            return Ok(created);
        });
        let named = created
            .0
            .write_out()
            .and_then(|()| created.1.sync())
            .and_then(|()| give_name(vfs, directory, header.segment_id));
        if let Err(error) = named {
            // The first failure is the one to report.
            remove_unnamed(vfs, directory, header.segment_id);
            return Err(error);
        }
        Ok(created)
    }

    /// As [`Self::create`], but the file does not get its name, nothing of it is durable, and the header is all that is in
    /// it: for a segment that is to appear complete, see [`give_name`].
    pub fn create_unnamed(
        vfs: &dyn Vfs,
        directory: &Path,
        header: &SegmentHeader,
        size: u64,
        growth: Growth,
        read_mode: ReadMode,
    ) -> Result<(Self, Arc<Segment>)> {
        if SegmentHeader::decode(&header.encode()).is_err() {
            let message = "a segment's id and base sequence begin with 1 and end before 2^63";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if size < exact_size(0) {
            let message =
                format!("a segment of {size} bytes has no room for its header and footer");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let new_path = directory.join(segment_name::new_file_name(header.segment_id));
        let path = directory.join(segment_name::file_name(header.segment_id));
        let file = vfs
            .create_new(&new_path)
            .map_err(|error| Error::io("create", &new_path, &error))?;
        let created = Self::begin(Arc::from(file), &path, header, size, growth, read_mode);
        if created.is_err() {
            let _ = vfs.remove(&new_path);
        }
        created
    }

    fn begin(
        file: Arc<dyn File>,
        path: &Path,
        header: &SegmentHeader,
        size: u64,
        growth: Growth,
        read_mode: ReadMode,
    ) -> Result<(Self, Arc<Segment>)> {
        let failed = |doing: &str, error: io::Error| Error::io(doing, path, &error);
        let space =
            Space::begin(&*file, size, growth).map_err(|error| failed("allocate", error))?;
        let header_bytes = header.encode();
        let (mut output, content) = match space {
            Some(space) if read_mode == ReadMode::Mapped => {
                let capacity = mapping_len(path, size)?;
                let (mapping, mut writer) = file
                    .map_append(0, capacity)
                    .map_err(|error| failed("map", error))?;
                writer.set_limit(space.allocated as usize);
                (Output::mapped(writer, space), Content::Mapped(mapping))
            }
            space => (Output::of_file(space), Content::File(AtomicU64::new(0))),
        };
        let written = match (growth, &content) {
            (Growth::Quick, Content::Mapped(mapping)) => {
                mapping.prefer_large_pages();
                mapping.make_readable(output.mapped_space().unwrap_or(0) as usize);
                // What is written through the mapping has its whole page written by the sync.
                let written = file.write_all_at(&header_bytes, 0);
                // The system's cache has them now, and will for a while, until records come.
                mapping.leave_pages();
                written
            }
            (Growth::Whole, _) => output.gather(&header_bytes),
            _ => output.write(&*file, 0, &[&header_bytes]),
        };
        written.map_err(|error| failed("write", error))?;
        let segment = Segment::with_content(
            path.into(),
            header.clone(),
            header_bytes,
            file,
            content,
            false,
        );
        let mut writer = Self {
            segment: segment.clone(),
            output,
            assembly: Vec::new(),
            end: 0,
            size,
            totals: Totals::default(),
            expired_until_ms: header.expired_until_ms,
            failed: false,
            budget: Arc::default(),
        };
        writer.publish_up_to(HEADER_LEN as u64);
        Ok((writer, segment))
    }

    /// The same writer, but one that writes by calls, even where readers read through a mapping: for segments that are
    /// synced after few records. A page dirtied through a mapping is written back with all of its folio,
    /// which may be 128 KiB, and for every sync it has to be protected, for which each processor that runs a thread of this process is
    /// interrupted, and faulted in once more; a call dirties the blocks it writes.
    pub fn writing_by_calls(mut self) -> Self {
        self.output.write_by_calls();
        self
    }

    /// The same writer, but one that takes the memory for [sealing](Self::seal) from `budget`, and that for writing a segment
    /// [as a whole](Growth::Whole).
    pub fn within(mut self, budget: Arc<MemoryBudget>) -> Self {
        self.output.gather_within(&budget, self.size);
        Self { budget, ..self }
    }

    /// Whether the file system reserves space for the file: then there is always room for the footer.
    pub fn reserves_space(&self) -> bool {
        self.output.reserves_space()
    }

    /// Up to where, in bytes from the beginning of the file, space is reserved for what is written through a mapping; `None` if
    /// records are written by calls.
    pub fn mapped_space(&self) -> Option<u64> {
        self.output.mapped_space()
    }

    /// Takes note that space is reserved for the first `len` bytes, because somebody has seen to that.
    pub fn note_space(&mut self, len: u64) {
        self.output.note_space(len.min(self.size));
    }

    /// What the file may grow to, footer included, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The segment that is being written.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Where the next record will begin, in bytes from the beginning of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// What the records so far amount to.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Whether a write has failed in a way that leaves the bytes behind [`Self::end`] unknown. Nothing is written
    /// through this writer any more; what readers see is as it was.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether a record of `len` bytes on disk has room before the segment's full size.
    pub fn fits(&self, len: u64) -> bool {
        let full = self.end + FOOTER_LEN as u64;
        len <= self.size.saturating_sub(full)
    }

    /// Appends a record and lets readers see it, if the segment is not one to be written [as a whole](Growth::Whole); returns its
    /// offset. A fresh segment takes consecutive sequence
    /// numbers from its base sequence on, the output of compaction increasing ones.
    ///
    /// Errors that leave everything as it was, so that the record was not written and others can be: `TooLarge` and
    /// `Invalid` for a record that this segment cannot hold, `Io` for a full disk, `Memory`. After any other error
    /// [`Self::failed`] is true.
    #[inline(always)]
    pub fn append(&mut self, fields: &Fields<'_>) -> Result<u64> {
        let offset = self.end;
        let mut most = record::most_encoded(fields);
        if !self.fits(most) {
            most = record::encoded_len(fields, self.segment.context().base_sequence);
        }
        self.append_one(fields, most)?;
        Ok(offset)
    }

    #[inline(always)]
    fn publish_up_to(&mut self, end: u64) {
        self.end = end;
        let written = self.output.written(end);
        if !self.output.publish(written) {
            self.segment.publish(written);
        }
    }

    #[inline(always)]
    fn check_not_failed(&self) -> Result<()> {
        match self.failed {
            true => Err(self.failed_before()),
            false => Ok(()),
        }
    }

    #[cold]
    fn failed_before(&self) -> Error {
        let path = self.segment.path().display();
        let message = format!("{path}: an earlier write failed; reopen the store");
        Error::new(ErrorKind::Failed, message)
    }

    /// Appends a mark: every sequence number up to and including `durable_sequence` is durable now. Returns whether
    /// there was room for it; errors as [`Self::append`].
    pub fn append_mark(&mut self, durable_sequence: u64) -> Result<bool> {
        if !self.fits(MARK_LEN) {
            return Ok(false);
        }
        let mark = Fields {
            kind: Kind::Mark,
            continues: false,
            follows_durable: false,
            expires_at_ms: None,
            sequence: durable_sequence,
            key: &[],
            value: &[],
        };
        self.append(&mark).map(|_| true)
    }

    /// Appends the manifest, which is the first record of a segment that compaction writes. Errors as [`Self::append`].
    pub fn append_manifest(&mut self, manifest: &Manifest) -> Result<()> {
        let value = manifest.encode()?;
        let fields = Fields {
            kind: Kind::Manifest,
            continues: false,
            follows_durable: false,
            expires_at_ms: None,
            sequence: self.segment.header().base_sequence,
            key: &[],
            value: &value,
        };
        self.append(&fields).map(|_| ())
    }

    // Whether a record may follow those that amount to `before`.
    #[inline(always)]
    fn check_sequence(&self, fields: &Fields<'_>, before: &Totals) -> Result<()> {
        let header = self.segment.header();
        let next = match (header.origin, before.records) {
            (_, 0) => header.base_sequence,
            _ => before.last_sequence + 1,
        };
        let fits = match (fields.kind, header.origin) {
            (Kind::Mark, _) => true,
            (Kind::Footer | Kind::Hints, _) | (Kind::Manifest, Origin::Fresh) => false,
            (Kind::Manifest, Origin::Compaction) => self.end == HEADER_LEN as u64,
            (_, Origin::Fresh) => fields.sequence == next,
            (_, Origin::Compaction) => fields.sequence >= next,
        };
        match fits {
            true => Ok(()),
            false => Err(self.out_of_sequence(fields.sequence, next)),
        }
    }

    #[cold]
    fn out_of_sequence(&self, sequence: u64, next: u64) -> Error {
        let path = self.segment.path().display();
        let message = format!("{path}: sequence number {sequence} cannot follow; {next} is next");
        Error::new(ErrorKind::Invalid, message)
    }

    // Sees to it that a record of `len` bytes and, behind it, a footer find space.
    #[inline(always)]
    fn reserve(&mut self, len: u64) -> Result<()> {
        if !self.fits(len) {
            return Err(self.no_room(len));
        }
        let needed = self.end + len + FOOTER_LEN as u64;
        let reserved = self.output.reserve(self.segment.file(), needed, self.size);
        reserved.map_err(|error| Error::io("allocate", self.segment.path(), &error))
    }

    #[cold]
    fn no_room(&self, len: u64) -> Error {
        let path = self.segment.path().display();
        let message = format!("{path}: a record of {len} bytes does not fit into the segment");
        Error::new(ErrorKind::TooLarge, message)
    }

    // A full disk, or a limit on the size of files, leaves at most a part of the record behind; cut off again, it never was there.
    fn write_failed(&mut self, error: &io::Error) -> Error {
        self.failed = !(is_full(error) && self.cut_back());
        Error::io("write", self.segment.path(), error)
    }

    // Takes away what was written behind the last record, where that is possible: a file with reserved space keeps it, and
    // of what was gathered the records before may be missing.
    fn cut_back(&self) -> bool {
        !self.output.reserves_space()
            && !self.output.gathers()
            && self.segment.file().set_len(self.end).is_ok()
    }

    /// Writes what has been gathered of a segment that is written [as a whole](Growth::Whole), and lets readers see it. What comes
    /// behind it is written record by record. After an error [`Self::failed`] is true.
    pub fn write_out(&mut self) -> Result<()> {
        self.check_not_failed()?;
        let written = self.output.write_out(self.segment.file());
        written.map_err(|error| {
            self.failed = true;
            Error::io("write", self.segment.path(), &error)
        })?;
        self.publish_up_to(self.end);
        Ok(())
    }

    /// Lets the footer say that pairs with an expiry up to this moment, in milliseconds since 1970-01-01 UTC, have expired for
    /// good.
    pub fn note_expired_until(&mut self, moment_ms: u64) {
        self.expired_until_ms = self.expired_until_ms.max(moment_ms);
    }

    /// Writes hints, if they are worth it, and the footer, which says that the store has `keys` keys, and cuts the file behind
    /// it. The caller has [written all of the segment](Self::write_out) and synced it since the last record, syncs
    /// it again now, and then has [`Segment::reopen_sealed`]. After an error the file is in an unknown state.
    pub fn seal(self, keys: u64) -> Result<Footer> {
        debug_assert!(!self.output.gathers(), "sealed before it was written");
        let hints = hints::collect(&self.segment, &self.totals, self.end, &self.budget);
        // Without hints, whatever keeps them from being made, the next open reads the records.
        let hints_end = match hints {
            Ok(Some(hints)) => self.write_hints(&hints).ok(),
            Ok(None) | Err(_) => None,
        };
        let footer = Footer {
            totals: self.totals,
            offset: hints_end.unwrap_or(self.end),
            keys,
            hints_at: hints_end.map(|_| self.end),
            nothing_expires: !self.segment.may_expire(),
            expired_until_ms: self.expired_until_ms,
            header: *self.segment.header_bytes(),
        };
        put_footer(&self.segment, self.segment.file(), footer)
    }

    /// Writes `hints` behind the last record; answers where they end.
    fn write_hints(&self, hints: &[u8]) -> Result<u64> {
        let context = self.segment.context();
        let fields = Fields {
            kind: Kind::Hints,
            continues: false,
            follows_durable: false,
            expires_at_ms: None,
            sequence: context.base_sequence,
            key: &[],
            value: hints,
        };
        let head = record::encode_head(&fields, self.end, context)?;
        let len = record::encoded_len(&fields, context.base_sequence);
        let padding = &PADDING[..len as usize - head.as_bytes().len() - hints.len()];
        let parts = [head.as_bytes(), hints, padding];
        let written = output::write_parts(self.segment.file(), self.end, &parts);
        written.map_err(|error| Error::io("write the hints", self.segment.path(), &error))?;
        Ok(self.end + len)
    }
}

/// Gives the file of segment `id`, which is durable, its name in `directory`. The name is durable when the directory has been
/// synced. After an error the file may have either name.
pub fn rename_to_final(vfs: &dyn Vfs, directory: &Path, id: u64) -> Result<()> {
    let new_path = directory.join(segment_name::new_file_name(id));
    let path = directory.join(segment_name::file_name(id));
    refuse_taken_name(vfs, &path)?;
    vfs.rename(&new_path, &path)
        .map_err(|error| Error::io("rename", &new_path, &error))
}

/// Removes the file of segment `id` that has not got its name, if there is one. If it stays, the next open removes it.
pub fn remove_unnamed(vfs: &dyn Vfs, directory: &Path, id: u64) {
    let _ = vfs.remove(&directory.join(segment_name::new_file_name(id)));
}

/// As [`rename_to_final`], and makes the name durable. After an error the file may have either name, or, after a crash, any.
pub fn give_name(vfs: &dyn Vfs, directory: &Path, id: u64) -> Result<()> {
    rename_to_final(vfs, directory, id)?;
    sabotage!(NoDirectorySync, return Ok(()));
    sabotage!(
        FirstDirectorySyncOnly,
        if id > 1 {
            return Ok(());
        }
    );
    vfs.sync_directory(directory)
        .map_err(|error| Error::io("sync directory", directory, &error))
}

/// A rename would replace a segment of the same name. The lock on the directory keeps others from creating one meanwhile.
fn refuse_taken_name(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    match vfs.open(path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("look for", path, &error)),
        Ok(_) => Err(Error::io(
            "create",
            path,
            &io::ErrorKind::AlreadyExists.into(),
        )),
    }
}

/// Writes the footer of `segment` at `end`, where its valid records, which amount to `totals` and are durable, end, and
/// cuts `file`, which is the segment's file open for writing, behind it. `keys` is how many keys the store has, or 0.
pub fn write_footer(
    segment: &Segment,
    file: &dyn File,
    totals: &Totals,
    end: u64,
    keys: u64,
) -> Result<Footer> {
    let footer = Footer {
        totals: *totals,
        offset: end,
        keys,
        hints_at: None,
        nothing_expires: !segment.may_expire(),
        // Whoever seals what another run left has seen nothing expire; the headers keep what is known.
        expired_until_ms: 0,
        header: *segment.header_bytes(),
    };
    put_footer(segment, file, footer)
}

/// Makes the footer of a sealed `segment` durable whose file has the name `path`, by writing it once more. If a sync has failed, the
/// system takes the bytes for written from then on, though the disk may not have them, and another sync alone would do
/// nothing for them. The records need none of this: they were durable before there was a footer.
///
/// # Errors
/// `Corrupt` if the file has no footer; `Io`.
pub fn make_footer_durable(vfs: &dyn Vfs, segment: &Segment, path: &Path) -> Result<()> {
    let failed = |doing: &str, error: io::Error| Error::io(doing, path, &error);
    let file = vfs
        .open(path, Access::Write)
        .map_err(|error| failed("open for writing", error))?;
    let len = file
        .len()
        .map_err(|error| failed("take the length of", error))?;
    let footer = read_footer(&*file, len).map_err(|error| failed("read the footer of", error))?;
    let (footer, _) = footer.ok_or_else(|| Error::corrupt(path, len, "the footer is gone"))?;
    // Cut to its length, too, which may not have reached the disk either.
    put_footer(segment, &*file, footer)?;
    file.sync().map_err(|error| failed("sync", error))
}

fn put_footer(segment: &Segment, file: &dyn File, footer: Footer) -> Result<Footer> {
    let end = footer.offset;
    let bytes = footer.encode(segment.context())?;
    let failed = |doing: &str, error: io::Error| Error::io(doing, segment.path(), &error);
    file.write_all_at(&bytes, end)
        .map_err(|error| failed("write the footer", error))?;
    file.set_len(end + FOOTER_LEN as u64)
        .map_err(|error| failed("cut to length", error))?;
    Ok(footer)
}

#[cfg(test)]
mod tests;

//! An open segment, for reading.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::log::disposal::{Disposal, Remains};
use crate::log::footer::{FOOTER_LEN, Footer};
use crate::log::record::{self, Head, Invalid, MAX_HEAD_LEN, SegmentContext};
use crate::log::record_view::RecordView;
use crate::log::segment_header::{HEADER_LEN, HeaderFault, SegmentHeader};
use crate::log::segment_name;
use crate::memory::prefetch::prefetch;
use crate::memory::reserve;
use crate::vfs::{Access, Allocation, File, Mapping, Vfs};

/// How segments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Through a mapping: no system call and no copy, but a disk that fails to read kills the process.
    Mapped,
    /// By calls that read into memory of the caller: a disk that fails to read is an error.
    Pread,
}

const LINE_BYTES: usize = 64;
// What a short record with its key and value reaches into.
const PREFETCHED_LINES: usize = 3;

// Most records are shorter, and a read of this many bytes costs what a read of one byte costs.
const FIRST_READ_LEN: u64 = 512;

/// An open, readable segment. All methods may be called from any thread.
pub struct Segment {
    path: PathBuf,
    header: SegmentHeader,
    header_bytes: [u8; HEADER_LEN],
    context: SegmentContext,
    /// Taken by the drop, and by nothing else.
    file: Option<Arc<dyn File>>,
    content: Content,
    /// Unset as long as it is known that no record expires.
    may_expire: AtomicBool,
    /// Who lets go of mapping and file; the thread that drops the segment where this is not set.
    disposal: OnceLock<Arc<Disposal>>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let (Some(disposal), Some(file)) = (self.disposal.take(), self.file.take()) {
            let nothing = Content::File(AtomicU64::new(0));
            let content = std::mem::replace(&mut self.content, nothing);
            disposal.take(Remains::new(content, file));
        }
    }
}

/// The records of a mapped segment that were readable at one moment.
#[derive(Clone, Copy)]
pub struct MappedRecords<'a> {
    segment: &'a Segment,
    bytes: &'a [u8],
}

/// Where a segment's bytes are read from.
pub(super) enum Content {
    Mapped(Arc<Mapping>),
    /// The file itself, up to the end that the writer, if there is one, has published.
    File(AtomicU64),
}

/// What [`Segment::open`] found.
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, and taken apart at once"
)]
pub enum OpenedSegment {
    /// A complete segment: whatever is invalid in it is damage.
    Sealed {
        /// For reading its records.
        segment: Arc<Segment>,
        /// What it was sealed with.
        footer: Footer,
        /// Set if the header is damaged and the footer's copy of it took its place.
        header_damage: Option<Error>,
    },
    /// A segment that was being written, or the footer of which is damaged: only a scan tells where it ends.
    Unsealed {
        /// For reading its records.
        segment: Arc<Segment>,
    },
    /// Neither header nor footer can be used, hence no record can be read.
    Headless {
        /// What is wrong with the header.
        fault: HeaderFault,
        /// Length of the file in bytes.
        len: u64,
    },
}

impl Segment {
    /// Opens the segment in the file `path` for reading. The file must not be changed or cut while it is open.
    /// Errors: `Version` if a newer version wrote it, `Corrupt` if it is not the segment that its name says, `Io`.
    pub fn open(vfs: &dyn Vfs, path: &Path, read_mode: ReadMode) -> Result<OpenedSegment> {
        // An open of a store opens any number of segments.
        reserve::check()?;
        let failed = |doing: &str, error: io::Error| Error::io(doing, path, &error);
        let file = vfs
            .open(path, Access::Read)
            .map_err(|error| failed("open", error))?;
        let file: Arc<dyn File> = Arc::from(file);
        let len = file
            .len()
            .map_err(|error| failed("take the length", error))?;
        let header = read_header(&*file, len).map_err(|error| failed("read the header", error))?;
        if let Err(fault @ HeaderFault::Newer { .. }) = header {
            return Err(fault.into_error(path));
        }
        let footer = read_footer(&*file, len).map_err(|error| failed("read the footer", error))?;
        let nothing_expires = footer
            .as_ref()
            .is_some_and(|(footer, _)| footer.nothing_expires);
        let new = |header: SegmentHeader, header_bytes, may_expire| -> Result<Arc<Segment>> {
            check_name(path, header.segment_id)?;
            Self::new(
                path.into(),
                header,
                header_bytes,
                file.clone(),
                read_mode,
                len,
                may_expire,
            )
        };
        match (header, footer) {
            (Ok((header, header_bytes)), Some((footer, _))) if footer.header == header_bytes => {
                Ok(OpenedSegment::Sealed {
                    segment: new(header, header_bytes, !nothing_expires)?,
                    footer,
                    header_damage: None,
                })
            }
            (Ok((header, header_bytes)), _) => Ok(OpenedSegment::Unsealed {
                segment: new(header, header_bytes, true)?,
            }),
            (Err(fault), Some((footer, header))) => Ok(OpenedSegment::Sealed {
                segment: new(header, footer.header, !nothing_expires)?,
                footer,
                header_damage: Some(fault.into_error(path)),
            }),
            (Err(fault), None) => Ok(OpenedSegment::Headless { fault, len }),
        }
    }

    // The whole file, of `len` bytes, is readable and does not change.
    fn new(
        path: PathBuf,
        header: SegmentHeader,
        header_bytes: [u8; HEADER_LEN],
        file: Arc<dyn File>,
        read_mode: ReadMode,
        len: u64,
        may_expire: bool,
    ) -> Result<Arc<Self>> {
        let content = match read_mode {
            ReadMode::Mapped => {
                let mapping = mapping_len(&path, len).and_then(|len| {
                    file.map(len)
                        .map_err(|error| Error::io("map", &path, &error))
                });
                Content::Mapped(mapping?)
            }
            ReadMode::Pread => Content::File(AtomicU64::new(len)),
        };
        Ok(Self::with_content(
            path,
            header,
            header_bytes,
            file,
            content,
            may_expire,
        ))
    }

    pub(super) fn with_content(
        path: PathBuf,
        header: SegmentHeader,
        header_bytes: [u8; HEADER_LEN],
        file: Arc<dyn File>,
        content: Content,
        may_expire: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            path,
            context: header.context(),
            header,
            header_bytes,
            file: Some(file),
            content,
            may_expire: AtomicBool::new(may_expire),
            disposal: OnceLock::new(),
        })
    }

    /// The same segment, through the same open file, after [`crate::log::writer::SegmentWriter::seal`] has written
    /// `footer` and the caller has synced: mapped as a sealed one is.
    pub fn reopen_sealed(&self, footer: &Footer, read_mode: ReadMode) -> Result<Arc<Self>> {
        let len = footer.offset + FOOTER_LEN as u64;
        Self::new(
            self.path.clone(),
            self.header.clone(),
            self.header_bytes,
            self.shared_file().clone(),
            read_mode,
            len,
            self.may_expire(),
        )
    }

    /// Brings the whole segment near, where it is mapped: for one that this process has just written, whose readers would meet
    /// each page anew. An open must not: it would read all of the log.
    pub fn make_readable(&self) {
        if let Content::Mapped(mapping) = &self.content {
            mapping.make_readable(mapping.published());
        }
    }

    /// The same segment, through the same open file, for reading all that the file has now by calls: another process may be writing
    /// it, so that what is behind the last complete record may change.
    pub fn as_it_is_now(&self) -> Result<Arc<Self>> {
        let len = self.file().len();
        let len = len.map_err(|error| Error::io("take the length", &self.path, &error))?;
        Self::new(
            self.path.clone(),
            self.header.clone(),
            self.header_bytes,
            self.shared_file().clone(),
            ReadMode::Pread,
            len,
            true,
        )
    }

    /// When nobody reads the segment any more, `disposal` lets go of it, whoever was the last.
    pub fn leave_to(&self, disposal: &Arc<Disposal>) {
        self.disposal.get_or_init(|| disposal.clone());
    }

    /// The segment's id.
    pub fn id(&self) -> u64 {
        self.header.segment_id
    }

    /// What the segment's header says.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Whether a record that expires may be in it. If not, nobody needs to look at a record to know that it has not expired.
    #[inline]
    pub fn may_expire(&self) -> bool {
        self.may_expire.load(Ordering::Relaxed)
    }

    /// Notes that a record that expires is about to be written; whoever then learns where it lies knows this as well.
    pub(super) fn note_expiring(&self) {
        self.may_expire.store(true, Ordering::Relaxed);
    }

    /// The segment's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// End of the readable bytes: of all records whose writing is complete, or of the file if nobody writes to it.
    #[inline]
    pub fn readable_end(&self) -> u64 {
        match &self.content {
            Content::Mapped(mapping) => mapping.published() as u64,
            Content::File(end) => end.load(Ordering::Acquire),
        }
    }

    /// Takes the bytes from `end` on as not readable from now on, in a segment that is read by calls and that nobody writes
    /// to: so that the file may be cut there.
    pub fn limit(&self, end: u64) {
        if let Content::File(readable) = &self.content {
            readable.fetch_min(end, Ordering::AcqRel);
        }
    }

    /// Takes the bytes up to `end`, which are there and change no more, as readable in a segment that is read by calls and that
    /// another process writes.
    pub fn extend(&self, end: u64) {
        if let Content::File(readable) = &self.content {
            readable.fetch_max(end, Ordering::AcqRel);
        }
    }

    /// Bytes that the file takes on disk, with what is allocated for coming records.
    pub fn disk_bytes(&self) -> u64 {
        self.file().len().unwrap_or_else(|_| self.readable_end())
    }

    /// Offset behind the last readable byte that is not zero. Errors: `Corrupt` if the file was cut, `Io`.
    pub fn content_end(&self) -> Result<u64> {
        let mut piece = [0; 4096];
        let mut end = self.readable_end();
        while end > 0 {
            let start = end.saturating_sub(piece.len() as u64);
            let piece = &mut piece[..(end - start) as usize];
            self.read_exact_at(piece, start)?;
            if let Some(last) = piece.iter().rposition(|&byte| byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    /// Makes everything below [`Self::readable_end`] durable. After an error it must not be called again.
    pub fn sync(&self) -> Result<()> {
        sabotage!(NoSync, return Ok(()));
        self.file()
            .sync()
            .map_err(|error| Error::io("sync", &self.path, &error))
    }

    /// Makes the next sync quicker, and easier on other threads, if nothing is written into the segment any more; see
    /// [`Mapping::leave_pages`](crate::vfs::Mapping::leave_pages).
    pub fn leave_pages(&self) {
        if let Content::Mapped(mapping) = &self.content {
            mapping.leave_pages();
        }
    }

    /// The record at `offset`. Its checksum is not verified: see [`RecordView::verify`]. Bytes that are not in memory
    /// already are read into `scratch`, which grows by no more than the readable bytes of the segment.
    /// Errors: `Corrupt` if no record can lie there, `Memory`, `Io`.
    #[inline(always)]
    pub fn record<'a>(&'a self, offset: u64, scratch: &'a mut Vec<u8>) -> Result<RecordView<'a>> {
        match &self.content {
            Content::Mapped(mapping) => self.record_in(mapping, offset),
            Content::File(end) => {
                let head = self.read_record(offset, end.load(Ordering::Acquire), scratch)?;
                Ok(RecordView::new(self, offset, scratch, head))
            }
        }
    }

    /// What stands before the key of the record at `offset`: enough for accounting, with nothing verified.
    /// Errors as [`Self::record`].
    #[inline(always)]
    pub fn head_at(&self, offset: u64) -> Result<Head> {
        match &self.content {
            Content::Mapped(mapping) => {
                let bytes = readable_from(mapping, offset);
                record::decode_head(bytes, bytes.len() as u64, &self.context)
                    .map_err(|invalid| self.invalid_record(offset, invalid))
            }
            Content::File(end) => self.read_head(offset, end.load(Ordering::Acquire)),
        }
    }

    #[inline(never)]
    fn read_head(&self, offset: u64, end: u64) -> Result<Head> {
        let mut bytes = [0; MAX_HEAD_LEN];
        let available = end.saturating_sub(offset);
        let wanted = available.min(MAX_HEAD_LEN as u64) as usize;
        self.read_exact_at(&mut bytes[..wanted], offset)?;
        record::decode_head(&bytes[..wanted], available, &self.context)
            .map_err(|invalid| self.invalid_record(offset, invalid))
    }

    /// The key of the record at `offset`, as it reads, with nothing verified and without its value. Errors and `scratch` as
    /// in [`Self::record`].
    #[inline]
    pub fn key_at<'a>(&'a self, offset: u64, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        self.head_and_key_at(offset, scratch).map(|(_, key)| key)
    }

    /// The same with what stands before the key.
    #[inline]
    pub fn head_and_key_at<'a>(
        &'a self,
        offset: u64,
        scratch: &'a mut Vec<u8>,
    ) -> Result<(Head, &'a [u8])> {
        let (head, bytes) = match &self.content {
            Content::Mapped(mapping) => {
                let bytes = readable_from(mapping, offset);
                let head = record::decode_head(bytes, bytes.len() as u64, &self.context)
                    .map_err(|invalid| self.invalid_record(offset, invalid))?;
                (head, bytes)
            }
            Content::File(end) => {
                let end = end.load(Ordering::Acquire);
                let key_end = |head: &Head| head.head_len + head.key_len;
                let head = self.read_up_to(offset, end, scratch, key_end)?;
                (head, &scratch[..])
            }
        };
        let key = &bytes[head.head_len..head.head_len + head.key_len];
        Ok((head, key))
    }

    /// Asks for the first lines of the record at `offset` to be brought near, where the segment is mapped.
    #[inline]
    pub fn prefetch(&self, offset: u64) {
        if let Content::Mapped(mapping) = &self.content {
            prefetch_lines(readable_from(mapping, offset));
        }
    }

    /// As [`Self::head_and_key_at`], if the segment is mapped and a key can be read there.
    #[inline(always)]
    pub fn mapped_head_and_key_at(&self, offset: u64) -> Option<(Head, &[u8])> {
        let Content::Mapped(mapping) = &self.content else {
            return None;
        };
        let bytes = readable_from(mapping, offset);
        let head = record::decode_head(bytes, bytes.len() as u64, &self.context).ok()?;
        let key = bytes.get(head.head_len..head.head_len + head.key_len)?;
        Some((head, key))
    }

    /// Asks for the line in which the record at `offset` begins to be brought near. Answers whether the segment is mapped, so
    /// that this makes sense.
    #[inline]
    pub fn prefetch_head(&self, offset: u64) -> bool {
        let Content::Mapped(mapping) = &self.content else {
            return false;
        };
        let bytes = readable_from(mapping, offset);
        bytes.first().inspect(|first| prefetch(*first)).is_some()
    }

    /// The record at `offset`, not verified either, if the segment is mapped, so that it needs no other memory.
    /// Errors: `Corrupt` if no record can lie there.
    #[inline]
    pub fn mapped_record(&self, offset: u64) -> Result<Option<RecordView<'_>>> {
        match &self.content {
            Content::Mapped(mapping) => self.record_in(mapping, offset).map(Some),
            Content::File(_) => Ok(None),
        }
    }

    /// Whether its bytes are read through a mapping, and stay readable at their addresses as long as the segment lives.
    pub fn is_mapped(&self) -> bool {
        matches!(self.content, Content::Mapped(_))
    }

    /// `length` bytes at `offset`, with nothing verified, if the segment is mapped and they are readable.
    pub fn mapped_range(&self, offset: u64, length: usize) -> Option<&[u8]> {
        match &self.content {
            Content::Mapped(mapping) => mapping.bytes(usize::try_from(offset).ok()?, length),
            Content::File(_) => None,
        }
    }

    /// The records that are readable now, if the segment is mapped: for whoever reads many of them.
    #[inline]
    pub fn mapped_records(&self) -> Option<MappedRecords<'_>> {
        self.mapped_bytes().map(|bytes| MappedRecords {
            segment: self,
            bytes,
        })
    }

    #[inline(always)]
    fn record_in<'a>(&'a self, mapping: &'a Mapping, offset: u64) -> Result<RecordView<'a>> {
        self.record_of(readable_from(mapping, offset), offset)
    }

    // The record at `offset`, from where on `bytes` are readable. Inlined for the same reason as what it calls.
    #[inline(always)]
    fn record_of<'a>(&'a self, bytes: &'a [u8], offset: u64) -> Result<RecordView<'a>> {
        match record::decode_head(bytes, bytes.len() as u64, &self.context) {
            Ok(head) => {
                let bytes = &bytes[..head.unpadded_len()];
                Ok(RecordView::new(self, offset, bytes, head))
            }
            Err(invalid) => Err(self.invalid_record(offset, invalid)),
        }
    }

    #[inline(never)]
    fn read_record(&self, offset: u64, end: u64, scratch: &mut Vec<u8>) -> Result<Head> {
        self.read_up_to(offset, end, scratch, Head::unpadded_len)
    }

    // Reads as many bytes of a record as `len_of` its head says.
    fn read_up_to(
        &self,
        offset: u64,
        end: u64,
        scratch: &mut Vec<u8>,
        len_of: impl Fn(&Head) -> usize,
    ) -> Result<Head> {
        let available = end.saturating_sub(offset);
        let first_len = available.min(FIRST_READ_LEN) as usize;
        self.resize(scratch, first_len)?;
        self.read_exact_at(scratch, offset)?;
        let head = record::decode_head(scratch, available, &self.context)
            .map_err(|invalid| self.invalid_record(offset, invalid))?;
        let len = len_of(&head);
        self.resize(scratch, len)?;
        if len > first_len {
            self.read_exact_at(&mut scratch[first_len..], offset + first_len as u64)?;
        }
        Ok(head)
    }

    fn resize(&self, scratch: &mut Vec<u8>, len: usize) -> Result<()> {
        if scratch
            .try_reserve(len.saturating_sub(scratch.len()))
            .is_err()
        {
            return Err(Error::memory("a record").context(self.path.display()));
        }
        scratch.resize(len, 0);
        Ok(())
    }

    /// Fills `buffer` from byte `offset` of the file. Errors: `Corrupt` if the file was cut, `Io`.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file()
            .read_exact_at(buffer, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    Error::corrupt(&self.path, offset, "the file was cut after it was opened")
                }
                _ => Error::io("read", &self.path, &error),
            })
    }

    #[cold]
    pub(super) fn invalid_record(&self, offset: u64, invalid: Invalid) -> Error {
        Error::corrupt(
            &self.path,
            offset,
            format_args!("{invalid}; restore the file from a backup"),
        )
    }

    /// All readable bytes, where they are in memory.
    pub(super) fn mapped_bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Mapped(mapping) => Some(readable_from(mapping, 0)),
            Content::File(_) => None,
        }
    }

    /// Lets readers see everything below `end` of a segment that is written by calls. A mapped one is published
    /// through its mapping.
    pub(super) fn publish(&self, end: u64) {
        if let Content::File(published) = &self.content {
            published.store(end, Ordering::Release);
        }
    }

    /// The mapping of a mapped segment. Who holds it keeps no file open.
    pub fn mapping(&self) -> Option<Arc<Mapping>> {
        match &self.content {
            Content::Mapped(mapping) => Some(mapping.clone()),
            Content::File(_) => None,
        }
    }

    fn shared_file(&self) -> &Arc<dyn File> {
        let file = self.file.as_ref();
        file.expect("a segment has its file until it is dropped")
    }

    /// Has space reserved for the first `len` bytes of the file, if the file system can do that; answers whether it has. For a
    /// segment that is still written to.
    pub fn reserve_space(&self, len: u64) -> bool {
        matches!(self.file().allocate(len), Ok(Allocation::Reserved))
    }

    pub(super) fn file(&self) -> &dyn File {
        &**self.shared_file()
    }

    pub(super) fn header_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.header_bytes
    }

    #[inline]
    pub(super) fn context(&self) -> &SegmentContext {
        &self.context
    }
}

impl<'a> MappedRecords<'a> {
    /// As [`Segment::record`].
    #[inline]
    pub fn record(&self, offset: u64) -> Result<RecordView<'a>> {
        self.segment.record_of(self.from(offset), offset)
    }

    /// As [`Segment::prefetch`].
    #[inline]
    pub fn prefetch(&self, offset: u64) {
        prefetch_lines(self.from(offset));
    }

    /// Asks for what [`Self::prefetch`] leaves out of a record at `offset` of so many bytes, up to 8 KiB.
    #[inline(never)]
    pub fn prefetch_rest(&self, offset: u64, length: u64) {
        let bytes = self.from(offset);
        let length = length.min(MOST_PREFETCHED) as usize;
        let bytes = &bytes[..length.min(bytes.len())];
        for line in bytes.chunks(LINE_BYTES).skip(PREFETCHED_LINES) {
            prefetch(&line[0]);
        }
    }

    #[inline]
    fn from(&self, offset: u64) -> &'a [u8] {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.bytes.get(offset..).unwrap_or(&[])
    }
}

const MOST_PREFETCHED: u64 = 8 << 10;

// Asks for the first lines of `bytes`.
#[inline]
fn prefetch_lines(bytes: &[u8]) {
    for line in bytes.chunks(LINE_BYTES).take(PREFETCHED_LINES) {
        prefetch(&line[0]);
    }
}

// All readable bytes from `offset` on; none if that lies beyond the end.
#[inline(always)]
fn readable_from(mapping: &Mapping, offset: u64) -> &[u8] {
    let Ok(offset) = usize::try_from(offset) else {
        return &[];
    };
    let available = mapping.published().saturating_sub(offset);
    mapping.bytes(offset, available).unwrap_or(&[])
}

pub(super) fn mapping_len(path: &Path, len: u64) -> Result<usize> {
    usize::try_from(len).map_err(|_| {
        let message = format!(
            "{}: {len} bytes cannot be mapped here; open with read_mode = pread",
            path.display()
        );
        Error::new(ErrorKind::Unsupported, message)
    })
}

type DecodedHeader = std::result::Result<(SegmentHeader, [u8; HEADER_LEN]), HeaderFault>;

fn read_header(file: &dyn File, len: u64) -> io::Result<DecodedHeader> {
    let mut bytes = [0; HEADER_LEN];
    if len < HEADER_LEN as u64 {
        return Ok(Err(HeaderFault::Truncated));
    }
    file.read_exact_at(&mut bytes, 0)?;
    Ok(SegmentHeader::decode(&bytes).map(|header| (header, bytes)))
}

pub(super) fn read_footer(
    file: &dyn File,
    len: u64,
) -> io::Result<Option<(Footer, SegmentHeader)>> {
    let mut bytes = [0; FOOTER_LEN];
    if len < (HEADER_LEN + FOOTER_LEN) as u64 {
        return Ok(None);
    }
    let offset = len - FOOTER_LEN as u64;
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Footer::decode(&bytes, offset))
}

fn check_name(path: &Path, segment_id: u64) -> Result<()> {
    if path.file_name().and_then(segment_name::parse) == Some(segment_id) {
        return Ok(());
    }
    let name = segment_name::file_name(segment_id);
    Err(Error::corrupt(
        path,
        0,
        format_args!("the file holds the segment that was called {name}; give it its name back"),
    ))
}

#[cfg(test)]
mod tests;

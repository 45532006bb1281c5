//! A simulated file: what is on the disk, what is in the page cache, and which bytes of it are not yet on
//! the disk.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use super::SECTOR;
use super::random::Random;
use super::ranges::Ranges;
use crate::vfs::mapping::HeapRegion;

/// Larger files are refused, as by a file system with such a limit: they would only fill the memory.
const MAXIMUM_LENGTH: u64 = 1 << 40;

/// A file without its name.
pub(super) struct Contents {
    /// What a power loss leaves, bytes after its end being zeros. Shared with the disks of earlier crashes.
    durable: Arc<Vec<u8>>,
    durable_length: u64,
    /// What reads see; `None` while that is the same as `durable`. May be longer or shorter than the file;
    /// bytes of the file after its end are zeros, and so are its own after the end of the file.
    cache: Option<Arc<HeapRegion>>,
    /// Earlier caches, too small for the file by now, that mappings still show.
    outgrown: Vec<Arc<HeapRegion>>,
    /// End of the bytes in `cache` that may be other than zero.
    filled: u64,
    length: u64,
    /// End of the bytes that have blocks on the disk.
    allocated: u64,
    /// Written since the last sync.
    written: Ranges,
    /// A failed sync dropped changes: `cache` differs from `durable` where nothing is `written`.
    diverged: bool,
}

impl Contents {
    pub(super) fn empty() -> Self {
        Self::at_rest(Arc::new(Vec::new()), 0)
    }

    /// A file of `length` bytes that is the same on the disk and in the cache.
    pub(super) fn at_rest(durable: Arc<Vec<u8>>, length: u64) -> Self {
        Self {
            durable,
            durable_length: length,
            cache: None,
            outgrown: Vec::new(),
            filled: 0,
            length,
            allocated: length,
            written: Ranges::default(),
            diverged: false,
        }
    }

    /// The same file when all processes that had it open are gone.
    pub(super) fn after_kill(&self) -> io::Result<Self> {
        let cache = match &self.cache {
            Some(cache) if self.diverged || !self.written.is_empty() => {
                Some(copy(cache, self.filled as usize, self.filled)?)
            }
            _ => None,
        };
        Ok(Self {
            durable: self.durable.clone(),
            durable_length: self.durable_length,
            cache,
            outgrown: Vec::new(),
            filled: self.filled,
            length: self.length,
            allocated: self.allocated,
            written: self.written.clone(),
            diverged: self.diverged,
        })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn durable_length(&self) -> u64 {
        self.durable_length
    }

    pub(super) fn durable(&self) -> &Arc<Vec<u8>> {
        &self.durable
    }

    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Starts of the sectors below `end` that a power loss may damage.
    pub(super) fn unsynced_sectors(&self, end: u64) -> impl Iterator<Item = u64> {
        self.written.sectors(end.min(self.length))
    }

    /// The unsynced ranges inside `window`.
    pub(super) fn unsynced(&self, window: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.written.inside(window)
    }

    /// Fills `buffer` from `offset`; bytes after the end of the file read as zeros.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) {
        match &self.cache {
            Some(cache) => cache.with_bytes(|bytes| copy_padded(buffer, bytes, offset)),
            None => copy_padded(buffer, &self.durable, offset),
        }
    }

    /// Writes `bytes` at `offset`, of which the blocks up to `allocated` must be there or to be had.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = checked_end(offset, bytes.len() as u64)?;
        self.cache(end)?.write(offset as usize, bytes)?;
        self.filled = self.filled.max(end);
        self.length = self.length.max(end);
        self.allocated = self.allocated.max(end);
        self.written.insert(offset..end);
        Ok(())
    }

    /// A write through a mapping of `region`, at `offset`.
    pub(super) fn write_mapped(
        &mut self,
        region: &Arc<HeapRegion>,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        let attached = self
            .cache
            .as_ref()
            .is_some_and(|cache| Arc::ptr_eq(cache, region));
        if !attached {
            return Err(io::Error::other(
                "simulated disk: write through a mapping that the file has outgrown",
            ));
        }
        let end = checked_end(offset, bytes.len() as u64)?;
        if end > self.length.min(self.allocated) {
            return Err(io::Error::other(
                "simulated disk: mapped write beyond the allocated part of the file: SIGBUS",
            ));
        }
        self.write(bytes, offset)
    }

    /// Cuts or grows the file.
    pub(super) fn set_length(&mut self, length: u64) -> io::Result<()> {
        checked_end(length, 0)?;
        if length < self.length {
            let cache = self.cache(0)?.clone();
            let protected = cache.protected() as u64;
            if length < protected {
                return Err(busy(length, protected));
            }
            let cut = length..self.filled.max(length);
            if !cut.is_empty() {
                cache.zero(cut.start as usize, (cut.end - cut.start) as usize)?;
            }
            self.filled = self.filled.min(length);
            // Should the file grow again, these bytes are zeros that the disk does not have yet.
            self.written.insert(length..self.length);
            self.allocated = self.allocated.min(length);
        }
        self.length = length;
        Ok(())
    }

    /// Grows the file to `length` bytes with blocks.
    pub(super) fn allocate(&mut self, length: u64) -> io::Result<()> {
        checked_end(length, 0)?;
        self.length = self.length.max(length);
        self.allocated = self.allocated.max(length);
        Ok(())
    }

    /// Everything becomes durable.
    pub(super) fn sync(&mut self) {
        self.write_back(|| true);
        if self.durable.len() as u64 > self.length {
            Arc::make_mut(&mut self.durable).truncate(self.length as usize);
        }
        self.durable_length = self.length;
        self.written.clear();
    }

    /// A sync fails: whatever it did not write is taken for written from now on. It writes each sector with
    /// even odds if `random` is given, else none.
    pub(super) fn fail_sync(&mut self, random: Option<&mut Random>) {
        if let Some(random) = random {
            self.sync_some(random);
        }
        self.diverged |= !self.written.is_empty();
        self.written.clear();
    }

    /// Some sectors, each with even odds, are written; none counts as durable.
    pub(super) fn sync_some(&mut self, random: &mut Random) {
        self.write_back(|| random.coin());
    }

    /// Copies the unsynced sectors that `choose` wants to the disk.
    fn write_back(&mut self, mut choose: impl FnMut() -> bool) {
        let mut sectors: Vec<u64> = self.unsynced_sectors(u64::MAX).collect();
        sectors.retain(|_| choose());
        if let Some(cache) = &self.cache
            && !sectors.is_empty()
        {
            let durable = Arc::make_mut(&mut self.durable);
            cache.with_bytes(|bytes| {
                for sector in sectors {
                    copy_sector(durable, bytes, sector, self.length);
                }
            });
        }
    }

    /// Forgets what the disk does not have and nothing will ever write, as the system may do at any time.
    pub(super) fn drop_cache(&mut self) {
        if let Some(cache) = &mut self.cache
            && self.written.is_empty()
            && self.durable.len() as u64 <= self.length
            && Arc::get_mut(cache).is_some()
        {
            self.cache = None;
            self.diverged = false;
        }
    }

    /// The file's memory for a mapping of `length` bytes.
    pub(super) fn region(&mut self, length: usize) -> io::Result<Arc<HeapRegion>> {
        Ok(self.cache(length as u64)?.clone())
    }

    pub(super) fn is_mapped(&mut self) -> bool {
        let mut regions = self.cache.iter_mut().chain(&mut self.outgrown);
        regions.any(|region| Arc::get_mut(region).is_none())
    }

    /// The cache, of at least `capacity` bytes. What mappings promised not to change stays protected as long
    /// as one lives.
    fn cache(&mut self, capacity: u64) -> io::Result<&Arc<HeapRegion>> {
        let capacity = usize::try_from(capacity).map_err(|_| Errno::FBIG)?;
        let region = match &mut self.cache {
            None => {
                let region = HeapRegion::new(capacity.max(self.durable.len()))?;
                region.write(0, &self.durable)?;
                self.filled = self.durable.len() as u64;
                region
            }
            Some(cache) if cache.capacity() < capacity => {
                // Appending a little at a time must not copy everything each time.
                let larger = copy(cache, capacity.max(self.filled as usize * 2), self.filled)?;
                self.outgrown.push(cache.clone());
                larger
            }
            Some(cache) => {
                HeapRegion::release(cache);
                cache.clone()
            }
        };
        self.cache = None; // so that only mappings keep an outgrown region
        self.outgrown
            .retain_mut(|outgrown| Arc::get_mut(outgrown).is_none());
        for outgrown in &self.outgrown {
            region.protect(outgrown.protected());
        }
        Ok(self.cache.insert(region))
    }
}

fn busy(offset: u64, protected: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!(
            "simulated disk: cut to {offset} bytes while a mapping promises {protected} unchanged bytes"
        ),
    )
}

/// `offset + length`, if a file can be that long.
pub(super) fn checked_end(offset: u64, length: u64) -> io::Result<u64> {
    match offset.checked_add(length) {
        Some(end) if end <= MAXIMUM_LENGTH => Ok(end),
        _ => Err(Errno::FBIG.into()),
    }
}

/// A region of `capacity` bytes that starts with the first `filled` bytes of `region`.
fn copy(region: &HeapRegion, capacity: usize, filled: u64) -> io::Result<Arc<HeapRegion>> {
    let new = HeapRegion::new(capacity)?;
    region.with_bytes(|bytes| new.write(0, &bytes[..filled as usize]))?;
    Ok(new)
}

/// Fills `buffer` with what `bytes`, followed by zeros, has at `offset`.
fn copy_padded(buffer: &mut [u8], bytes: &[u8], offset: u64) {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let count = buffer.len().min(bytes.len() - start);
    buffer[..count].copy_from_slice(&bytes[start..start + count]);
    buffer[count..].fill(0);
}

/// Copies the sector at `sector`, as far as it lies below `end`, from `source` to `target`.
pub(super) fn copy_sector(target: &mut Vec<u8>, source: &[u8], sector: u64, end: u64) {
    let end = end.min(sector + SECTOR) as usize;
    let sector = sector as usize;
    if target.len() < end {
        target.resize(end, 0);
    }
    copy_padded(&mut target[sector..end], source, sector as u64);
}

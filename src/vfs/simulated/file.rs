//! Open files of a simulated disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::contents::{Contents, checked_end};
use super::faults::Operation;
use super::state::{Extent, Request, Shared, State};
use super::tree::Number;
use crate::vfs::mapping::{HeapRegion, HeapWrites};
use crate::vfs::{Access, Allocation, DirectoryLock, File, Mapping, MappingWriter};

/// An open file.
pub(super) struct SimulatedFile {
    shared: Arc<Shared>,
    number: Number,
    path: Arc<Path>,
    access: Access,
}

impl SimulatedFile {
    /// A handle of the file `number`, counted in `state`.
    pub(super) fn new(
        shared: &Arc<Shared>,
        state: &mut State,
        number: Number,
        path: &Path,
        access: Access,
    ) -> io::Result<Self> {
        state.tree.file(number)?.handles += 1;
        Ok(Self {
            shared: shared.clone(),
            number,
            path: Arc::from(path),
            access,
        })
    }

    fn perform<T>(
        &self,
        operation: Operation,
        offset: u64,
        length: u64,
        run: impl FnOnce(&mut State, Extent) -> io::Result<T>,
    ) -> io::Result<T> {
        let request = Request {
            operation,
            path: &self.path,
            offset,
            length,
        };
        self.shared.perform(request, run)
    }

    fn writable(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(Errno::BADF.into()),
        }
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.shared.look(|state| {
            if let Ok(file) = state.tree.file(self.number) {
                file.handles -= 1;
                if file.handles == 0 {
                    state.tree.collect();
                }
            }
        });
    }
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        self.perform(Operation::Length, 0, 0, |state, _| {
            Ok(state.tree.file(self.number)?.contents.length())
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let length = buffer.len() as u64;
        self.perform(Operation::Read, offset, length, |state, extent| {
            let part = part(state, extent, length) as usize;
            let contents = &state.tree.file(self.number)?.contents;
            match offset.checked_add(length) {
                Some(end) if end <= contents.length() || length == 0 => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            contents.read(&mut buffer[..part], offset);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let length = bytes.len() as u64;
        self.perform(Operation::Write, offset, length, |state, extent| {
            self.writable()?;
            let part = part(state, extent, length);
            let allocated = state.tree.file(self.number)?.contents.allocated();
            let fitting = state.fitting(allocated, offset, part);
            let contents = &mut state.tree.file(self.number)?.contents;
            contents.write(&bytes[..fitting as usize], offset)?;
            if fitting < part {
                return Err(Errno::NOSPC.into());
            }
            Ok(())
        })
    }

    fn allocate(&self, length: u64) -> io::Result<Allocation> {
        self.perform(Operation::Allocate, 0, length, |state, extent| {
            self.writable()?;
            if state.settings.allocation == Allocation::Unsupported {
                return Ok(Allocation::Unsupported);
            }
            checked_end(length, 0)?;
            let allocated = state.tree.file(self.number)?.contents.allocated();
            let wanted = part(state, extent, length.saturating_sub(allocated));
            let fitting = state.fitting(allocated, allocated, wanted);
            let contents = &mut state.tree.file(self.number)?.contents;
            if fitting < wanted {
                contents.allocate(allocated + fitting)?;
                return Err(Errno::NOSPC.into());
            }
            contents.allocate(if extent == Extent::Whole {
                length
            } else {
                allocated + wanted
            })?;
            Ok(Allocation::Reserved)
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.perform(Operation::SetLength, 0, length, |state, _| {
            self.writable()?;
            state.tree.file(self.number)?.contents.set_length(length)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.perform(Operation::Sync, 0, 0, |state, extent| {
            sync(state, self.number, extent)
        })
    }

    fn map(&self, length: usize) -> io::Result<Arc<Mapping>> {
        self.perform(Operation::Map, 0, length as u64, |state, _| {
            Mapping::of_heap(&region(state, self.number, length, length)?, length)
        })
    }

    fn map_append(
        &self,
        published: usize,
        capacity: usize,
    ) -> io::Result<(Arc<Mapping>, MappingWriter)> {
        let (offset, length) = (published as u64, capacity as u64);
        self.perform(Operation::MapAppend, offset, length, |state, _| {
            self.writable()?;
            let region = region(state, self.number, published, capacity)?;
            let writes = Box::new(MappedWrites {
                shared: self.shared.clone(),
                number: self.number,
                path: self.path.clone(),
                region: region.clone(),
            });
            MappingWriter::of_heap(&region, published, capacity, writes)
        })
    }
}

/// How much of `length` units of work `extent` says to do.
fn part(state: &mut State, extent: Extent, length: u64) -> u64 {
    match extent {
        Extent::Whole => length,
        Extent::Part => state.random.below(length),
        Extent::Nothing => 0,
    }
}

fn sync(state: &mut State, number: Number, extent: Extent) -> io::Result<()> {
    let goes_on = !state.faults.is_stopped();
    let keeps_name = state.settings.sync_keeps_name;
    let contents: &mut Contents = &mut state.tree.file(number)?.contents;
    match extent {
        Extent::Whole => {
            contents.sync();
            if keeps_name {
                state.tree.sync_names_of(number);
            }
        }
        Extent::Part if goes_on => {
            let random = &mut state.random;
            state.tree.file(number)?.contents.fail_sync(Some(random));
        }
        Extent::Nothing if goes_on => contents.fail_sync(None),
        Extent::Part => {
            let random = &mut state.random;
            state.tree.file(number)?.contents.sync_some(random);
        }
        Extent::Nothing => {}
    }
    Ok(())
}

/// The memory of a file that is at least `least` bytes long, for `capacity` bytes of mapping.
fn region(
    state: &mut State,
    number: Number,
    least: usize,
    capacity: usize,
) -> io::Result<Arc<HeapRegion>> {
    let contents = &mut state.tree.file(number)?.contents;
    if contents.length() < least as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    contents.region(capacity)
}

/// The writes of one [`MappingWriter`]. A mapping does not keep its file open here, as the store keeps it
/// open itself.
struct MappedWrites {
    shared: Arc<Shared>,
    number: Number,
    path: Arc<Path>,
    region: Arc<HeapRegion>,
}

impl HeapWrites for MappedWrites {
    fn write(&self, offset: usize, parts: &[&[u8]]) -> io::Result<()> {
        let request = Request {
            operation: Operation::MappedWrite,
            path: &self.path,
            offset: offset as u64,
            length: parts.iter().map(|part| part.len() as u64).sum(),
        };
        let length = request.length;
        self.shared.perform(request, |state, extent| {
            let mut left = part(state, extent, length) as usize;
            let contents = &mut state.tree.file(self.number)?.contents;
            let mut at = offset as u64;
            for part in parts {
                let now = &part[..left.min(part.len())];
                contents.write_mapped(&self.region, now, at)?;
                at += now.len() as u64;
                left -= now.len();
            }
            Ok(())
        })
    }
}

/// A held lock.
pub(super) struct SimulatedLock {
    pub(super) shared: Arc<Shared>,
    pub(super) number: Number,
}

impl DirectoryLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.shared.look(|state| state.release(self.number));
    }
}

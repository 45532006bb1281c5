//! Writing an image while the store is in use.
//!
//! An image need not show one moment. Everything up to the sequence number that was durable before the first shard was
//! exported is in it; of later records some are, and recovery replays the log from there on, which ends with the same
//! result whatever was there already. But the image must not refer to anything that a power cut could still take
//! back: all it refers to is made durable before it gets its name.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::format::{self, Directory, HEADER_LEN, ImageSegment, ImageShard};
use super::keeper::State;
use super::names;
use crate::error::{Error, ErrorKind, Result};
use crate::index::image::following;
use crate::memory::epoch;
use crate::memory::scratch::Scratch;
use crate::store::Shared;
use crate::store::commit_log::{CommitLog, Scope};
use crate::store::contents::Contents;
use crate::store::live_segment::Dead;
use crate::vfs::{File, Vfs};

/// Writes an image if as many segments have been sealed as the options say, and nobody is writing one already. A failure
/// is counted and costs nothing but the image.
pub fn write_if_due(shared: &Shared) {
    let Some(log) = &shared.log else {
        return;
    };
    let sealed = log.sealed();
    if shared.options.image_segments == 0 || !shared.images.is_due(sealed) {
        return;
    }
    if let Some(mut state) = shared.images.state.try_lock() {
        attempt(shared, log, &mut state, sealed, false);
    }
}

/// Writes an image if any are to be written, and nobody is writing one already. A failure is counted and costs nothing but
/// the image.
pub fn write_now(shared: &Shared) {
    let Some(log) = &shared.log else {
        return;
    };
    if shared.options.image_segments > 0
        && let Some(mut state) = shared.images.state.try_lock()
    {
        attempt(shared, log, &mut state, log.sealed(), false);
    }
}

/// Writes an image of a store that was closed and whose log is sealed, unless the newest shows all of it already.
pub fn write_at_close(shared: &Shared, log: &CommitLog) {
    if shared.options.image_segments == 0 {
        return;
    }
    let mut state = shared.images.state.lock();
    let nothing_to_show = log.last_sequence() == 0;
    if state.covered != Some(log.last_sequence()) && !nothing_to_show {
        attempt(shared, log, &mut state, log.sealed(), true);
    }
}

fn attempt(shared: &Shared, log: &CommitLog, state: &mut State, sealed: u64, closing: bool) {
    let place = log.place();
    let generation = state.names.next();
    let new_path = place.directory.join(names::new_file_name(generation));
    let written = write(shared, log, &new_path, closing)
        .and_then(|covered| publish(&*place.vfs, &place.directory, generation).map(|()| covered));
    let given_up = |error: &Error| error.kind() == ErrorKind::Closed;
    if !written.as_ref().is_err_and(given_up) {
        shared.images.count(written.is_ok());
    }
    match written {
        Ok((covered, bytes)) => {
            state.covered = Some(covered);
            shared.images.set_bytes(bytes);
            state.names.complete.push(generation);
            tidy(&*place.vfs, &place.directory, state);
        }
        Err(_) => {
            let _ = place.vfs.remove(&new_path);
        }
    }
    let options = &shared.options;
    shared.images.plan(sealed, options);
}

/// Gives a complete image its name.
fn publish(vfs: &dyn Vfs, directory: &Path, generation: u64) -> Result<()> {
    let from = directory.join(names::new_file_name(generation));
    let to = directory.join(names::file_name(generation));
    vfs.rename(&from, &to)
        .map_err(|error| Error::io("rename", &from, &error))?;
    vfs.sync_directory(directory)
        .map_err(|error| Error::io("sync directory", directory, &error))
}

/// Removes all images but the newest, whose name is durable, and the lists of moves; what stays behind is removed next time.
fn tidy(vfs: &dyn Vfs, directory: &Path, state: &mut State) {
    state.names.unfinished.retain(|generation| {
        let path = directory.join(names::new_file_name(*generation));
        vfs.remove(&path).is_err()
    });
    while state.names.complete.len() > 1 {
        let path = directory.join(names::file_name(state.names.complete[0]));
        if vfs.remove(&path).is_err() {
            return;
        }
        state.names.complete.remove(0);
    }
    // No merge has ended since the image was begun: it knows what all of them moved.
    state.names.moves.retain(|output| {
        let path = directory.join(names::moves_file_name(*output));
        vfs.remove(&path).is_err()
    });
}

/// What a shard takes as bytes, at most.
const SHARD_BYTES: usize = 96 << 10;

/// What the directory of an image takes for each shard, as it is made and as bytes.
const DIRECTORY_BYTES: usize = 192;

struct Output {
    file: Box<dyn File>,
    end: u64,
}

impl Output {
    fn append(&mut self, bytes: &[u8], path: &Path) -> Result<()> {
        self.file
            .write_all_at(bytes, self.end)
            .map_err(|error| Error::io("write", path, &error))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Writes a complete image to `path`; answers up to which sequence number it covers the log, and its length.
fn write(shared: &Shared, log: &CommitLog, path: &Path, closing: bool) -> Result<(u64, u64)> {
    let go_on = || closing || !shared.closed.load(Ordering::Acquire);
    let Contents {
        index, segments, ..
    } = shared.share_contents();
    index.make_all_present(go_on)?;
    #[cfg(feature = "sabotage")]
    let closing = closing || crate::sabotage::is_on(crate::sabotage::Fault::ImageAheadOfLog);
    if !closing {
        log.sync(Scope::Everything)?;
    }
    let mut directory = Directory {
        covered_sequence: log.durable_sequence(),
        seed: shared.seed,
        ..Directory::default()
    };
    let needed = SHARD_BYTES + index.statistics().shards as usize * DIRECTORY_BYTES;
    let _loan = shared.budget.lend(needed)?;
    // Bytes are taken before the shards, because recovery counts what later records supersede.
    let members = segments.members()?;
    let mut dead: HashMap<u64, Dead> = HashMap::new();
    dead.try_reserve(members.len()).map_err(|_| memory())?;
    dead.extend(members.iter().map(|live| (live.segment.id(), live.dead())));
    let vfs = &log.place().vfs;
    let file = vfs
        .create_new(path)
        .map_err(|error| Error::io("create", path, &error))?;
    let mut output = Output { file, end: 0 };
    output.append(&format::encode_header(&log.place().store_id), path)?;
    debug_assert_eq!(output.end, HEADER_LEN as u64);
    let mut bytes = Scratch::default();
    let shards = index.statistics().shards as usize;
    let reserved = directory.shards.try_reserve_exact(shards);
    reserved.map_err(|_| memory())?;
    let mut next = Some(0);
    while let Some(hash) = next {
        if !go_on() {
            return Err(Error::new(ErrorKind::Closed, "the store is being closed"));
        }
        bytes.clear();
        let summary = index.export_shard(hash, &mut bytes)?;
        next = following(hash, summary.depth);
        // Shards that were merged since they were written are in this one.
        let before = |shard: &ImageShard| shard.summary.first_hash < summary.first_hash;
        let kept = directory.shards.partition_point(before);
        directory.shards.truncate(kept);
        directory.shards.try_reserve(1).map_err(|_| memory())?;
        directory.shards.push(ImageShard {
            summary,
            checksum: crc32fast::hash(&bytes),
            offset: output.end,
            length: bytes.len() as u64,
        });
        output.append(&bytes, path)?;
    }
    directory.newest_sequence = log.last_sequence();
    // What a record superseded that a shard shows already, nobody counts any more when that record is read again. So the number of
    // dead puts, for which tombstones wait, is taken now, and may be too large, but never too small. Whoever superseded one
    // held a guard until he had counted it.
    let are_counted = closing || epoch::outlast();
    let least = u64::from(!are_counted);
    let members = segments.members()?;
    let reserved = directory.segments.try_reserve_exact(members.len());
    reserved.map_err(|_| memory())?;
    directory
        .segments
        .extend(members.iter().map(|live| ImageSegment {
            id: live.segment.id(),
            salt: live.segment.header().salt,
            first_chunk: live.first_chunk(),
            length: live.content_end(),
            dead: Dead {
                puts: live.dead().puts.max(least),
                ..dead.get(&live.segment.id()).copied().unwrap_or_default()
            },
        }));
    if !closing {
        log.sync(Scope::Everything)?;
    }
    let encoded = directory.encode()?;
    let trailer = format::encode_trailer(&encoded, output.end);
    output.append(&encoded, path)?;
    output.append(&trailer, path)?;
    output
        .file
        .sync()
        .map_err(|error| Error::io("sync", path, &error))?;
    Ok((directory.covered_sequence, output.end))
}

fn memory() -> Error {
    Error::memory("the directory of an index image")
}

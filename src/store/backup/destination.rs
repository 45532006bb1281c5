//! The directory that a backup goes to: what is there, and how the new state takes its place.
//!
//! At every moment the segments there are among those that one of the two manifests names, so that a backup that was cut short is
//! told from a store that somebody else writes. While the manifest of an unfinished backup stands, stores refuse to open.

use std::path::{Path, PathBuf};

use super::manifest::{FINISHED, Manifest, Member, TEMPORARY, UNFINISHED, sync_directory};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{OpenedSegment, ReadMode, Segment, segment_name};
use crate::store::open;
use crate::vfs::{DirectoryLock, Vfs};

/// A directory for the backup of one store.
pub struct Destination<'b> {
    vfs: &'b dyn Vfs,
    directory: &'b Path,
    /// Of the last backup that was finished, if there was one.
    finished: Option<Manifest>,
    /// Whether what is there may not belong together.
    is_unfinished: bool,
    /// The segments there, as far as they are intact.
    present: Vec<Member>,
    /// All segment files there, intact or not.
    segments: Vec<u64>,
    /// What a backup that was cut short left behind.
    leftovers: Vec<PathBuf>,
    /// Segments that have been brought and wait for their names.
    brought: Vec<u64>,
    /// Keeps out stores and other backups.
    _lock: Option<Box<dyn DirectoryLock>>,
}

impl<'b> Destination<'b> {
    /// Looks at `directory` without changing anything there, and refuses one that holds anything but a backup of the store
    /// `store_id`. Creates the directory if there is none.
    pub fn inspect(vfs: &'b dyn Vfs, directory: &'b Path, store_id: [u8; 16]) -> Result<Self> {
        open::create_directory(vfs, directory)?;
        let mut destination = Self {
            vfs,
            directory,
            finished: Manifest::read(vfs, directory, FINISHED)?,
            is_unfinished: false,
            present: Vec::new(),
            segments: Vec::new(),
            leftovers: Vec::new(),
            brought: Vec::new(),
            _lock: None,
        };
        let unfinished = Manifest::read(vfs, directory, UNFINISHED)?;
        destination.is_unfinished = unfinished.is_some();
        destination.take_stock(unfinished.as_ref(), store_id)?;
        Ok(destination)
    }

    /// Makes the directory recognisable as an unfinished backup of what `wanted` names if it is empty; then takes its lock, and
    /// looks again at what nobody else can change any more.
    pub fn lock(self, wanted: &Manifest) -> Result<Self> {
        let Self { vfs, directory, .. } = self;
        // Before the lock file is there, which an open takes for an empty store.
        if self.finished.is_none() && !self.is_unfinished {
            wanted.announce(vfs, directory)?;
        }
        let lock = open::lock(vfs, directory, false)?;
        let mut locked = Self::inspect(vfs, directory, wanted.store_id)?;
        locked._lock = lock;
        Ok(locked)
    }

    fn take_stock(&mut self, unfinished: Option<&Manifest>, store_id: [u8; 16]) -> Result<()> {
        let manifests = || unfinished.into_iter().chain(&self.finished);
        let of_another = |it: &Manifest| !it.members.is_empty() && it.store_id != store_id;
        if manifests().any(of_another) {
            return Err(self.refused("holds a backup of another store"));
        }
        let is_backup = manifests().next().is_some();
        let entries = self.vfs.list(self.directory);
        let entries = entries.map_err(|error| Error::io("list", self.directory, &error))?;
        let (mut segments, mut present, mut leftovers) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            let path = self.directory.join(&entry.name);
            if entry.name == TEMPORARY || (is_backup && segment_name::is_new(&entry.name)) {
                leftovers.push(path);
            } else if !is_backup {
                return Err(self.refused("is neither empty nor a backup"));
            } else if let Some(id) = segment_name::parse(&entry.name) {
                let mut named = manifests().filter_map(|it| it.member(id)).peekable();
                if named.peek().is_none() {
                    let what =
                        "has been opened and written to since the last backup, or is no backup";
                    return Err(self.refused(what));
                }
                segments.push(id);
                let found = self.examine(&path, store_id)?;
                present.extend(named.find(|member| Some(**member) == found));
            }
        }
        present.sort_unstable_by_key(|member: &Member| member.id);
        (self.segments, self.present, self.leftovers) = (segments, present, leftovers);
        Ok(())
    }

    /// The segment in the file `path`, if it is a sealed one of the store that can be read.
    fn examine(&self, path: &Path, store_id: [u8; 16]) -> Result<Option<Member>> {
        match Segment::open(self.vfs, path, ReadMode::Pread) {
            Ok(OpenedSegment::Sealed {
                segment,
                header_damage: None,
                ..
            }) if segment.header().store_id == store_id => Ok(Some(Member {
                id: segment.id(),
                salt: segment.header().salt,
                length: segment.readable_end(),
            })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn refused(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Exists,
            format!(
                "{} {what}; nothing was changed: back up to another directory",
                self.directory.display()
            ),
        )
    }

    /// Whether `member` is there already.
    pub fn has(&self, member: &Member) -> bool {
        let position = self.present.binary_search_by_key(&member.id, |it| it.id);
        position.is_ok_and(|position| self.present.get(position) == Some(member))
    }

    /// Makes room for what is to come: removes what an earlier attempt left unfinished.
    pub fn prepare(&mut self, wanted: &Manifest) -> Result<()> {
        for path in std::mem::take(&mut self.leftovers) {
            self.remove(&path)?;
        }
        if self.is_unfinished {
            // In this order: a segment that neither manifest names would be taken for a stranger.
            self.remove_unwanted(wanted)?;
            sync_directory(self.vfs, self.directory)?;
            wanted.announce(self.vfs, self.directory)?;
        }
        Ok(())
    }

    /// Where a segment is to be brought before [`Self::add`].
    pub fn path_for(&self, id: u64) -> PathBuf {
        self.directory.join(segment_name::new_file_name(id))
    }

    /// Takes note that the segment `id` has been brought whole. It gets its name now if nothing can be opened here anyway, so that a
    /// later attempt finds it, else when all are there: until then an older backup stays what it is.
    pub fn add(&mut self, id: u64) -> Result<()> {
        if self.is_unfinished {
            return self.name(id);
        }
        self.brought.push(id);
        Ok(())
    }

    fn name(&self, id: u64) -> Result<()> {
        let from = self.path_for(id);
        let to = self.directory.join(segment_name::file_name(id));
        self.vfs
            .rename(&from, &to)
            .map_err(|error| Error::io("rename", &from, &error))
    }

    /// Gives up while the segment `id` was being brought: frees what space it can, so that nothing but time is lost.
    pub fn abandon(&self, id: u64) {
        for id in self.brought.iter().chain([&id]) {
            // The next backup removes what is left.
            let _ = self.vfs.remove(&self.path_for(*id));
        }
    }

    /// Puts what `wanted` names, all of which is there or has been brought, in the place of what was there before. Everything is
    /// durable when this returns.
    pub fn publish(mut self, wanted: &Manifest) -> Result<()> {
        if !self.is_unfinished {
            wanted.announce(self.vfs, self.directory)?;
            sabotage!(BackupFinishedEarly, self.finish()?);
            for id in std::mem::take(&mut self.brought) {
                self.name(id)?;
            }
            self.remove_unwanted(wanted)?;
        }
        sync_directory(self.vfs, self.directory)?;
        sabotage!(BackupFinishedEarly, return Ok(()));
        self.finish()
    }

    fn finish(&self) -> Result<()> {
        let unfinished = self.directory.join(UNFINISHED);
        self.vfs
            .rename(&unfinished, &self.directory.join(FINISHED))
            .map_err(|error| Error::io("rename", &unfinished, &error))?;
        sync_directory(self.vfs, self.directory)
    }

    fn remove_unwanted(&mut self, wanted: &Manifest) -> Result<()> {
        for id in std::mem::take(&mut self.segments) {
            if wanted.member(id).is_none() {
                self.remove(&self.directory.join(segment_name::file_name(id)))?;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.vfs
            .remove(path)
            .map_err(|error| Error::io("remove", path, &error))
    }
}

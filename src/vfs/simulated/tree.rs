//! The names on a simulated disk: directories, what they hold, and which of their changes are not durable.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use rustix::io::Errno;

use super::contents::Contents;

/// Identifies a file or directory whatever its name.
pub(super) type Number = u64;

type Entries = BTreeMap<Arc<OsStr>, Number>;

const ROOT: Number = 0;

/// Removed files whose blocks a power loss may uncover elsewhere.
const REMEMBERED: usize = 4;

/// A change of a directory that no sync made durable yet. Each happens at a crash wholly or not at all.
#[derive(Clone)]
pub(super) enum Change {
    Link(Arc<OsStr>, Number),
    Unlink(Arc<OsStr>, Number),
    Rename(Arc<OsStr>, Arc<OsStr>, Number),
}

impl Change {
    fn number(&self) -> Number {
        match self {
            Self::Link(_, number) | Self::Unlink(_, number) | Self::Rename(_, _, number) => *number,
        }
    }

    fn apply(self, entries: &mut Entries) {
        match self {
            Self::Link(name, number) => {
                entries.insert(name, number);
            }
            Self::Unlink(name, number) => {
                if entries.get(&name) == Some(&number) {
                    entries.remove(&name);
                }
            }
            Self::Rename(from, to, number) => {
                if entries.get(&from) == Some(&number) {
                    entries.remove(&from);
                }
                entries.insert(to, number);
            }
        }
    }
}

/// What a directory holds now, and what it is sure to hold after a power loss.
#[derive(Clone, Default)]
pub(super) struct Directory {
    entries: Entries,
    durable: Entries,
    pending: Vec<Change>,
}

impl Directory {
    fn change(&mut self, change: Change) {
        self.pending.push(change.clone());
        change.apply(&mut self.entries);
    }

    /// Makes the first `count` pending changes durable.
    pub(super) fn sync(&mut self, count: usize) {
        for change in self.pending.drain(..count) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    fn sync_file(&mut self, number: Number) {
        let is_its_own = |change: &mut Change| change.number() == number;
        for change in self.pending.extract_if(.., is_its_own) {
            change.apply(&mut self.durable);
        }
    }

    /// The directory after a power loss that kept the pending changes which `kept` says.
    pub(super) fn after_power_loss(&self, kept: &[bool]) -> Self {
        let mut entries = self.durable.clone();
        for (change, _) in self.pending.iter().zip(kept).filter(|(_, kept)| **kept) {
            change.clone().apply(&mut entries);
        }
        Self {
            durable: entries.clone(),
            entries,
            pending: Vec::new(),
        }
    }

    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Everything that is in the directory or may be after a crash.
    fn reachable(&self) -> impl Iterator<Item = Number> {
        let pending = self.pending.iter().map(Change::number);
        let entries = self.entries.values().chain(self.durable.values());
        entries.copied().chain(pending)
    }
}

pub(super) enum Node {
    File(File),
    Directory(Directory),
}

pub(super) struct File {
    pub(super) contents: Contents,
    /// Open handles; a file lives until it has neither those nor names.
    pub(super) handles: usize,
}

/// All files and directories of a disk.
pub(super) struct Tree {
    nodes: BTreeMap<Number, Node>,
    next: Number,
    /// Durable bytes of the files removed last.
    removed: Vec<Arc<Vec<u8>>>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Directory(Directory::default()))]),
            next: ROOT + 1,
            removed: Vec::new(),
        }
    }

    /// The same tree with every node replaced by what `replace` makes of it, and without what is then out of
    /// reach.
    pub(super) fn rebuilt(
        &self,
        mut replace: impl FnMut(Number, &Node) -> io::Result<Node>,
    ) -> io::Result<Self> {
        let mut nodes = BTreeMap::new();
        for (number, node) in &self.nodes {
            nodes.insert(*number, replace(*number, node)?);
        }
        let mut tree = Self {
            nodes,
            next: self.next,
            removed: self.removed.clone(),
        };
        tree.collect();
        Ok(tree)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (Number, &Node)> {
        self.nodes.iter().map(|(number, node)| (*number, node))
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.nodes.values_mut().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Directory(_) => None,
        })
    }

    /// Bytes on the disk that do not belong to the file `number`: of other files and of removed ones.
    pub(super) fn foreign_bytes(&self, number: Number) -> impl Iterator<Item = &Arc<Vec<u8>>> {
        let others = self.nodes().filter_map(move |(other, node)| match node {
            Node::File(file) if other != number => Some(file.contents.durable()),
            _ => None,
        });
        self.removed
            .iter()
            .chain(others)
            .filter(|bytes| !bytes.is_empty())
    }

    /// The file of that number, which is there as long as it has a name or a handle.
    pub(super) fn file(&mut self, number: Number) -> io::Result<&mut File> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn directory(&mut self, path: &Path) -> io::Result<&mut Directory> {
        let number = self.resolve(path)?;
        self.directory_node(number)
    }

    fn directory_node(&mut self, number: Number) -> io::Result<&mut Directory> {
        match self.nodes.get_mut(&number) {
            Some(Node::Directory(directory)) => Ok(directory),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn is_directory(&self, number: Number) -> bool {
        matches!(self.nodes.get(&number), Some(Node::Directory(_)))
    }

    /// The node at `path`, in which a leading `/` makes no difference.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<Number> {
        let mut number = ROOT;
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL.into()),
            };
            number = match self.nodes.get(&number) {
                Some(Node::Directory(directory)) => {
                    *directory.entries.get(name).ok_or(Errno::NOENT)?
                }
                _ => return Err(Errno::NOTDIR.into()),
            };
        }
        Ok(number)
    }

    /// Adds a node under a name that must be free.
    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<Number> {
        let (parent, name) = self.parent(path)?;
        let number = self.next;
        let directory = self.directory_node(parent)?;
        if directory.entries.contains_key(&name) {
            return Err(Errno::EXIST.into());
        }
        directory.change(Change::Link(name, number));
        self.next += 1;
        self.nodes.insert(number, node);
        Ok(number)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (parent, from) = self.parent(from)?;
        let (target_parent, to) = self.parent(to)?;
        if parent != target_parent {
            return Err(Errno::XDEV.into()); // the trait renames within a directory
        }
        let directory = self.directory_node(parent)?;
        let number = *directory.entries.get(&from).ok_or(Errno::NOENT)?;
        let replaced = directory.entries.get(&to).copied();
        if self.is_directory(number) || replaced.is_some_and(|number| self.is_directory(number)) {
            return Err(Errno::ISDIR.into());
        }
        // Between two names of one file POSIX renames nothing.
        if replaced != Some(number) {
            self.directory_node(parent)?
                .change(Change::Rename(from, to, number));
        }
        Ok(())
    }

    /// Gives the file `existing` the free name `name` as well.
    pub(super) fn hard_link(&mut self, existing: &Path, name: &Path) -> io::Result<()> {
        let number = self.resolve(existing)?;
        if self.is_directory(number) {
            return Err(Errno::PERM.into());
        }
        let (parent, name) = self.parent(name)?;
        let directory = self.directory_node(parent)?;
        if directory.entries.contains_key(&name) {
            return Err(Errno::EXIST.into());
        }
        directory.change(Change::Link(name, number));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let directory = self.directory_node(parent)?;
        let number = *directory.entries.get(&name).ok_or(Errno::NOENT)?;
        if self.is_directory(number) {
            return Err(Errno::ISDIR.into());
        }
        self.directory_node(parent)?
            .change(Change::Unlink(name, number));
        Ok(())
    }

    /// Makes the names of one file durable, as journaling file systems do when the file is synced.
    pub(super) fn sync_names_of(&mut self, number: Number) {
        for node in self.nodes.values_mut() {
            if let Node::Directory(directory) = node {
                directory.sync_file(number);
            }
        }
    }

    /// Bytes of blocks that no new file can have.
    pub(super) fn used(&self) -> u64 {
        let mut named: BTreeSet<Number> = BTreeSet::new();
        for node in self.nodes.values() {
            if let Node::Directory(directory) = node {
                named.extend(directory.entries.values());
            }
        }
        let blocks = self.nodes().map(|(number, node)| match node {
            Node::File(file) if file.handles > 0 || named.contains(&number) => {
                file.contents.allocated()
            }
            _ => 0,
        });
        blocks.sum()
    }

    /// Drops what neither a name, nor a change that a crash may undo, nor a handle reaches.
    pub(super) fn collect(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut waiting = vec![ROOT];
        while let Some(number) = waiting.pop() {
            if let Some(Node::Directory(directory)) = self.nodes.get(&number) {
                waiting.extend(directory.reachable().filter(|&child| reached.insert(child)));
            }
        }
        let removed = &mut self.removed;
        self.nodes.retain(|number, node| {
            let (is_open, bytes) = match node {
                Node::File(file) => (file.handles > 0, Some(file.contents.durable())),
                Node::Directory(_) => (false, None),
            };
            let stays = is_open || reached.contains(number);
            if !stays && let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                removed.push(bytes.clone());
            }
            stays
        });
        let forgotten = self.removed.len().saturating_sub(REMEMBERED);
        self.removed.drain(..forgotten);
    }

    fn parent(&self, path: &Path) -> io::Result<(Number, Arc<OsStr>)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.resolve(parent)?, Arc::from(name)))
    }
}

//! Copies of a disk as a crash leaves it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::SECTOR;
use super::choices::{Choices, SectorFate, Unsynced};
use super::contents::Contents;
use super::random::Random;
use super::tree::{File, Node, Number, Tree};

/// The tree when all processes are gone and the system lives on.
pub(super) fn after_kill(tree: &Tree) -> io::Result<Tree> {
    tree.rebuilt(|_, node| {
        Ok(match node {
            Node::File(file) => closed(file.contents.after_kill()?),
            Node::Directory(directory) => Node::Directory(directory.clone()),
        })
    })
}

/// The tree when the power came back.
pub(super) fn after_power_loss(tree: &Tree, choices: &mut dyn Choices) -> io::Result<Tree> {
    choices.begin(&unsynced(tree));
    tree.rebuilt(|number, node| {
        Ok(match node {
            Node::File(file) => closed(damage(tree, number, &file.contents, choices)),
            Node::Directory(directory) => {
                let mut happened = vec![false; directory.pending()];
                if !happened.is_empty() {
                    choices.directory(&mut happened);
                }
                Node::Directory(directory.after_power_loss(&happened))
            }
        })
    })
}

/// What a power loss could take.
pub(super) fn unsynced(tree: &Tree) -> Unsynced {
    let mut unsynced = Unsynced::default();
    for (_, node) in tree.nodes() {
        match node {
            Node::File(File { contents, .. }) => {
                unsynced.sectors += contents.unsynced_sectors(u64::MAX).count() as u64;
                unsynced.lengths += u64::from(contents.length() != contents.durable_length());
            }
            Node::Directory(directory) => unsynced.directory_changes += directory.pending() as u64,
        }
    }
    unsynced
}

fn closed(contents: Contents) -> Node {
    Node::File(File {
        contents,
        handles: 0,
    })
}

fn damage(tree: &Tree, number: Number, file: &Contents, choices: &mut dyn Choices) -> Contents {
    let (durable, current) = (file.durable_length(), file.length());
    let length = if durable == current {
        current
    } else {
        let chosen = choices.length(durable, current);
        chosen.clamp(durable.min(current), durable.max(current))
    };
    let mut image = file.durable().clone();
    if image.len() as u64 > length {
        Arc::make_mut(&mut image).truncate(length as usize);
    }
    // What lies behind the end of a cut file is old if the cut was lost, and gone if not.
    let end = length.min(current);
    for sector in file.unsynced_sectors(end) {
        let window = sector..end.min(sector + SECTOR);
        match choices.sector(number, sector) {
            SectorFate::Old => {}
            fate => decide(tree, number, file, Arc::make_mut(&mut image), window, fate),
        }
    }
    Contents::at_rest(image, length)
}

/// Gives the unsynced bytes of `window`, all or part of a sector, their fate.
fn decide(
    tree: &Tree,
    number: Number,
    file: &Contents,
    image: &mut Vec<u8>,
    window: Range<u64>,
    fate: SectorFate,
) {
    let mut replacement = [0; SECTOR as usize];
    let replacement = &mut replacement[..(window.end - window.start) as usize];
    let mut kept = window.end;
    match fate {
        SectorFate::Old => return,
        SectorFate::Zeros => {}
        SectorFate::New => file.read(replacement, window.start),
        SectorFate::Shorn(position) => {
            file.read(replacement, window.start);
            kept = window.end.min(window.start + u64::from(position));
        }
        SectorFate::Mixed(seed) => mixed(file, image, window.start, seed, replacement),
        SectorFate::Garbage(seed) => Random::new(seed).fill(replacement),
        SectorFate::Stale(seed) => stale(tree, number, window.start, seed, replacement),
    }
    if (image.len() as u64) < window.end {
        image.resize(window.end as usize, 0);
    }
    for range in file.unsynced(window.start..kept) {
        let from = (range.start - window.start) as usize..(range.end - window.start) as usize;
        image[range.start as usize..range.end as usize].copy_from_slice(&replacement[from]);
    }
}

/// Byte by byte what `file` has in the cache or what `image` has, at `offset`.
fn mixed(file: &Contents, image: &[u8], offset: u64, seed: u64, bytes: &mut [u8]) {
    file.read(bytes, offset);
    let mut random = Random::new(seed);
    for (at, byte) in (offset as usize..).zip(bytes) {
        if random.coin() {
            *byte = image.get(at).copied().unwrap_or(0);
        }
    }
}

/// A sector of another file, the one at the same offset if that file is long enough.
fn stale(tree: &Tree, number: Number, offset: u64, seed: u64, bytes: &mut [u8]) {
    let mut random = Random::new(seed);
    let count = tree.foreign_bytes(number).count() as u64;
    let Some(source) = tree.foreign_bytes(number).nth(random.below(count) as usize) else {
        return random.fill(bytes);
    };
    let mut start = offset as usize;
    if start >= source.len() {
        let sectors = (source.len() as u64).div_ceil(SECTOR);
        start = (random.below(sectors) * SECTOR) as usize;
    }
    let found = bytes.len().min(source.len() - start);
    bytes[..found].copy_from_slice(&source[start..start + found]);
    bytes[found..].fill(0);
}

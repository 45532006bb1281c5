//! Blocks that are zeroed, filled with noise, swapped, or brought back from an earlier time.

use super::gap::Tally;
use super::golden::Golden;
use super::judgement::{Damage, judge};
use super::{Told, overwrite};
use crate::random::Random;

/// What a block becomes.
#[derive(Clone, Copy, Debug)]
enum Becomes {
    Zeros,
    Noise,
    /// Another block of the same file takes its place, and it that one's.
    Swapped,
    /// A block of another file.
    Foreign,
    /// What it was earlier.
    Older,
}

const ALL: [Becomes; 5] = [
    Becomes::Zeros,
    Becomes::Noise,
    Becomes::Swapped,
    Becomes::Foreign,
    Becomes::Older,
];

/// Damages every block of `size` bytes of every file in every way.
pub fn damage_blocks(golden: &Golden, size: usize, seed: u64) -> Told<Tally> {
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    for (name, bytes) in &golden.files {
        for start in (0..bytes.len()).step_by(size) {
            for becomes in ALL {
                let damaged = damaged(golden, name, bytes, start, size, becomes, &mut random);
                let (damaged, mut damage) = damaged;
                damage.what = format!(
                    "seed {seed}, {:?} store, {name}, {size} bytes at {start} become {becomes:?}",
                    golden.ending
                );
                let disk = golden.copy();
                overwrite(&disk, name, &damaged)?;
                tally.add(&judge(golden, &disk, &damage)?);
            }
        }
    }
    Ok(tally)
}

fn damaged(
    golden: &Golden,
    name: &str,
    bytes: &[u8],
    start: usize,
    size: usize,
    becomes: Becomes,
    random: &mut Random,
) -> (Vec<u8>, Damage) {
    let end = (start + size).min(bytes.len());
    let mut damaged = bytes.to_vec();
    match becomes {
        Becomes::Zeros => damaged[start..end].fill(0),
        Becomes::Noise => damaged[start..end].fill_with(|| random.next() as u8),
        Becomes::Swapped => {
            let blocks = bytes.len() / size;
            if blocks > 1 && end - start == size {
                let other = random.below(blocks as u64) as usize * size;
                let (here, there) = (&bytes[start..end], &bytes[other..other + size]);
                damaged[start..end].copy_from_slice(there);
                damaged[other..other + size].copy_from_slice(here);
            }
        }
        Becomes::Foreign => {
            let other = &golden.files[random.below(golden.files.len() as u64) as usize].1;
            let there = &other[start.min(other.len())..end.min(other.len())];
            damaged[start..start + there.len()].copy_from_slice(there);
        }
        Becomes::Older => {
            let nothing = Vec::new();
            let older = golden.earlier.get(name).unwrap_or(&nothing);
            for (at, byte) in damaged.iter_mut().enumerate().take(end).skip(start) {
                *byte = older.get(at).copied().unwrap_or(0);
            }
        }
    }
    let differs = (0..bytes.len()).filter(|at| damaged[*at] != bytes[*at]);
    let spans = differs.map(|at| (name.to_string(), at as u64..at as u64 + 1));
    let damage = Damage {
        what: String::new(),
        is_cut: false,
        spans: joined(spans.collect()),
    };
    (damaged, damage)
}

/// Neighbouring bytes as one span.
fn joined(bytes: Vec<(String, std::ops::Range<u64>)>) -> Vec<(String, std::ops::Range<u64>)> {
    let mut spans: Vec<(String, std::ops::Range<u64>)> = Vec::new();
    for (name, byte) in bytes {
        match spans.last_mut() {
            Some((_, span)) if span.end == byte.start => span.end = byte.end,
            _ => spans.push((name, byte)),
        }
    }
    spans
}

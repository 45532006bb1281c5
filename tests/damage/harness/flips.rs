//! Single bits, and files that are cut.

use super::gap::Tally;
use super::golden::Golden;
use super::judgement::{Damage, judge};
use super::{Told, overwrite};

/// Flips bits of every file with the ending `of`, every `step`th of all.
pub fn flip_bits(golden: &Golden, of: &str, step: u64) -> Told<Tally> {
    let mut tally = Tally::default();
    let mut number = 0;
    for (name, bytes) in golden.files.iter().filter(|(it, _)| it.ends_with(of)) {
        let mut bytes = bytes.clone();
        // What is reserved and not yet written is zeros: a few of them stand for all.
        let content = bytes.iter().rposition(|it| *it != 0).unwrap_or(0) + 200;
        for position in 0..bytes.len().min(content) {
            for bit in 0..8 {
                number += 1;
                if !u64::is_multiple_of(number, step) {
                    continue;
                }
                bytes[position] ^= 1 << bit;
                let disk = golden.copy();
                overwrite(&disk, name, &bytes)?;
                bytes[position] ^= 1 << bit;
                let at = position as u64;
                let damage = Damage {
                    what: format!("{:?} store, {name}, byte {at}, bit {bit}", golden.ending),
                    is_cut: false,
                    spans: vec![(name.clone(), at..at + 1)],
                };
                tally.add(&judge(golden, &disk, &damage)?);
            }
        }
    }
    Ok(tally)
}

/// Cuts every file to lengths, every `step`th of all.
pub fn cut(golden: &Golden, step: usize) -> Told<Tally> {
    let mut tally = Tally::default();
    for (name, bytes) in &golden.files {
        for length in 0..bytes.len() {
            if !length.is_multiple_of(step) {
                continue;
            }
            let disk = golden.copy();
            overwrite(&disk, name, &bytes[..length])?;
            let damage = Damage {
                what: format!("{:?} store, {name} cut to {length} bytes", golden.ending),
                is_cut: true,
                spans: vec![(name.clone(), length as u64..bytes.len() as u64)],
            };
            tally.add(&judge(golden, &disk, &damage)?);
        }
    }
    Ok(tally)
}

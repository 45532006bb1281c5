//! Whole files: deleted, duplicated, renamed, swapped with another store's, replaced by an older self.

use super::gap::Tally;
use super::golden::Golden;
use super::judgement::{Damage, judge};
use super::{Told, overwrite, remove};

/// Does all of that to every file, and to every pair of neighbours.
pub fn damage_files(golden: &Golden, other: &Golden) -> Told<Tally> {
    let mut tally = Tally::default();
    let mut previous: Option<&(String, Vec<u8>)> = None;
    for file in &golden.files {
        let (name, bytes) = file;
        let whole = (name.clone(), 0..bytes.len() as u64);
        let mut try_it = |what: &str, also: &[&str], act: &dyn Fn(&_) -> Told<()>| -> Told<()> {
            let disk = golden.copy();
            act(&disk)?;
            let also = also.iter().map(|name| (name.to_string(), 0..u64::MAX));
            let damage = Damage {
                what: format!("{:?} store, {name} {what}", golden.ending),
                is_cut: true,
                spans: std::iter::once(whole.clone()).chain(also).collect(),
            };
            tally.add(&judge(golden, &disk, &damage)?);
            Ok(())
        };
        try_it("is gone", &[], &|disk| remove(disk, name))?;
        try_it("is empty", &[], &|disk| overwrite(disk, name, b""))?;
        if let Some((_, foreign)) = other.files.iter().find(|(it, _)| it == name) {
            try_it("is another store's", &[], &|disk| {
                overwrite(disk, name, foreign)
            })?;
        }
        if let Some(older) = golden.earlier.get(name) {
            try_it("is as it was earlier", &[], &|disk| {
                overwrite(disk, name, older)
            })?;
        }
        let stray = stray_name(name);
        try_it("has another name", &[&stray], &|disk| {
            remove(disk, name)?;
            overwrite(disk, &stray, bytes)
        })?;
        if let Some((before, its_bytes)) = previous {
            try_it(
                "and the one before have each other's names",
                &[before],
                &|disk| {
                    overwrite(disk, name, its_bytes)?;
                    overwrite(disk, before, bytes)
                },
            )?;
        }
        // Nothing is lost by a copy.
        let disk = golden.copy();
        overwrite(&disk, &stray, bytes)?;
        let damage = Damage {
            what: format!("{:?} store, {name} is there twice", golden.ending),
            is_cut: false,
            spans: vec![(stray, 0..0)],
        };
        tally.add(&judge(golden, &disk, &damage)?);
        previous = Some(file);
    }
    Ok(tally)
}

/// A name of the same kind that is not taken.
fn stray_name(name: &str) -> String {
    name.replacen("00000", "00077", 1)
}

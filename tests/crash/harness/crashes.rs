//! Crashes the disk in every picture of a history, and recovers.

use freyja::vfs::SimulatedDisk;
use freyja::vfs::simulated::{Crash, SectorFate, Uniform};

use super::examination::{Effort, content, examine};
use super::history::{History, Picture, State};
use super::setting::Setting;
use super::{Told, crash_seed, expect, open};
use crate::random::Random;

/// How many of which crashes were survived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Pictures that were crashed.
    pub pictures: u64,
    /// Processes killed.
    pub kills: u64,
    /// Power losses.
    pub power_losses: u64,
    /// Of all crashes, those that hit a recovery.
    pub nested: u64,
}

impl Counts {
    /// All crashes.
    pub fn crashes(&self) -> u64 {
        self.kills + self.power_losses
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.pictures += other.pictures;
        self.kills += other.kills;
        self.power_losses += other.power_losses;
        self.nested += other.nested;
    }

    fn count(&mut self, crash: Crash) {
        match crash {
            Crash::ProcessKill => self.kills += 1,
            Crash::PowerLoss => self.power_losses += 1,
        }
    }
}

/// Crashes every picture of `history`: the process is killed, and the power is lost `power_losses` times, with
/// different consequences that follow from `seed`.
pub fn crash_everywhere(
    history: &History,
    setting: &Setting,
    power_losses: u64,
    seed: u64,
) -> Told<Counts> {
    let mut counts = Counts::default();
    for picture in &history.pictures {
        counts.pictures += 1;
        for variant in 0..=self::power_losses(picture, power_losses) {
            let crash = match variant {
                0 => Crash::ProcessKill,
                _ => Crash::PowerLoss,
            };
            let crashed = crashed(picture, variant, seed);
            let effort = match (picture.call + variant + seed) % 8 {
                0 => Effort::Thorough,
                _ => Effort::Usual,
            };
            let allowed = picture.promises.allowed(crash);
            let (states, seed) = (&history.states, seed ^ picture.call << 8 ^ variant);
            let by = match (picture.call + variant) % 3 {
                0 => &setting.with_other_key_storage(),
                _ => setting,
            };
            examine(&crashed, by, states, allowed, effort, seed)
                .map_err(|error| place(picture, variant) + &error)?;
            counts.count(crash);
        }
    }
    Ok(counts)
}

/// How many power losses there are to tell apart, `most` if they may differ.
pub fn power_losses(picture: &Picture, most: u64) -> u64 {
    let unsynced = picture.disk.unsynced();
    match unsynced.sectors + unsynced.lengths + unsynced.directory_changes {
        0 => 1,
        _ => most,
    }
}

fn place(picture: &Picture, variant: u64) -> String {
    let (step, call) = (picture.step, picture.call);
    let how = match variant {
        0 => "process killed".into(),
        _ => format!("power lost (variant {variant})"),
    };
    format!("{how} in step {step} before call {call}: ")
}

/// Variant 0 is a killed process, 1 loses all that was not durable, others do to it what follows from `seed`.
pub fn crashed(picture: &Picture, variant: u64, seed: u64) -> SimulatedDisk {
    match variant {
        0 => picture.disk.crash(Crash::ProcessKill, crash_seed(seed, 0)),
        1 => {
            let nothing_more = &mut Uniform(SectorFate::Old);
            picture.disk.power_loss(nothing_more, crash_seed(seed, 0))
        }
        _ => {
            let seed = crash_seed(seed, picture.call << 4 | variant);
            picture.disk.crash(Crash::PowerLoss, seed)
        }
    }
}

/// Crashes some picture of `history`, then the recovery at every call, and one of these recoveries again, `depth` times.
pub fn crash_recoveries(
    history: &History,
    setting: &Setting,
    depth: u32,
    random: &mut Random,
) -> Told<Counts> {
    let mut counts = Counts::default();
    let picture = &history.pictures[random.below(history.pictures.len() as u64) as usize];
    let variant = random.below(3);
    let seed = random.next() >> 24;
    let mut disk = crashed(picture, variant, seed);
    let mut what = place(picture, variant);
    let mut allowed = picture.promises.allowed(match variant {
        0 => Crash::ProcessKill,
        _ => Crash::PowerLoss,
    });
    for level in 0..depth {
        // What an undisturbed recovery finds, a killed one finds at its next attempt.
        let undisturbed = disk.crash(Crash::ProcessKill, crash_seed(seed, 0));
        let store = open(&undisturbed, &setting.options(), &what)?;
        let found = content(&store)?;
        drop(store);
        disk.start_trace();
        disk.start_pictures();
        drop(open(&disk, &setting.options(), &what)?);
        let mut recovery = History::new(State::new());
        let promises = picture.promises;
        recovery.add_pictures(&disk, picture.step, promises);
        counts.pictures += recovery.pictures.len() as u64;
        // Another power loss may take more of what no promise covers.
        allowed = *allowed.start().min(&promises.durable)..=*allowed.end();
        for inner in &recovery.pictures {
            for variant in 0..3 {
                let again = crashed(inner, variant, seed);
                let told = |error: String| {
                    let inner = place(inner, variant);
                    format!("{what}then in its recovery {inner}{error}")
                };
                if variant == 0 {
                    let store = open(&again, &setting.options(), "").map_err(told)?;
                    let same = content(&store).map_err(told)? == found;
                    expect(same, || "another state".into()).map_err(told)?;
                    counts.kills += 1;
                } else {
                    let (states, effort) = (&history.states, Effort::Usual);
                    let seed = seed ^ inner.call;
                    examine(&again, setting, states, allowed.clone(), effort, seed)
                        .map_err(told)?;
                    counts.power_losses += 1;
                }
                counts.nested += 1;
            }
        }
        let Some(count) = recovery.pictures.len().checked_sub(1) else {
            break;
        };
        let inner = &recovery.pictures[random.below(count as u64 + 1) as usize];
        let variant = random.below(3);
        what += &format!("at level {level} ");
        what += &place(inner, variant);
        disk = crashed(inner, variant, seed.wrapping_add(u64::from(level)));
    }
    Ok(counts)
}

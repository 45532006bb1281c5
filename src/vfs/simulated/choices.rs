//! What a power loss does to everything that was not yet durable: given by a test, or drawn from a seed.

use super::SECTOR;
use super::random::{Random, mix};

/// What becomes of the unsynced bytes of one sector; its durable bytes stay as they are in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorFate {
    /// They were not written.
    Old,
    /// They were written.
    New,
    /// They are zeros: the length was recorded, the data was not.
    Zeros,
    /// They are noise, drawn from this seed.
    Garbage(u64),
    /// Those before this position in the sector are new, the others old.
    Shorn(u16),
    /// Each of them, by this seed, is old or new: more than a device with sectors can do, which makes it the
    /// hardest test of what tells whole records from torn ones.
    Mixed(u64),
    /// They are what another file, removed ones included, has or had on the disk; which one follows from
    /// this seed.
    Stale(u64),
}

/// How much a power loss could take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Sectors of 512 bytes with bytes that were written and not synced.
    pub sectors: u64,
    /// Files whose length changed and was not synced.
    pub lengths: u64,
    /// Creations, renames and removals that no directory sync made durable.
    pub directory_changes: u64,
}

/// Decides what a power loss does. All methods are called in a fixed order: files and directories by age,
/// the length of a file before its sectors, sectors by offset.
pub trait Choices {
    /// Called first, with how much there will be to decide at most.
    fn begin(&mut self, unsynced: &Unsynced) {
        let _ = unsynced;
    }
    /// What becomes of the sector that starts at `offset` of the file of that number.
    fn sector(&mut self, file: u64, offset: u64) -> SectorFate;
    /// The length that a file has afterwards, between its `durable` and its `current` one.
    fn length(&mut self, durable: u64, current: u64) -> u64;
    /// Which of the pending changes of a directory happened; all are `false` at first, the oldest comes first.
    fn directory(&mut self, happened: &mut [bool]);
}

/// The same for everything: with [`SectorFate::Old`] nothing unsynced survives, with any other fate all
/// lengths and directory changes do.
#[derive(Clone, Copy, Debug)]
pub struct Uniform(
    /// The fate of all sectors.
    pub SectorFate,
);

impl Choices for Uniform {
    fn sector(&mut self, _: u64, _: u64) -> SectorFate {
        self.0
    }

    fn length(&mut self, durable: u64, current: u64) -> u64 {
        match self.0 {
            SectorFate::Old => durable,
            _ => current,
        }
    }

    fn directory(&mut self, happened: &mut [bool]) {
        happened.fill(self.0 != SectorFate::Old);
    }
}

/// How the sectors of one crash hang together.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    Same(SectorFate),
    /// Each on its own, old or new.
    KeptOrLost,
    /// Each on its own, any fate.
    Anything,
    /// All sectors of a memory page alike.
    Pages,
    /// Long runs of one fate.
    Runs,
    /// New up to one sector, which is shorn, then old: a device that writes in order.
    Prefix(u64),
    /// All new but one.
    OneDamaged(u64),
    /// All old but one.
    OneKept(u64),
}

/// Choices drawn from a seed: first a pattern for the whole crash, then the rest.
#[derive(Clone, Debug)]
pub struct Seeded {
    random: Random,
    seed: u64,
    pattern: Pattern,
    /// Sectors decided so far.
    decided: u64,
    run: SectorFate,
}

impl Seeded {
    /// The choices of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(mix(seed ^ 0x70_6f77_6572)),
            seed,
            pattern: Pattern::Anything,
            decided: 0,
            run: SectorFate::Old,
        }
    }
}

impl Choices for Seeded {
    fn begin(&mut self, unsynced: &Unsynced) {
        let one = self.random.below(unsynced.sectors);
        self.pattern = match self.random.below(11) {
            0 => Pattern::Same(SectorFate::Old),
            1 => Pattern::Same(SectorFate::New),
            2 => Pattern::Same(SectorFate::Zeros),
            3 => Pattern::KeptOrLost,
            4 | 5 => Pattern::Anything,
            6 => Pattern::Pages,
            7 => Pattern::Runs,
            8 => Pattern::Prefix(one),
            9 => Pattern::OneDamaged(one),
            _ => Pattern::OneKept(one),
        };
    }

    fn sector(&mut self, file: u64, offset: u64) -> SectorFate {
        let index = self.decided;
        self.decided += 1;
        match self.pattern {
            Pattern::Same(fate) => fate,
            Pattern::KeptOrLost if self.random.coin() => SectorFate::New,
            Pattern::KeptOrLost => SectorFate::Old,
            Pattern::Anything => any(&mut self.random),
            Pattern::Pages => any(&mut Random::new(mix(self.seed
                ^ mix(file)
                ^ (offset / 4096)))),
            Pattern::Runs => {
                if index == 0 || self.random.below(8) == 0 {
                    self.run = any(&mut self.random);
                }
                self.run
            }
            Pattern::Prefix(end) if index < end => SectorFate::New,
            Pattern::Prefix(end) if index == end => shorn(&mut self.random),
            Pattern::OneDamaged(one) if index == one => damaged(&mut self.random),
            Pattern::OneDamaged(_) => SectorFate::New,
            Pattern::OneKept(one) if index == one => SectorFate::New,
            Pattern::Prefix(_) | Pattern::OneKept(_) => SectorFate::Old,
        }
    }

    fn length(&mut self, durable: u64, current: u64) -> u64 {
        match self.random.below(4) {
            0 => durable,
            1 => durable.min(current) + self.random.below(durable.abs_diff(current)),
            _ => current,
        }
    }

    fn directory(&mut self, happened: &mut [bool]) {
        match self.random.below(4) {
            0 => {}
            1 => happened.fill(true),
            2 => {
                let prefix = self.random.below(happened.len() as u64 + 1);
                happened[..prefix as usize].fill(true);
            }
            _ => happened.fill_with(|| self.random.coin()),
        }
    }
}

fn shorn(random: &mut Random) -> SectorFate {
    SectorFate::Shorn(random.below(SECTOR) as u16)
}

fn damaged(random: &mut Random) -> SectorFate {
    match random.below(6) {
        0 => SectorFate::Old,
        1 => SectorFate::Zeros,
        2 => SectorFate::Garbage(random.next()),
        3 => shorn(random),
        4 => SectorFate::Mixed(random.next()),
        _ => SectorFate::Stale(random.next()),
    }
}

fn any(random: &mut Random) -> SectorFate {
    if random.below(7) == 0 {
        SectorFate::New
    } else {
        damaged(random)
    }
}

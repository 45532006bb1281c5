//! How good forecasts are, on ramps that a seeded program makes, and on the memory of an index that is really filled.
//! `cargo test --test forecasts -- --nocapture` prints the table of docs/memory.md.

use std::sync::Arc;
use std::time::Duration;

use freyja::index::{Entry, Index, IndexOptions, KeyReader, KeyStorage, Location};
use freyja::memory::budget::MemoryBudget;
use freyja::memory::epoch;
use freyja::memory::pressure::{HORIZONS, Monitor, SAMPLE_INTERVAL, Sample};

const BUDGET: u64 = 64 << 20;
const CRITICAL: u64 = BUDGET / 100 * 95;
const SAMPLES: usize = 360;
const SEEDS: u64 = 20;

/// A warning: growth is going to be refused within so many seconds, and that is more likely than not.
const WARNED_SECONDS: u64 = 120;
const SURE: f64 = 0.5;

struct Random(u64);

impl Random {
    /// From 0 to 1; the generator is splitmix64 (Steele, Lea and Flood, 2014).
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What is in use at each sample, as a part of the budget.
fn ramp(shape: &str, seed: u64) -> Vec<u64> {
    let mut random = Random(seed);
    // Between ten and forty minutes to the full budget.
    let step = 1.0 / (120.0 + 360.0 * random.part());
    let mut used = 0.1 + 0.2 * random.part();
    let mut bursts = false;
    let mut rest = 0;
    let mut all = Vec::new();
    for _ in 0..SAMPLES {
        let noise = 0.002 * (random.part() - 0.5);
        all.push(((used + noise).clamp(0.0, 1.0) * BUDGET as f64) as u64);
        match shape {
            "linear" => used += step,
            "bursty" => {
                if rest == 0 {
                    bursts = !bursts;
                    rest = 3 + (9.0 * random.part()) as usize;
                }
                rest -= 1;
                used += if bursts { 2.5 * step } else { 0.0 };
            }
            "sawtooth" => used = if used > 0.85 { 0.5 } else { used + 2.0 * step },
            _ => used = (used + 2.0 * step).min(0.8),
        }
        used = used.min(0.99);
    }
    all
}

/// Keys are never compared: every hash is there once.
struct Unread;

impl KeyReader for Unread {
    fn matches(&self, _: &epoch::Guard, _: Location, _: &[u8]) -> freyja::Result<bool> {
        Ok(false)
    }

    fn read(&self, _: &epoch::Guard, _: Location, _: &mut Vec<u8>) -> freyja::Result<()> {
        Ok(())
    }
}

/// What the budget counts while an index is filled, 25,000 keys between two samples.
fn real_fill(key_storage: KeyStorage) -> Vec<u64> {
    let budget = Arc::new(MemoryBudget::new(BUDGET));
    let options = IndexOptions {
        seed: 1,
        slab_page_bytes: 4096,
        expected_keys: 0,
        key_storage,
    };
    let made = Index::with_room_for_at_most(0, &options, Arc::new(Unread), budget.clone());
    let index = made.unwrap();
    let mut all = Vec::new();
    for number in 0_u64.. {
        if number.is_multiple_of(25_000) {
            all.push(budget.used());
        }
        let key = number.to_le_bytes();
        let guard = epoch::pin();
        let location = Location::new(number + 1).unwrap();
        match index.entry(&guard, index.hash(&key), &key, location.bits().max(24)) {
            Ok(Entry::Vacant(vacant)) => vacant.insert(location),
            Ok(Entry::Occupied(_)) => unreachable!("keys are put once"),
            Err(_) => break,
        }
    }
    // It stays full.
    let full = budget.used().max(CRITICAL);
    all.extend(std::iter::repeat_n(full, 30));
    all
}

#[derive(Default)]
struct Quality {
    /// Sum of the absolute errors, in parts of what came, and how many, for each horizon.
    errors: [(f64, u32); 3],
    /// Seconds from the first warning that lasted to the critical moment, and how many.
    lead: (f64, u32),
    /// How many came to the critical moment.
    critical: u32,
    warnings: u32,
    false_warnings: u32,
    /// Moments at which a warning would have been false.
    calm: u32,
}

impl Quality {
    fn add(&mut self, ramp: &[u64]) {
        let seconds = SAMPLE_INTERVAL.as_secs();
        let at = |number: usize| Duration::from_secs(number as u64 * seconds);
        let critical = ramp.iter().position(|used| *used >= CRITICAL);
        self.critical += u32::from(critical.is_some());
        let mut monitor = Monitor::default();
        let mut warned_since = None;
        for (number, used) in ramp.iter().enumerate() {
            if critical.is_some_and(|critical| number >= critical) {
                break;
            }
            monitor.sample(Sample {
                at: at(number),
                used: *used,
                budget: BUDGET,
            });
            let assessment = monitor.assess(*used, BUDGET);
            let Some(forecast) = assessment.forecast else {
                continue;
            };
            for (number_of, horizon) in HORIZONS.iter().enumerate() {
                if let Some(came) = ramp.get(number + (horizon / seconds) as usize) {
                    let error = forecast.used[number_of].abs_diff(*came) as f64 / *came as f64;
                    self.errors[number_of].0 += error;
                    self.errors[number_of].1 += 1;
                }
            }
            // It may come twice as late.
            let latest = number + (2 * WARNED_SECONDS / seconds) as usize;
            let is_calm = critical.is_none_or(|critical| critical > latest);
            self.calm += u32::from(is_calm);
            let soon = Duration::from_secs(WARNED_SECONDS);
            let is_soon = assessment.time_to_critical.is_some_and(|time| time <= soon);
            if !is_soon || forecast.confidence < SURE {
                warned_since = None;
                continue;
            }
            warned_since = warned_since.or(Some(number));
            self.warnings += 1;
            self.false_warnings += u32::from(is_calm);
        }
        if let (Some(since), Some(critical)) = (warned_since, critical) {
            self.lead.0 += ((critical - since) as u64 * seconds) as f64;
            self.lead.1 += 1;
        }
    }

    fn error(&self, number: usize) -> f64 {
        let (sum, count) = self.errors[number];
        100.0 * sum / f64::from(count.max(1))
    }

    fn false_rate(&self) -> f64 {
        100.0 * f64::from(self.false_warnings) / f64::from(self.calm.max(1))
    }

    fn lead(&self) -> f64 {
        self.lead.0 / f64::from(self.lead.1.max(1))
    }

    fn print(&self, name: &str) {
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {} of {} | {:.0} | {} | {:.1} |",
            self.error(0),
            self.error(1),
            self.error(2),
            self.lead.1,
            self.critical,
            self.lead(),
            self.warnings,
            self.false_rate()
        );
    }
}

#[test]
fn forecasts_are_as_good_as_the_document_says() {
    println!(
        "| ramp | error after 30 s, % | 60 s | 120 s | foretold | lead, s | warnings | false of calm moments, % |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for shape in ["linear", "bursty", "sawtooth", "plateau"] {
        let mut quality = Quality::default();
        (0..SEEDS).for_each(|seed| quality.add(&ramp(shape, seed)));
        quality.print(shape);
        match shape {
            "linear" => {
                assert!(quality.error(2) < 5.0 && quality.false_rate() < 10.0);
                assert_eq!(quality.lead.1, quality.critical);
                assert!((60.0..240.0).contains(&quality.lead()));
            }
            "bursty" => assert!(quality.error(2) < 25.0),
            _ => assert_eq!(quality.critical, 0),
        }
    }
    for key_storage in [KeyStorage::OnDisk, KeyStorage::InMemory] {
        let mut quality = Quality::default();
        quality.add(&real_fill(key_storage));
        quality.print(&format!("a real fill, keys {key_storage:?}"));
        assert!(quality.error(0) < 15.0);
    }
}

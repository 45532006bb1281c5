//! Judges what a damaged store answers.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use freyja::store::{DamagedSpan, ImageFault, RecoveryWay, Store};
use freyja::vfs::SimulatedDisk;
use freyja::{Error, ErrorKind};

use super::Told;
use super::gap::{Gap, Tally};
use super::golden::{Answer, Golden, KEYS, Record, STORE, key, options};
use super::saving;

/// Length of a segment's header.
const HEADER: u64 = 128;
/// Length of a segment's footer.
const FOOTER: u64 = 208;

/// What was done to a store.
pub struct Damage {
    /// For messages.
    pub what: String,
    /// Whether a file is shorter than it was, so that records reach beyond its end.
    pub is_cut: bool,
    /// Bytes that are not what was written, by file; also bytes that are gone.
    pub spans: Vec<(String, Range<u64>)>,
}

/// Which part of a record is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touched {
    Not,
    /// Checksum or value only: the key can be made out.
    Content,
    /// What tells whose record it is.
    Identity,
}

impl Damage {
    fn hits(&self, file: &str, bytes: &Range<u64>) -> bool {
        let hit = |(name, span): &(String, Range<u64>)| {
            name == file && span.start < bytes.end && bytes.start < span.end
        };
        self.spans.iter().any(hit)
    }

    fn touches(&self, record: &Record) -> Touched {
        let head = record.head.clone();
        let identity = head.start + 4..head.end;
        let content = self.hits(&record.file, &(head.start..head.start + 4))
            || self.hits(&record.file, &record.value);
        if self.hits(&record.file, &identity)
            || self.hits(&record.file, &record.key_bytes)
            || content && self.is_cut
        {
            Touched::Identity
        } else if content {
            Touched::Content
        } else {
            Touched::Not
        }
    }
}

/// Opens the damaged store on `disk`, asks for every key, and forgives nothing but gaps.
pub fn judge(golden: &Golden, disk: &SimulatedDisk, damage: &Damage) -> Told<Tally> {
    examine(golden, disk, damage).map_err(|error| format!("{}: {error}", damage.what))
}

fn open(golden: &Golden, disk: &SimulatedDisk) -> freyja::Result<Store> {
    let directory = Path::new(STORE);
    Store::open_on(Arc::new(disk.clone()), directory, &options(golden.ending))
}

fn examine(golden: &Golden, disk: &SimulatedDisk, damage: &Damage) -> Told<Tally> {
    // Before opening, which mends what it can.
    if is_chosen(&damage.what, 8) {
        let mut records = golden.records.iter();
        let touches_record = records.any(|record| damage.touches(record) != Touched::Not);
        // Where the log ends with a record, nothing shows that there were more.
        let takes_the_end = damage.is_cut && damage.hits(golden.last_segment(), &(0..u64::MAX));
        saving::judge(golden, disk, touches_record && !takes_the_end)?;
    }
    let store = open(golden, disk).map_err(|error| format!("does not open: {error}"))?;
    let mut tally = Tally {
        stores: 1,
        from_image: u64::from(store.stats().recovery_way == RecoveryWay::Image as u64),
        ..Tally::default()
    };
    if let Some(error) = store.failure() {
        names_the_place(&error, damage)?;
    }
    let mut answers = Vec::new();
    // Two that never were, and keys that a flipped bit of another may spell.
    let strangers = [b"never".to_vec(), Vec::new(), b"key p1".to_vec()];
    for key in (0..KEYS).map(key).chain(strangers) {
        let answer = store.get(&key);
        judge_key(golden, damage, &store, &key, &answer, &mut tally).map_err(|error| {
            let key = String::from_utf8_lossy(&key);
            format!("key {key:?}: {error}; {:?}", store.recovery_report())
        })?;
        answers.push((key, answer.map_err(|error| error.kind())));
    }
    if is_chosen(&damage.what, 8) {
        stays(golden, disk, store, &answers)?;
    }
    Ok(tally)
}

/// Chooses one damage in so many, the same every time.
fn is_chosen(what: &str, one_in: u64) -> bool {
    let sum: u64 = what.bytes().map(u64::from).sum();
    sum.is_multiple_of(one_in)
}

/// Writing goes on, and the next open answers the same.
fn stays(
    golden: &Golden,
    disk: &SimulatedDisk,
    store: Store,
    answers: &[(Vec<u8>, Result<Answer, ErrorKind>)],
) -> Told<()> {
    let told = |error: Error| format!("afterwards: {error}");
    store.put(b"after", b"damage").map_err(told)?;
    store.close().map_err(told)?;
    drop(store);
    let store = open(golden, disk).map_err(told)?;
    if store.get(b"after").map_err(told)? != Some(b"damage".to_vec()) {
        return Err("a put after the damage is lost".into());
    }
    for (key, before) in answers {
        let now = store.get(key).map_err(|error| error.kind());
        if now != *before {
            let key = String::from_utf8_lossy(key);
            return Err(format!(
                "the next open changes {key:?} from {before:?} to {now:?}"
            ));
        }
    }
    Ok(())
}

fn names_the_place(error: &Error, damage: &Damage) -> Told<()> {
    if error.kind() != ErrorKind::Corrupt {
        return Err(format!("not told as damage: {error}"));
    }
    let named = |(name, _): &(String, Range<u64>)| error.message().contains(name.as_str());
    if damage.spans.iter().any(named) || error.message().contains("missing from the store") {
        return Ok(());
    }
    Err(format!("the damaged file is not named: {error}"))
}

fn judge_key(
    golden: &Golden,
    damage: &Damage,
    store: &Store,
    key: &[u8],
    answer: &freyja::Result<Answer>,
    tally: &mut Tally,
) -> Told<()> {
    let newest = golden.records.iter().rfind(|record| record.key == key);
    let touched = newest.map_or(Touched::Not, |record| damage.touches(record));
    match answer {
        Ok(value) if *value == golden.newest(key) => return Ok(()),
        Ok(value) => {
            let versions = golden.versions.get(key);
            let was = value.is_none() || versions.is_some_and(|all| all.contains(value));
            if !was {
                return Err(format!("answers with bytes that never were: {value:?}"));
            }
        }
        Err(error) => {
            names_the_place(error, damage)?;
            tally.errors += 1;
            if touched == Touched::Not {
                if !spells_something(golden, damage, error) {
                    return Err(format!("is not damaged, but: {error}"));
                }
                tally.forgive(Gap::SpelledKey);
            }
            return Ok(());
        }
    }
    // It answers with an older version, or as absent, and says nothing.
    let Some(newest) = newest else {
        return Err("was never written and answers".into());
    };
    let gap = gap_for(golden, damage, store, newest, touched);
    let gap = gap.ok_or("answers with an older version or as absent")?;
    tally.forgive(gap);
    Ok(())
}

/// Whether `error` is about a damaged record of which the identity is damaged.
fn spells_something(golden: &Golden, damage: &Damage, error: &Error) -> bool {
    golden.records.iter().any(|record| {
        record.head.start == error.offset()
            && error.message().contains(&record.file)
            && damage.touches(record) == Touched::Identity
    })
}

/// The gap, if any, because of which the key of `newest` gives no error although that was damaged.
fn gap_for(
    golden: &Golden,
    damage: &Damage,
    store: &Store,
    newest: &Record,
    touched: Touched,
) -> Option<Gap> {
    let report = store.recovery_report();
    let from_image = report.way == RecoveryWay::Image && report.image_fault == ImageFault::None;
    if from_image && newest.sequence <= golden.covered {
        return None;
    }
    let told = store.failure().is_some();
    let last = golden.last_segment();
    let whole_file = |span: &DamagedSpan| {
        span.path.ends_with(&newest.file) && span.offset == 0 && span.length > HEADER
    };
    if damage.hits(&newest.file, &(0..HEADER)) && report.damaged.iter().any(whole_file) {
        return Some(Gap::HeaderUnusable);
    }
    let one_record = golden
        .records
        .iter()
        .filter(|it| damage.touches(it) != Touched::Not)
        .count()
        == 1;
    match touched {
        _ if newest.file == last && takes_the_end(golden, damage) => Some(Gap::UnprovenTail),
        Touched::Not => None,
        // Alone, it can be made out.
        Touched::Content if one_record => None,
        _ if told => Some(Gap::KeyUnknown),
        _ => None,
    }
}

/// Whether the damage takes the last record of the log and, if there is one, the footer behind it.
fn takes_the_end(golden: &Golden, damage: &Damage) -> bool {
    let Some(last) = golden.records.last() else {
        return false;
    };
    let length = golden.segments().next_back().map_or(0, |(_, it)| it.len()) as u64;
    let footer_is_hit = damage.hits(&last.file, &(length - FOOTER..length));
    damage.touches(last) != Touched::Not && (golden.is_killed() || footer_is_hit)
}

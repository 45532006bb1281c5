//! What a child process does: lets one contestant live and looks at the memory it takes.

use crate::arguments::{Arguments, Child, Task};
use crate::contestants::{Contestant, Counters, Freyja, PlainMap};
use crate::key_sets::KeySet;
use crate::latency::Latencies;
use crate::resident::Resident;
use crate::transcript::{Sample, State, Transcript};
use crate::watch::{PARTS, Watch};

/// Of so many keys one is left by [`Task::DeleteMost`].
const TENTH: u64 = 10;

/// The keys of a life, always in the same order.
struct Keys<'a> {
    set: KeySet,
    count: u64,
    arguments: &'a Arguments,
}

impl Keys<'_> {
    fn for_each(&self, visit: impl FnMut(u64, &[u8])) {
        let paths = self.arguments.paths.as_deref();
        self.set.for_each(self.count, paths, visit);
    }
}

/// Memory as it was before there was anything to count.
struct Beginning {
    resident: Resident,
    bytes: u64,
    counters: Option<Counters>,
}

pub fn live(child: Child, arguments: &Arguments) -> Transcript {
    let keys = Keys {
        set: arguments.key_sets[0],
        count: arguments.keys[0],
        arguments,
    };
    match child.kind.key_storage() {
        Some(storage) => {
            let open = || Freyja::open(&arguments.directory, storage).expect("the store opens");
            run(child.task, &keys, open)
        }
        None => run(child.task, &keys, PlainMap::default),
    }
}

fn run<C: Contestant>(task: Task, keys: &Keys<'_>, open: impl FnOnce() -> C) -> Transcript {
    // A pass and a look, so that what the harness takes is there before the beginning.
    keys.for_each(|_, _| {});
    let watch = Watch::start();
    let mut latencies = Latencies::new();
    let resident = Resident::open();
    let before = resident.bytes();
    let mut contestant = open();
    let counters = contestant.counters();
    let beginning = if task == Task::Small {
        Beginning {
            resident,
            bytes: before,
            counters: counters.map(|_| Counters::default()),
        }
    } else {
        let bytes = resident.bytes();
        Beginning {
            resident,
            bytes,
            counters,
        }
    };
    let mut transcript = Transcript::default();
    match task {
        Task::Fill | Task::Churn => {
            let puts = &mut latencies;
            transcript.samples = fill(&mut contestant, keys, &beginning, &watch, puts);
            transcript.puts = Some(puts.summary());
            transcript.states.push(beginning.state(&contestant));
            if task == Task::Fill {
                check(&contestant, keys, |_| Some(0));
                watch.stop();
                return transcript;
            }
            churn(&mut contestant, keys);
            transcript.states.push(beginning.state(&contestant));
            check(&contestant, keys, |number| {
                Some(if number % 2 == 1 { 3 } else { 2 })
            });
        }
        Task::DeleteMost => {
            keys.for_each(|number, key| contestant.put(key, number, 0));
            transcript.states.push(beginning.state(&contestant));
            keys.for_each(|number, key| {
                if number % TENTH != 0 {
                    contestant.delete(key);
                }
            });
            transcript.states.push(beginning.state(&contestant));
            check(&contestant, keys, |number| {
                (number % TENTH == 0).then_some(0)
            });
        }
        Task::PutTheRest => {
            keys.for_each(|number, key| {
                if number % TENTH == 0 {
                    contestant.put(key, number, 0);
                }
            });
            transcript.states.push(beginning.state(&contestant));
            check(&contestant, keys, |number| {
                (number % TENTH == 0).then_some(0)
            });
        }
        Task::Small => {
            keys.for_each(|number, key| contestant.put(key, number, 0));
            transcript.states.push(beginning.state(&contestant));
            check(&contestant, keys, |_| Some(0));
        }
    }
    watch.stop();
    transcript
}

/// Puts every key and times it; looks at the memory at every hundredth part, and at what was seen in between.
fn fill(
    contestant: &mut impl Contestant,
    keys: &Keys<'_>,
    beginning: &Beginning,
    watch: &Watch,
    puts: &mut Latencies,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut key_bytes = 0;
    keys.for_each(|number, key| {
        puts.time(|| contestant.put(key, number, 0));
        let part = samples.len();
        let done = number + 1;
        key_bytes += key.len() as u64;
        if done * PARTS as u64 / keys.count > part as u64 {
            let resident = beginning.growth();
            let seen = watch.highest(part).saturating_sub(beginning.bytes);
            samples.push(Sample {
                keys: done,
                key_bytes,
                resident,
                highest: seen.max(resident),
            });
            watch.enter((part + 1).min(PARTS - 1));
        }
    });
    assert_eq!(samples.len(), PARTS, "every part was sampled");
    samples
}

/// Replaces every key twice, deletes every second key, and adds these again.
fn churn(contestant: &mut impl Contestant, keys: &Keys<'_>) {
    for version in [1, 2] {
        keys.for_each(|number, key| contestant.put(key, number, version));
    }
    keys.for_each(|number, key| {
        if number % 2 == 1 {
            contestant.delete(key);
        }
    });
    keys.for_each(|number, key| {
        if number % 2 == 1 {
            contestant.put(key, number, 3);
        }
    });
}

/// Nothing can have been left out: every key has the version that it should have, `None` if it should be gone.
fn check(contestant: &impl Contestant, keys: &Keys<'_>, version: impl Fn(u64) -> Option<u64>) {
    let mut expected = 0;
    keys.for_each(|number, key| match version(number) {
        Some(version) => {
            expected += 1;
            assert!(
                contestant.holds(key, number, version),
                "key {number}: wrong"
            );
        }
        None => assert!(!contestant.holds(key, number, 0), "key {number}: not gone"),
    });
    assert_eq!(contestant.keys(), expected);
}

impl Beginning {
    fn growth(&self) -> u64 {
        self.resident.bytes().saturating_sub(self.bytes)
    }

    fn state(&self, contestant: &impl Contestant) -> State {
        let resident = self.growth();
        let counters = contestant.counters().zip(self.counters);
        State {
            keys: contestant.keys(),
            resident,
            counters: counters.map(|(now, empty)| Counters {
                memory: now.memory - empty.memory,
                ..now
            }),
        }
    }
}

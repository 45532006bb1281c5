//! What may be found after a power cut.
//!
//! Thread t's round r puts one key, and every seventh round is a batch that puts a group of keys and deletes the key that the
//! round before has put. A value tells its thread and round, and which rounds of all threads had been acknowledged when
//! it was put: what it knows of must be there if it is.

use std::collections::BTreeMap;

use freyja::store::Store;

/// Threads of the writers.
pub const THREADS: usize = 4;

const KEYS: u32 = 20;
const GROUP: u32 = 5;
const HEAD_LEN: usize = 8 + 4 * THREADS;

/// Keys and values.
pub type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// How many rounds of each thread a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub rounds: [u32; THREADS],
}

/// How many rounds of each thread had been acknowledged at a cut, and how many of them as durable.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    pub durable: [u32; THREADS],
    pub acknowledged: [u32; THREADS],
}

impl Floor {
    /// Rounds promised to be durable since `state`.
    pub fn since(&self, state: &State) -> u64 {
        let pairs = self.durable.iter().zip(&state.rounds);
        pairs.map(|(now, before)| u64::from(now - before)).sum()
    }
}

/// All keys that writers ever put, as far as they are there.
pub fn contents(store: &Store) -> Contents {
    let keys = (0..THREADS).flat_map(|thread| {
        let keys = (0..KEYS).map(move |number| key(thread, number));
        keys.chain((0..GROUP).map(move |number| group_key(thread, number)))
    });
    let found = keys.filter_map(|key| {
        let value = store.get(&key).unwrap_or_else(|error| panic!("{error}"));
        Some((key, value?.to_vec()))
    });
    found.collect()
}

fn key(thread: usize, number: u32) -> Vec<u8> {
    format!("thread {thread} key {number}").into_bytes()
}

fn group_key(thread: usize, number: u32) -> Vec<u8> {
    format!("thread {thread} group {number}").into_bytes()
}

/// What a value says of itself.
struct Told {
    thread: usize,
    round: u32,
    before: [u32; THREADS],
}

/// Checks that the bytes of a value are those of its thread and round.
fn told(value: &[u8], what: &str) -> Told {
    assert!(
        value.len() >= HEAD_LEN,
        "{what}: a value of {} bytes",
        value.len()
    );
    let number = |at: usize| u32::from_le_bytes(value[at..at + 4].try_into().unwrap());
    let (thread, round) = (number(0), number(4));
    let filling = match round % 11 {
        0 => 9000,
        _ => round * 37 % 600,
    };
    assert_eq!(
        value.len(),
        HEAD_LEN + filling as usize,
        "{what}: round {round}"
    );
    let byte = ((round * 5 + thread) % 251) as u8;
    assert!(
        value[HEAD_LEN..].iter().all(|it| *it == byte),
        "{what}: round {round} is mixed"
    );
    Told {
        thread: thread as usize,
        round,
        before: std::array::from_fn(|at| number(8 + 4 * at)),
    }
}

impl State {
    /// The state that a store with these contents is in. Fails unless it is one that every thread's rounds up to some
    /// round lead to, which includes all that was durable, nothing that was not written, and all that what is there
    /// knows of.
    pub fn of(found: &Contents, floor: &Floor, what: &str) -> Self {
        let mut state = Self::default();
        let values: Vec<Told> = found.values().map(|value| told(value, what)).collect();
        for told in &values {
            let rounds = &mut state.rounds[told.thread];
            *rounds = (*rounds).max(told.round + 1);
        }
        let mut expected = BTreeMap::new();
        for (thread, &rounds) in state.rounds.iter().enumerate() {
            let (durable, acknowledged) = (floor.durable[thread], floor.acknowledged[thread]);
            // One more was under way.
            assert!(
                durable <= rounds && rounds <= acknowledged + 1,
                "{what}: thread {thread} is at {rounds}, durable {durable}, acknowledged {acknowledged}"
            );
            expected.extend(contents_after(thread, rounds));
        }
        let rounds_found: BTreeMap<Vec<u8>, u32> = found
            .keys()
            .cloned()
            .zip(values.iter().map(|told| told.round))
            .collect();
        assert!(rounds_found == expected, "{what}: {state:?} is not whole");
        for told in &values {
            let (thread, round, before) = (told.thread, told.round, told.before);
            let known = before.iter().zip(&state.rounds);
            for (before, rounds) in known {
                assert!(
                    before <= rounds,
                    "{what}: round {round} of thread {thread} is there and knows {before:?} of {state:?}"
                );
            }
        }
        state
    }
}

/// Which round each key of a thread was put by, after so many rounds.
fn contents_after(thread: usize, rounds: u32) -> BTreeMap<Vec<u8>, u32> {
    let mut contents = BTreeMap::new();
    for round in 0..rounds {
        if round % 7 != 3 {
            contents.insert(key(thread, round % KEYS), round);
            continue;
        }
        for number in 0..GROUP {
            contents.insert(group_key(thread, number), round);
        }
        contents.remove(&key(thread, (round - 1) % KEYS));
    }
    contents
}

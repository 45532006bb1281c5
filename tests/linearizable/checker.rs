//! Whether calls on one key, some at the same time, can have happened in some order. Searches all orders as Wing and Gong
//! ("Testing and verifying concurrent objects", 1993), remembering what has been tried as Lowe ("Testing for
//! linearizability", 2017).

use std::collections::HashSet;

/// What a call did, or saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stored this number.
    Put(u64),
    /// Deleted the key; whether it was there.
    Delete(bool),
    /// Saw this number, or nothing.
    Read(Option<u64>),
}

/// A call: it happened at one moment from `begin` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub begin: u64,
    pub end: u64,
    pub action: Action,
}

impl Action {
    /// The state behind this action on `state`; `None` if it could not have answered as it did.
    fn apply(self, state: Option<u64>) -> Option<Option<u64>> {
        match self {
            Self::Put(number) => Some(Some(number)),
            Self::Delete(found) => (state.is_some() == found).then_some(None),
            Self::Read(seen) => (seen == state).then_some(state),
        }
    }
}

/// Most calls of a history.
pub const LONGEST: usize = 128;

/// Finds an order, beginning with nothing stored. `Err` has the first call, by its end, that no order reaches.
pub fn explain(events: &[Event]) -> Result<(), Event> {
    assert!(events.len() <= LONGEST);
    let mut tried = HashSet::new();
    let mut furthest = 0;
    if search(events, 0, None, &mut tried, &mut furthest) {
        return Ok(());
    }
    let missing = events
        .iter()
        .enumerate()
        .filter(|(number, _)| furthest & 1 << number == 0);
    let stuck = missing.min_by_key(|(_, event)| event.end);
    Err(*stuck.expect("an order of all is a success").1)
}

fn search(
    events: &[Event],
    done: u128,
    state: Option<u64>,
    tried: &mut HashSet<(u128, Option<u64>)>,
    furthest: &mut u128,
) -> bool {
    if done.count_ones() as usize == events.len() {
        return true;
    }
    if !tried.insert((done, state)) {
        return false;
    }
    if done.count_ones() > furthest.count_ones() {
        *furthest = done;
    }
    let open = || (0..events.len()).filter(|number| done & 1 << number == 0);
    // Whatever has ended before another began came before it.
    let first_end = open()
        .map(|number| events[number].end)
        .min()
        .unwrap_or(u64::MAX);
    for number in open().filter(|number| events[*number].begin <= first_end) {
        if let Some(next) = events[number].action.apply(state)
            && search(events, done | 1 << number, next, tried, furthest)
        {
            return true;
        }
    }
    false
}

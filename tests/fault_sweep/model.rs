//! What a store may hold after operations of which some failed.

use std::collections::{BTreeMap, BTreeSet};

/// Keys and values.
pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The states that are possible, after each operation so far.
pub struct Model {
    history: Vec<BTreeSet<Map>>,
    /// Everything up to this element is durable.
    durable: usize,
    /// Number of changes whose outcome only the next open tells.
    pub undecided: usize,
}

impl Model {
    /// A store that went through `states`, of which the first is durable.
    pub fn new(states: Vec<Map>) -> Self {
        let states = states.into_iter();
        Self {
            history: states.map(|state| BTreeSet::from([state])).collect(),
            durable: 0,
            undecided: 0,
        }
    }

    /// The states that are possible now.
    pub fn now(&self) -> &BTreeSet<Map> {
        self.history.last().expect("there is always one")
    }

    /// The states that are possible after a power loss.
    pub fn after_power_loss(&self) -> BTreeSet<Map> {
        self.history[self.durable..]
            .iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// A change took place.
    pub fn changed(&mut self, change: impl Fn(&mut Map)) {
        let changed = self.now().iter().cloned().map(|mut map| {
            change(&mut map);
            map
        });
        let changed = changed.collect();
        self.history.push(changed);
    }

    /// A change failed: it took place as a whole or not at all.
    pub fn perhaps_changed(&mut self, change: impl Fn(&mut Map)) {
        let before = self.now().clone();
        self.changed(change);
        self.history.last_mut().expect("just pushed").extend(before);
        self.undecided += 1;
    }

    /// Everything so far has become durable.
    pub fn all_is_durable(&mut self) {
        self.durable = self.history.len() - 1;
    }

    /// The store was opened and showed `found`; `durable` if that is so for good.
    pub fn found(&mut self, found: Map, durable: bool) {
        self.history.push(BTreeSet::from([found]));
        self.undecided = 0;
        if durable {
            self.all_is_durable();
        }
    }
}

//! A store that stores nothing: what it takes is what the benchmark itself takes.

use std::hint::black_box;
use std::path::Path;

use super::{Engine, Kind, Opened, Opening, Pair, Session};
use crate::pairs::KEY_LEN;

/// Nothing.
pub const KIND: Kind = Kind {
    name: "nothing",
    options: "what the benchmark itself takes; its answers are compared as the others' are, and differ",
    open,
    answers: false,
    is_store: false,
    has_more: false,
};

struct Nothing {
    value: Vec<u8>,
    pairs: u64,
}

fn open(_: &Path, opening: &Opening) -> Opened {
    Ok(Box::new(Nothing {
        value: vec![0; opening.value_len],
        pairs: opening.pairs,
    }))
}

impl Engine for Nothing {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self)
    }

    fn version(&self) -> String {
        String::new()
    }

    fn close(self: Box<Self>) {}
}

impl Session for &Nothing {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        black_box((key, value));
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        see(black_box((key, &self.value)).1);
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        for _ in 0..self.pairs {
            let (key, value) = black_box((&[0; KEY_LEN], &self.value));
            see(key, value);
        }
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        black_box(pairs);
        true
    }

    fn get_many(&mut self, keys: &[[u8; KEY_LEN]], see: &mut dyn FnMut(usize, &[u8])) -> bool {
        for place in 0..keys.len() {
            see(place, black_box((keys, &self.value)).1);
        }
        true
    }
}

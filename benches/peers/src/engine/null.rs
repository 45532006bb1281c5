//! A store that stores nothing: what it takes is what the benchmark itself takes.

use std::hint::black_box;
use std::path::Path;

use super::{Engine, Kind, Opened, Opening, Session};

/// Nothing.
pub const KIND: Kind = Kind {
    name: "nothing",
    options: "what the benchmark itself takes; its answers are compared as the others' are, and differ",
    open,
    answers: false,
};

struct Nothing {
    value: Vec<u8>,
}

fn open(_: &Path, opening: &Opening) -> Opened {
    Ok(Box::new(Nothing {
        value: vec![0; opening.value_len],
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
}

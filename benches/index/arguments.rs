//! What to measure, from the command line.

use crate::child::{Child, Task};
use crate::contenders::Kind;

pub struct Arguments {
    /// Numbers of keys.
    pub keys: Vec<u64>,
    /// What this process is to do, if the benchmark itself started it.
    pub child: Option<Child>,
}

impl Arguments {
    /// Numbers of keys, or what a parent tells its child: a task, a contender and a number of keys.
    pub fn parse() -> Arguments {
        let given = std::env::args().skip(1);
        let given: Vec<String> = given.filter(|argument| argument != "--bench").collect();
        let child = match &*given {
            [task, kind, count] => Task::named(task)
                .zip(Kind::named(kind))
                .zip(count.parse().ok()),
            _ => None,
        };
        let child = child.map(|((task, kind), count)| Child { task, kind, count });
        let mut keys = Vec::new();
        if child.is_none() {
            keys.extend(given.iter().map(|argument| number_of_keys(argument)));
        }
        if keys.is_empty() {
            keys = vec![1_000_000, 10_000_000];
        }
        Arguments { keys, child }
    }
}

/// Digits, which may be grouped by `_`.
fn number_of_keys(text: &str) -> u64 {
    match text.replace('_', "").parse() {
        Ok(count @ 1..=0xffff_ffff) => count,
        _ => {
            eprintln!("{text}: give numbers of keys, from 1 to 4294967295");
            std::process::exit(2);
        }
    }
}

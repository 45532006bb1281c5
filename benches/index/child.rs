//! What a process that the benchmark starts does with its contender, and how it tells its parent.

use std::hint::black_box;

use crate::clocks::{processor_time, wall_time};
use crate::colliding_keys;
use crate::contenders::{Contender, KeysInMemory, KeysOnDisk, Kind, Map};
use crate::keys::{self, KEY_BYTES, Key, scattered};
use crate::latency::Latencies;
use crate::phases::Phase;
use crate::resident::Resident;

/// How many contenders are filled alike to find out what recurs.
pub const EQUAL_FILLS: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Inserts into an empty contender that grows.
    Grow,
    /// The same, and tells where the bytes are, and what the system counts.
    Costs,
    /// Times every insertion into an empty contender that grows.
    Latency,
    /// Times every insertion into equal contenders that grow, one after the other, and tells what the slowest takes every time:
    /// what the contender does, and not the machine.
    Recurring,
    /// Times as many operations that do nothing: what the machine adds to any.
    Noise,
    /// All phases, one after the other.
    Phases,
    /// Looks up keys that were prepared to collide.
    Collide,
    /// Nothing at all.
    Nothing,
    /// Inserts, and then does one phase if it is another.
    Only(Phase),
}

impl Task {
    pub fn name(self) -> &'static str {
        match self {
            Task::Grow => "grow",
            Task::Costs => "costs",
            Task::Latency => "latency",
            Task::Recurring => "recurring",
            Task::Noise => "noise",
            Task::Phases => "phases",
            Task::Collide => "collide",
            Task::Nothing => "nothing",
            Task::Only(phase) => phase.name(),
        }
    }

    pub fn named(name: &str) -> Option<Task> {
        let tasks = [
            Task::Grow,
            Task::Costs,
            Task::Latency,
            Task::Recurring,
            Task::Noise,
            Task::Phases,
            Task::Collide,
            Task::Nothing,
        ];
        let mut tasks = tasks.into_iter().chain(Phase::ALL.map(Task::Only));
        tasks.find(|task| task.name() == name)
    }
}

#[derive(Clone, Copy)]
pub struct Child {
    pub task: Task,
    pub kind: Kind,
    pub count: u64,
}

pub fn live(child: Child) {
    match child.kind {
        Kind::KeysInMemory => run::<KeysInMemory>(child.task, child.count),
        Kind::KeysOnDisk => run::<KeysOnDisk>(child.task, child.count),
        Kind::Map => run::<Map>(child.task, child.count),
    }
}

fn run<C: Contender>(task: Task, count: u64) {
    match task {
        Task::Nothing => {}
        Task::Grow => {
            let mut contender = C::with_room(0, keys::key);
            tell(count, || Phase::Insert.run(&mut contender, count));
            leave(contender);
        }
        Task::Costs => {
            let resident = Resident::open();
            let before = resident.bytes();
            let mut contender = C::with_room(0, keys::key);
            Phase::Insert.run(&mut contender, count);
            // What the last growth left behind is given back by whoever comes next.
            for number in 0..1000 {
                black_box(contender.find(&keys::key(number), number));
            }
            let costs = contender.costs().into_iter().flatten();
            costs.for_each(|cost| println!("{cost}"));
            println!("{}", (resident.bytes() - before) as f64 / count as f64);
            leave(contender);
        }
        Task::Latency => {
            let mut contender = C::with_room(0, keys::key);
            let mut latencies = Latencies::new();
            for number in 0..count {
                let key = keys::key(number);
                latencies.time(|| contender.insert(&key, number));
            }
            tell_latencies(&latencies);
            leave(contender);
        }
        Task::Recurring => println!("{}", slowest_every_time::<C>(count)),
        Task::Noise => {
            let mut latencies = Latencies::new();
            for number in 0..count {
                let key = keys::key(number);
                latencies.time(|| black_box(key));
            }
            tell_latencies(&latencies);
        }
        Task::Phases => {
            let mut contender = C::with_room(count, keys::key);
            for phase in Phase::ALL {
                tell(count, || phase.run(&mut contender, count));
            }
            leave(contender);
        }
        Task::Only(phase) => {
            let mut contender = C::with_room(count, keys::key);
            Phase::Insert.run(&mut contender, count);
            if phase != Phase::Insert {
                phase.run(&mut contender, count);
            }
            leave(contender);
        }
        Task::Collide => collide::<C>(count),
    }
}

/// Nanoseconds on the clock. Of each insertion the least of all fills counts.
fn slowest_every_time<C: Contender>(count: u64) -> u32 {
    let mut least = vec![u32::MAX; count as usize];
    for _ in 0..EQUAL_FILLS {
        let mut contender = C::with_room(0, keys::key);
        for (number, least) in (0..).zip(&mut least) {
            let key = keys::key(number);
            let before = wall_time();
            contender.insert(&key, number);
            let took = wall_time() - before;
            *least = u32::try_from(took).unwrap_or(u32::MAX).min(*least);
        }
    }
    least.into_iter().max().unwrap_or_default()
}

fn tell_latencies(latencies: &Latencies) {
    let summary = latencies.summary();
    for nanoseconds in summary.wall.iter().chain(&summary.processor) {
        println!("{nanoseconds}");
    }
    println!("{}", summary.processor_of_slowest);
}

/// Fills with colliding keys and looks them up, and others that are not there but would collide as well.
fn collide<C: Contender>(count: u64) {
    let mut contender = C::with_room(count, colliding);
    (0..count).for_each(|number| contender.insert(&colliding(number), number));
    tell(count, || {
        for number in scattered(count) {
            assert!(black_box(contender.find(&colliding(number), number)));
        }
    });
    tell(count, || {
        for number in scattered(count).map(|number| number + count) {
            assert!(!black_box(contender.find(&colliding(number), number)));
        }
    });
    leave(contender);
}

fn colliding(number: u64) -> Key {
    let key = colliding_keys::key(KEY_BYTES, number);
    key.try_into().expect("keys have the length asked for")
}

/// Prints the nanoseconds of processor time that one of `count` operations takes, which other programs on the machine
/// disturb less than the time on the clock.
fn tell(count: u64, run: impl FnOnce()) {
    let before = processor_time();
    run();
    let spent = processor_time() - before;
    println!("{}", spent as f64 / count as f64);
}

/// Ends without taking the contender apart, which would count in what is counted of the whole process.
fn leave(contender: impl Contender) {
    std::mem::forget(contender);
}

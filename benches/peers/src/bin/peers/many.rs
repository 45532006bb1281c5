//! Work with many pairs by one call.

use std::time::Instant;

use freyja_peers::engine::{Pair, Session};
use freyja_peers::pairs::{KEY_LEN, fold};

use crate::timing::tell;
use crate::workload::{Books, Plan};

/// How many keys are asked for together.
const GOT: usize = 64;
/// How many pairs are put together.
const PUT: usize = 100;
/// Of so many pairs that were put together one is looked at afterwards.
const LOOKED_AT: usize = 16;

/// Goes over all pairs, which must be those of the books.
pub fn scan(name: &str, session: &mut dyn Session, books: &Books) {
    let expected = books.fold();
    let (mut count, mut sum) = (0_u64, 0_u64);
    let began = Instant::now();
    session.scan(&mut |key, value| {
        count += 1;
        sum = sum.wrapping_add(fold(key, value));
    });
    let elapsed = began.elapsed();
    books.judge(name, u64::from((count, sum) != expected));
    tell(
        &format!("{name}, a second"),
        count as f64 / elapsed.as_secs_f64(),
    );
}

/// Gets what `plan` says, which must all be there, many keys by one call; nothing if the store has no such call.
pub fn get(name: &str, plan: &Plan, session: &mut dyn Session, books: &Books) {
    if !session.get_many(&[], &mut |_, _| {}) {
        return;
    }
    let mut right = 0;
    let began = Instant::now();
    for first in (0..plan.len()).step_by(GOT) {
        let mut numbers = [0; GOT];
        let mut keys = [[0; KEY_LEN]; GOT];
        let count = GOT.min(plan.len() - first);
        for place in 0..count {
            numbers[place] = plan.number(first + place);
            keys[place] = books.pairs().key(numbers[place]);
        }
        session.get_many(&keys[..count], &mut |place, value| {
            right += u64::from(value == books.value(numbers[place]));
        });
    }
    let elapsed = began.elapsed();
    books.judge(name, plan.len() as u64 - right);
    tell(
        &format!("{name}, a second"),
        plan.len() as f64 / elapsed.as_secs_f64(),
    );
}

/// Puts what `plan` says, many pairs together; nothing if the store cannot.
pub fn put(name: &str, plan: &Plan, session: &mut dyn Session, books: &mut Books) {
    if !session.put_many(&[]) {
        return;
    }
    let began = Instant::now();
    let mut numbers = Vec::with_capacity(PUT);
    for first in (0..plan.len()).step_by(PUT) {
        let places = first..plan.len().min(first + PUT);
        numbers.clear();
        numbers.extend(places.map(|at| plan.number(at)));
        for &number in &numbers {
            books.put(number);
        }
        let pairs = numbers.iter();
        let pairs = pairs.map(|&number| (books.pairs().key(number), books.value(number)));
        let mut together: [Pair<'_>; PUT] = [([0; KEY_LEN], &[]); PUT];
        for (place, pair) in together.iter_mut().zip(pairs) {
            *place = pair;
        }
        session.put_many(&together[..numbers.len()]);
    }
    let elapsed = began.elapsed();
    let mut wrong = 0;
    for at in (0..plan.len()).step_by(LOOKED_AT) {
        wrong += u64::from(!books.is_right(plan.number(at), session));
    }
    books.judge(name, wrong);
    tell(
        &format!("{name}, a second"),
        plan.len() as f64 / elapsed.as_secs_f64(),
    );
}

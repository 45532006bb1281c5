use std::sync::atomic::AtomicUsize;

use super::*;

const LIMIT: usize = 16 << 20;

fn kind(result: Result<()>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn growth_stops_before_the_reserve_and_shrinking_may_use_it() {
    let budget = MemoryBudget::new(LIMIT as u64);
    let growth = LIMIT / 1000 * 950 + LIMIT % 1000 * 950 / 1000;
    assert_eq!(budget.growth_limit(), Some(growth as u64));
    assert!(budget.take(growth).is_ok());
    assert_eq!(kind(budget.take(1)), Some(ErrorKind::Memory));
    assert!(MemoryBudget::with_reserve(|| budget.take(LIMIT - growth - LAST_BYTES)).is_ok());
    let refused = MemoryBudget::with_reserve(|| budget.take(1));
    assert_eq!(kind(refused), Some(ErrorKind::Memory));
    assert!(MemoryBudget::with_last_reserve(|| budget.take(LAST_BYTES)).is_ok());
    let refused = MemoryBudget::with_last_reserve(|| budget.take(1));
    assert_eq!(kind(refused), Some(ErrorKind::Memory));
    assert_eq!((budget.used(), budget.refusals()), (LIMIT as u64, 3));
    budget.give_back(LIMIT - growth + 1);
    assert!(budget.take(1).is_ok());
}

#[test]
fn a_small_limit_keeps_the_least_reserve() {
    let budget = MemoryBudget::new(1 << 20);
    assert_eq!(budget.growth_limit(), Some(512 << 10));
    budget.set_growth_part(1000);
    assert_eq!(budget.growth_limit(), Some(512 << 10));
    budget.set_limit(100 << 20);
    assert_eq!(
        budget.growth_limit(),
        Some((100 << 20) - LEAST_RESERVE_BYTES as u64)
    );
}

#[test]
fn a_refusal_tells_what_is_used_and_what_the_budget_is() {
    let budget = MemoryBudget::new(4 << 20);
    budget.take(1000).unwrap();
    let error = budget.take(4 << 20).unwrap_err();
    for figure in ["1000 bytes are in use", "4194304 bytes", "raise the budget"] {
        assert!(error.message().contains(figure), "{error}");
    }
}

#[test]
fn without_a_limit_it_counts_and_refuses_nothing() {
    let budget = MemoryBudget::default();
    budget.take(usize::MAX / 2).unwrap();
    assert_eq!((budget.limit(), budget.growth_limit()), (None, None));
    assert_eq!(budget.used(), (usize::MAX / 2) as u64);
}

#[test]
fn a_lowered_limit_refuses_growth_until_enough_has_come_back() {
    let budget = MemoryBudget::new(0);
    budget.take(LIMIT).unwrap();
    budget.set_limit(LIMIT as u64 / 2);
    assert_eq!(budget.available(), 0);
    assert!(budget.take(1).is_err());
    budget.give_back(LIMIT - 4096);
    assert!(budget.take(1).is_ok());
}

#[test]
fn a_loan_may_use_the_reserve_and_comes_back() {
    let budget = Arc::new(MemoryBudget::new(LIMIT as u64));
    let loan = budget.lend(LIMIT - LAST_BYTES).unwrap();
    assert!(budget.lend(1).is_err());
    assert_eq!(loan.bytes(), LIMIT - LAST_BYTES);
    drop(loan);
    assert_eq!(budget.used(), 0);
}

#[test]
fn growth_does_not_wait_for_loans_unless_the_limit_is_reached() {
    let budget = Arc::new(MemoryBudget::new(LIMIT as u64));
    let growth = budget.growth_limit().unwrap() as usize;
    let loan = budget.lend(LIMIT - LAST_BYTES - growth).unwrap();
    assert!(budget.take(growth).is_ok());
    assert!(budget.take(1).is_err());
    drop(loan);
    assert!(budget.take(1).is_err());
    budget.give_back(growth);
    let _loan = budget.lend(LIMIT - LAST_BYTES - growth + 1000).unwrap();
    assert!(budget.take(growth).is_err());
    assert!(budget.take(growth - 1000).is_ok());
}

#[test]
fn of_the_heap_the_most_that_there_was_counts() {
    let budget = Arc::new(MemoryBudget::new(0));
    let first = budget.charge(4000).unwrap();
    let second = budget.charge(4000).unwrap();
    assert_eq!(budget.used(), 10_000);
    drop(first);
    let third = budget.charge(4000).unwrap();
    assert_eq!(budget.used(), 10_000);
    drop((second, third));
    assert_eq!(budget.used(), 10_000);
    let _more = budget.charge(8400).unwrap();
    assert_eq!(budget.used(), 10_500);
}

#[test]
fn an_alarm_sounds_once_until_it_is_set_again() {
    let budget = MemoryBudget::new(0);
    let told = Arc::new(AtomicUsize::new(0));
    budget.tell_when_scarce({
        let told = told.clone();
        move || {
            told.fetch_add(1, Ordering::Relaxed);
        }
    });
    let count = || told.load(Ordering::Relaxed);
    budget.take(100).unwrap();
    assert_eq!(count(), 0);
    budget.set_alarm(200);
    budget.take(99).unwrap();
    assert_eq!(count(), 0);
    budget.take(1).unwrap();
    budget.take(1).unwrap();
    assert_eq!(count(), 1);
    budget.set_alarm(200);
    budget.take_unasked(1);
    assert_eq!(count(), 2);
    budget.set_limit(1000);
    for _ in 0..2 {
        assert!(budget.take(1000).is_err());
    }
    assert_eq!(count(), 3);
}

#[test]
fn threads_together_never_take_more_than_the_limit() {
    let budget = MemoryBudget::new(8 << 20);
    let limit = budget.growth_limit().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while budget.take(4096).is_ok() {
                    assert!(budget.used() <= limit);
                }
            });
        }
    });
    assert!(budget.used() <= limit && budget.used() > limit - 4096);
}

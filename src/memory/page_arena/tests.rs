use super::*;

const RUNS: usize = REGION_BYTES / PAGE_BYTES;

fn take(arena: &PageArena, count: usize, bytes: usize) -> Vec<NonNull<u8>> {
    (0..count).map(|_| arena.allocate(bytes).unwrap()).collect()
}

fn give(arena: &PageArena, runs: impl IntoIterator<Item = NonNull<u8>>, bytes: usize) {
    for run in runs {
        // SAFETY: the tests release what `take` returned, once.
        unsafe { arena.release(run, bytes) };
    }
}

fn fill(run: NonNull<u8>, bytes: usize, value: u8) {
    // SAFETY: the run is `bytes` long and ours.
    unsafe { run.write_bytes(value, bytes) };
}

fn holds(run: NonNull<u8>, bytes: usize, value: u8) -> bool {
    // SAFETY: the run is `bytes` long, initialised and ours.
    let run = unsafe { std::slice::from_raw_parts(run.as_ptr(), bytes) };
    run == vec![value; bytes]
}

#[test]
fn runs_are_aligned_zeroed_and_do_not_overlap() {
    let arena = PageArena::new(usize::MAX);
    let sizes = [PAGE_BYTES, 1 << 16, LARGEST_RUN_BYTES];
    let runs: Vec<_> = sizes
        .iter()
        .flat_map(|&bytes| {
            take(&arena, 5, bytes)
                .into_iter()
                .map(move |run| (run, bytes))
        })
        .collect();
    for (number, &(run, bytes)) in runs.iter().enumerate() {
        assert_eq!(run.addr().get() % bytes, 0);
        assert!(holds(run, bytes, 0));
        fill(run, bytes, number as u8 + 1);
    }
    for (number, &(run, bytes)) in runs.iter().enumerate() {
        assert!(holds(run, bytes, number as u8 + 1));
    }
    let expected = 5 * sizes.iter().sum::<usize>();
    assert_eq!(arena.statistics().allocated_bytes, expected);
    for (run, bytes) in runs {
        give(&arena, [run], bytes);
    }
    assert_eq!(arena.statistics().allocated_bytes, 0);
}

#[test]
fn released_runs_are_used_again_and_zeroed() {
    let arena = PageArena::new(usize::MAX);
    let runs = take(&arena, 8, PAGE_BYTES);
    runs.iter().for_each(|&run| fill(run, PAGE_BYTES, 0xaa));
    give(&arena, runs.clone(), PAGE_BYTES);
    assert_eq!(arena.statistics().idle_bytes, 8 * PAGE_BYTES);
    let again = take(&arena, 8, PAGE_BYTES);
    assert_eq!(again, runs);
    assert!(again.iter().all(|&run| holds(run, PAGE_BYTES, 0)));
    assert_eq!(arena.statistics().idle_bytes, 0);
    give(&arena, again, PAGE_BYTES);
}

#[test]
fn wholly_free_regions_go_back_but_one() {
    let arena = PageArena::new(usize::MAX);
    let runs = take(&arena, 4 * RUNS, PAGE_BYTES);
    assert_eq!(arena.statistics().mapped_bytes, 4 * REGION_BYTES);
    give(&arena, runs, PAGE_BYTES);
    assert_eq!(arena.statistics().mapped_bytes, REGION_BYTES);
    assert_eq!(arena.statistics().allocated_bytes, 0);
    assert!(
        arena.statistics().idle_bytes <= LEAST_IDLE_BYTES.max(REGION_BYTES * cfg!(miri) as usize)
    );
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn idle_memory_is_given_back_in_bulk_and_reads_as_zeros_again() {
    let arena = PageArena::new(usize::MAX);
    let runs = take(&arena, RUNS, PAGE_BYTES);
    runs.iter().for_each(|&run| fill(run, PAGE_BYTES, 0xaa));
    let (kept, dropped): (Vec<_>, Vec<_>) = runs
        .iter()
        .partition(|run| (run.addr().get() / PAGE_BYTES).is_multiple_of(4));
    give(&arena, dropped, PAGE_BYTES);
    assert!(arena.statistics().idle_bytes <= LEAST_IDLE_BYTES);
    assert!(kept.iter().all(|&run| holds(run, PAGE_BYTES, 0xaa)));
    let again = take(&arena, RUNS - kept.len(), PAGE_BYTES);
    assert!(again.iter().all(|&run| holds(run, PAGE_BYTES, 0)));
    give(&arena, again.into_iter().chain(kept), PAGE_BYTES);
}

#[test]
fn the_limit_is_an_error_and_releasing_makes_room() {
    let arena = PageArena::new(REGION_BYTES);
    let mut runs = take(&arena, RUNS, PAGE_BYTES);
    for bytes in [PAGE_BYTES, LARGEST_RUN_BYTES] {
        let refused = arena.allocate(bytes).err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::Memory));
    }
    give(&arena, runs.pop(), PAGE_BYTES);
    runs.extend(take(&arena, 1, PAGE_BYTES));
    give(&arena, runs, PAGE_BYTES);
}

#[test]
fn lengths_that_are_no_run_are_refused() {
    let arena = PageArena::new(usize::MAX);
    for bytes in [0, 1, 4095, 4097, 12288, 2 * LARGEST_RUN_BYTES, usize::MAX] {
        let refused = arena.allocate(bytes).err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::Invalid), "{bytes}");
    }
}

#[test]
fn threads_share_an_arena_without_sharing_a_run() {
    let arena = PageArena::new(usize::MAX);
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    std::thread::scope(|scope| {
        for thread in 1..=4u8 {
            let arena = &arena;
            scope.spawn(move || {
                let mut held = std::collections::VecDeque::new();
                for _ in 0..rounds {
                    let run = arena.allocate(PAGE_BYTES).unwrap();
                    assert!(holds(run, PAGE_BYTES, 0));
                    fill(run, PAGE_BYTES, thread);
                    held.push_back(run);
                    if held.len() > 7 {
                        let oldest = held.pop_front().unwrap();
                        assert!(holds(oldest, PAGE_BYTES, thread));
                        give(arena, [oldest], PAGE_BYTES);
                    }
                }
                give(arena, held, PAGE_BYTES);
            });
        }
    });
    assert_eq!(arena.statistics().allocated_bytes, 0);
}

/// An arena of just so many regions that others are made ahead, all taken, and what was asked for.
#[cfg(not(miri))]
fn large_arena() -> (
    PageArena,
    Vec<NonNull<u8>>,
    std::sync::Arc<std::sync::atomic::AtomicUsize>,
) {
    let arena = PageArena::new(usize::MAX);
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = asked.clone();
    arena.ask_before_growth(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let runs = take(&arena, HUGE_FROM_BYTES / PAGE_BYTES - RUNS / 2, PAGE_BYTES);
    (arena, runs, asked)
}

#[test]
#[cfg(not(miri))]
fn the_next_region_is_asked_for_once_and_made_before_it_is_needed() {
    let (arena, mut runs, asked) = large_arena();
    let asked = || asked.load(std::sync::atomic::Ordering::Relaxed);
    let before = arena.statistics();
    arena.prepare();
    assert_eq!((asked(), arena.statistics()), (0, before), "nobody asked");
    runs.extend(take(&arena, RUNS / 2 - 1, PAGE_BYTES));
    assert_eq!(asked(), 1);
    arena.prepare();
    let made = arena.statistics();
    assert_eq!(made.mapped_bytes, HUGE_FROM_BYTES + REGION_BYTES);
    arena.prepare();
    assert_eq!(arena.statistics(), made, "one is enough");
    runs.extend(take(&arena, 1 + RUNS / 2, PAGE_BYTES));
    assert_eq!(arena.statistics().mapped_bytes, made.mapped_bytes);
    assert!(
        runs[runs.len() - RUNS / 2..]
            .iter()
            .all(|&run| holds(run, PAGE_BYTES, 0))
    );
    assert_eq!(asked(), 1, "half of the region is free");
    give(&arena, runs, PAGE_BYTES);
    assert_eq!(arena.statistics().mapped_bytes, REGION_BYTES);
    assert!(arena.statistics().idle_bytes <= REGION_BYTES);
}

#[test]
#[cfg(not(miri))]
fn what_was_made_ahead_stays_while_little_else_is_idle() {
    let (arena, mut runs, _) = large_arena();
    runs.extend(take(&arena, RUNS / 2, PAGE_BYTES));
    arena.prepare();
    let idle_bytes = arena.statistics().idle_bytes;
    for _ in 0..3 {
        give(&arena, runs.split_off(runs.len() - RUNS / 8), PAGE_BYTES);
        runs.extend(take(&arena, RUNS / 8, PAGE_BYTES));
    }
    assert_eq!(arena.statistics().idle_bytes, idle_bytes);
    give(&arena, runs, PAGE_BYTES);
}

#[test]
#[cfg(not(miri))]
fn no_region_is_made_ahead_beyond_the_limit() {
    let arena = PageArena::new(HUGE_FROM_BYTES);
    arena.ask_before_growth(|| {});
    let runs = take(&arena, HUGE_FROM_BYTES / PAGE_BYTES, PAGE_BYTES);
    arena.prepare();
    assert_eq!(arena.statistics().mapped_bytes, HUGE_FROM_BYTES);
    give(&arena, runs, PAGE_BYTES);
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn runs_and_figures_are_right_through_growing_and_shrinking_with_huge_pages() {
    for asks in [false, true] {
        let arena = PageArena::new(usize::MAX);
        if asks {
            arena.ask_before_growth(|| {});
        }
        let mut runs = Vec::new();
        let check = |arena: &PageArena, runs: &[NonNull<u8>], what: &str| {
            let statistics = arena.statistics();
            assert_eq!(
                statistics.allocated_bytes,
                runs.len() * PAGE_BYTES,
                "{what}"
            );
            let counted = statistics.allocated_bytes + statistics.idle_bytes;
            assert!(counted <= statistics.mapped_bytes, "{what}: {statistics:?}");
        };
        for _ in 0..HUGE_FROM_BYTES / REGION_BYTES * 3 {
            runs.extend(take(&arena, RUNS, PAGE_BYTES));
            runs[runs.len() - RUNS..]
                .iter()
                .for_each(|&run| fill(run, PAGE_BYTES, 1));
            arena.prepare();
            check(&arena, &runs, "growing");
        }
        while runs.len() > 3 * RUNS {
            // Every third, so that regions are broken up before they are free.
            let mut number = 0;
            let (rest, given) = runs.into_iter().partition(|_| {
                number += 1;
                number % 3 != 0
            });
            runs = rest;
            let given: Vec<_> = given;
            assert!(given.iter().all(|&run| holds(run, PAGE_BYTES, 1)));
            give(&arena, given, PAGE_BYTES);
            check(&arena, &runs, "shrinking");
            let again = take(&arena, RUNS / 4, PAGE_BYTES);
            assert!(again.iter().all(|&run| holds(run, PAGE_BYTES, 0)));
            again.iter().for_each(|&run| fill(run, PAGE_BYTES, 1));
            runs.extend(again);
        }
        give(&arena, runs, PAGE_BYTES);
        assert_eq!(arena.statistics().allocated_bytes, 0);
        assert!(arena.statistics().idle_bytes <= REGION_BYTES);
    }
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn the_budget_pays_for_what_is_resident_and_gets_it_back() {
    let budget = Arc::new(MemoryBudget::new(0));
    let arena = PageArena::within(budget.clone());
    let resident = |arena: &PageArena| {
        let statistics = arena.statistics();
        (statistics.allocated_bytes + statistics.idle_bytes) as u64
    };
    let runs = take(&arena, 3 * RUNS, PAGE_BYTES);
    assert_eq!(budget.used(), 3 * REGION_BYTES as u64);
    give(&arena, runs, PAGE_BYTES);
    assert_eq!(budget.used(), resident(&arena));
    let large = take(&arena, 2, LARGEST_RUN_BYTES);
    assert_eq!(budget.used(), resident(&arena));
    arena.trim();
    assert_eq!(budget.used(), 2 * LARGEST_RUN_BYTES as u64);
    give(&arena, large, LARGEST_RUN_BYTES);
    drop(arena);
    assert_eq!(budget.used(), 0);
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn at_the_limit_idle_memory_serves_before_anything_is_refused() {
    let budget = Arc::new(MemoryBudget::new(4 << 20));
    let arena = PageArena::within(budget.clone());
    let limit = budget.growth_limit().unwrap() as usize;
    let mut runs = take(&arena, limit / PAGE_BYTES, PAGE_BYTES);
    assert!(arena.allocate(PAGE_BYTES).is_err());
    assert_eq!(budget.used() as usize, limit);
    // Idle runs of the same length, which lie behind one that was never used.
    give(&arena, runs.drain(10..20), PAGE_BYTES);
    runs.extend(take(&arena, 10, PAGE_BYTES));
    assert!(arena.allocate(PAGE_BYTES).is_err());
    // Idle memory of another length.
    give(&arena, runs.drain(..16), PAGE_BYTES);
    let large = take(&arena, 1, 16 * PAGE_BYTES);
    assert!(arena.allocate(PAGE_BYTES).is_err());
    assert!(budget.used() as usize <= limit);
    give(&arena, large, 16 * PAGE_BYTES);
    give(&arena, runs, PAGE_BYTES);
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_region_that_would_burst_the_budget_is_not_made_ahead() {
    for (budget_bytes, made) in [(34 << 20, false), (64 << 20, true)] {
        let budget = Arc::new(MemoryBudget::new(budget_bytes));
        let arena = PageArena::within(budget.clone());
        arena.ask_before_growth(|| {});
        let runs = take(&arena, HUGE_FROM_BYTES / PAGE_BYTES - 1, PAGE_BYTES);
        let before = budget.used();
        arena.prepare();
        assert!(budget.used() <= budget.growth_limit().unwrap());
        // Where the system has no huge pages, there is nothing to be seen.
        assert!(made || budget.used() == before);
        give(&arena, runs, PAGE_BYTES);
    }
}

//! What a process that measured one store prints.

use crate::outcome::{ALL, AT_REST, AT_WORK, Phase};
use crate::phase::{SLOT, Seen};
use crate::recording::{Operation, Recording};

/// A stall, in nanoseconds.
const STALL: u32 = 1_000_000;
/// Of the operations that took longest, waiting for a processor apart, so many are told.
const SLOWEST: usize = 10;
/// Into so many windows of the same length the time is divided.
const WINDOWS: usize = 60;

/// Prints how long operations took: all, those that met the store's threads at work, and those that did not.
pub fn latencies(phase: Phase, seen: &Seen) {
    for (kind, recording) in [("put", &seen.puts), ("get", &seen.gets)] {
        let met = |operation: &Operation| met_work(operation, &seen.at_work);
        for (name, wanted) in [(ALL, None), (AT_WORK, Some(true)), (AT_REST, Some(false))] {
            let is_wanted =
                |operation: &Operation| wanted.is_none_or(|wanted| met(operation) == wanted);
            tell_group(phase, kind, name, recording, is_wanted);
        }
        let mut slow = recording.slow.clone();
        slow.sort_unstable_by_key(|slow| std::cmp::Reverse(slow.own()));
        for slow in slow.iter().take(SLOWEST) {
            let Operation { at, took } = slow.operation;
            let work = match met(&slow.operation) {
                true => AT_WORK,
                false => AT_REST,
            };
            let waited = slow.waited;
            println!(
                "slow\t{}\t{kind}\t{at}\t{took}\t{waited}\t{work}",
                phase.name()
            );
        }
    }
    let slots = seen.at_work.iter().filter(|at_work| **at_work).count();
    let part = slots as f64 / seen.at_work.len().max(1) as f64;
    println!("at work\t{}\t{part}", phase.name());
}

fn tell_group(
    phase: Phase,
    kind: &str,
    name: &str,
    recording: &Recording,
    is_wanted: impl Fn(&Operation) -> bool,
) {
    let wanted = recording.operations.iter().filter(|it| is_wanted(it));
    let mut times: Vec<u32> = wanted.map(|operation| operation.took).collect();
    times.sort_unstable();
    let [half, of_100, of_1000, longest] =
        [0.5, 0.99, 0.999, 1.0].map(|part| quantile(&times, part));
    let stalls = times.iter().rev().take_while(|took| **took > STALL).count();
    // What is left of a stall without the time that its thread was ready and had no processor.
    let slow = recording.slow.iter();
    let own = slow.filter(|slow| is_wanted(&slow.operation));
    let own = own.filter(|slow| slow.own() > u64::from(STALL));
    let (count, own, phase) = (times.len(), own.count(), phase.name());
    println!(
        "latency\t{phase}\t{kind}\t{name}\t{count}\t{half}\t{of_100}\t{of_1000}\t{longest}\t{stalls}\t{own}"
    );
}

/// The time within which this part of the sorted `times` lies.
fn quantile(times: &[u32], part: f64) -> u32 {
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * part) as usize).copied().unwrap_or(0)
}

/// Whether the store's threads were at work while this ran.
fn met_work(operation: &Operation, at_work: &[bool]) -> bool {
    let slot = |microseconds: u64| microseconds as usize / SLOT.as_micros() as usize;
    let first = slot(operation.at.into());
    let last = slot(u64::from(operation.at) + u64::from(operation.took / 1000));
    (first..=last).any(|slot| at_work.get(slot).is_some_and(|it| *it))
}

/// Prints space, writing and latencies over time, in which each of `pairs` pairs is overwritten again and again.
pub fn course(seen: &Seen, pairs: u64) {
    for sample in &seen.samples {
        let counters = sample.counters.unwrap_or_default();
        println!(
            "sample\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            sample.seconds,
            sample.puts as f64 / pairs as f64,
            sample.disk_bytes,
            sample.written,
            counters.disk_bytes,
            counters.live_bytes,
            counters.written_bytes,
            counters.compaction_bytes,
        );
    }
    let length = seen.samples.last().map_or(0.0, |last| last.seconds) / WINDOWS as f64;
    for (kind, recording) in [("put", &seen.puts), ("get", &seen.gets)] {
        let window = |operation: &Operation| (f64::from(operation.at) / 1e6 / length) as usize;
        // They began one after the other.
        for operations in recording
            .operations
            .chunk_by(|one, next| window(one) == window(next))
        {
            let mut times: Vec<u32> = operations.iter().map(|it| it.took).collect();
            times.sort_unstable();
            let middle = (window(&operations[0]) as f64 + 0.5) * length;
            let [of_100, longest] = [0.99, 1.0].map(|part| quantile(&times, part));
            println!("window\t{kind}\t{middle}\t{of_100}\t{longest}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_met_work_if_any_slot_that_it_touched_had_some() {
        let at_work = [false, true, false];
        let operation = |at, took| Operation { at, took };
        assert!(!met_work(&operation(9_000, 500_000), &at_work));
        assert!(met_work(&operation(9_000, 2_000_000), &at_work));
        assert!(met_work(&operation(19_999, 0), &at_work));
        assert!(!met_work(&operation(20_000, 50_000_000), &at_work));
    }

    #[test]
    fn quantiles_of_nothing_are_nothing_and_of_one_are_that() {
        assert_eq!(quantile(&[], 0.5), 0);
        assert_eq!(quantile(&[7], 0.99), 7);
        assert_eq!(quantile(&[1, 2, 3], 0.5), 2);
    }
}

//! All the ways in which calls fail.

use freyja::vfs::simulated::{Call, Effect, Operation, Repeat};

use crate::judge::{Run, run};
use crate::scenario::{SCENARIOS, SETTINGS, Scenario, Setting, prepare};
use crate::watchdog::Watchdog;

pub const ERRORS: [(&str, i32); 10] = [
    ("EIO", libc::EIO),
    ("ENOSPC", libc::ENOSPC),
    ("EDQUOT", libc::EDQUOT),
    ("EMFILE", libc::EMFILE),
    ("EACCES", libc::EACCES),
    ("EROFS", libc::EROFS),
    ("ENOMEM", libc::ENOMEM),
    ("EFBIG", libc::EFBIG),
    ("EINTR", libc::EINTR),
    ("ESTALE", libc::ESTALE),
];
const REPEATS: [Repeat; 3] = [Repeat::Once, Repeat::SameOperation, Repeat::Always];
const EFFECTS: [Effect; 3] = [Effect::Before, Effect::Partial, Effect::After];
const WAYS: u64 = (ERRORS.len() * REPEATS.len() * EFFECTS.len()) as u64;

/// How many of the ways to fail are tried.
#[derive(Clone, Copy)]
pub enum Amount {
    All,
    /// One in so many for each call, others for the next.
    OneIn(u64),
}

/// A fault: which call, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: u64,
    pub errno: i32,
    pub repeat: Repeat,
    pub effect: Effect,
}

/// `FREYJA_FAULT=scenario:setting:call:way` runs that one only.
fn replay() -> Option<[u64; 4]> {
    let text = std::env::var("FREYJA_FAULT").ok()?;
    let numbers: Vec<u64> = text.split(':').map(|it| it.parse().unwrap()).collect();
    Some(numbers.try_into().expect("four numbers"))
}

fn fault(call: u64, way: u64) -> (Fault, &'static str) {
    let way = way as usize;
    let (name, errno) = ERRORS[way % ERRORS.len()];
    let rest = way / ERRORS.len();
    let fault = Fault {
        call,
        errno,
        repeat: REPEATS[rest % REPEATS.len()],
        effect: EFFECTS[rest / REPEATS.len()],
    };
    (fault, name)
}

/// Tries the failures of all calls of all scenarios.
pub fn sweep(amount: Amount) {
    let watchdog = Watchdog::start();
    let only = replay();
    let mut total = 0;
    for (scenario_number, scenario) in (0..).zip(&SCENARIOS) {
        for (setting_number, setting) in (0..).zip(SETTINGS) {
            if only.is_some_and(|it| (it[0], it[1]) != (scenario_number, setting_number)) {
                continue;
            }
            let calls = calls_of(scenario, setting);
            let mut tried = 0;
            for call in &calls {
                for way in 0..WAYS {
                    let chosen = match (only, amount) {
                        (Some(it), _) => (it[2], it[3]) == (call.index, way),
                        (None, Amount::All) => true,
                        (None, Amount::OneIn(many)) => (call.index * 7 + way).is_multiple_of(many),
                    };
                    // Writing into mapped memory cannot fail.
                    if !chosen || call.operation == Operation::MappedWrite {
                        continue;
                    }
                    let (fault, name) = fault(call.index, way);
                    let what = format!(
                        "FREYJA_FAULT={scenario_number}:{setting_number}:{}:{way} ({}, {setting:?}, {:?} of {} fails with {name}, {:?}, {:?})",
                        call.index,
                        scenario.name,
                        call.operation,
                        call.path.display(),
                        fault.repeat,
                        fault.effect
                    );
                    watchdog.watch(what.clone());
                    if let Err(wrong) = run(&Run {
                        scenario,
                        setting,
                        fault: Some(fault),
                    }) {
                        panic!("{what}: {wrong}");
                    }
                    tried += 1;
                }
            }
            println!(
                "{}, setting {setting_number}: {} calls, {tried} failures",
                scenario.name,
                calls.len()
            );
            total += tried;
        }
    }
    println!("{total} failures of calls");
    assert!(total > 0, "nothing was tried");
}

/// The calls that a scenario makes if none fails.
fn calls_of(scenario: &Scenario, setting: Setting) -> Vec<Call> {
    let (disk, _) = prepare(setting, scenario.before, crate::judge::SEED);
    let calls = crate::judge::trace(
        &Run {
            scenario,
            setting,
            fault: None,
        },
        &disk,
    );
    assert!(calls.len() > 10);
    calls
}

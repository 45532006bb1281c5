//! The process that writes until the power goes.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::mounted::Mounted;
use crate::oracle::{Floor, State, THREADS};

/// Lets writers go on from `state` for about `delay`, cuts the power under them, and turns it on again. Answers what
/// they had been promised.
pub fn run_until_cut(
    program: &Path,
    store: &Path,
    mode: &str,
    state: &State,
    delay: Duration,
    mounted: &Mounted,
) -> Floor {
    let mut child = Command::new(program)
        .arg("writers")
        .arg(store)
        .arg(mode)
        .args(state.rounds.map(|rounds| rounds.to_string()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    // Read all the while, so that no writer waits for room in the pipe.
    let reader = std::thread::spawn({
        let told = told.clone();
        move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut part) {
                told.lock().unwrap().extend_from_slice(&part[..length]);
            }
        }
    });
    std::thread::sleep(delay);
    // An fdatasync that is under way meanwhile answers success on XFS though nothing of it gets to the disk: a bare pwrite and
    // fdatasync shows that once in some sixty cuts. So only what has been said before the cut was promised.
    let before_the_cut = told.lock().unwrap().len();
    mounted.cut();
    // What still runs hears of the failing disk; then it is over.
    std::thread::sleep(Duration::from_millis(2));
    child.kill().unwrap();
    let ended = child.wait_with_output().unwrap();
    reader.join().unwrap();
    let told = told.lock().unwrap();
    let complaint = String::from_utf8_lossy(&ended.stderr);
    // A store cannot be opened on a dead disk; nothing else may be complained of.
    assert!(
        complaint.is_empty() || complaint.starts_with("cannot open"),
        "{complaint}"
    );
    mounted.power_on();
    floor(&told, before_the_cut, state)
}

/// What the acknowledgements say, of which those in the first `promised` bytes can be relied on.
fn floor(told: &[u8], promised: usize, state: &State) -> Floor {
    let mut floor = Floor {
        durable: state.rounds,
        acknowledged: state.rounds,
    };
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let (messages, rest) = told.as_chunks::<12>();
    assert!(rest.is_empty());
    for (at, message) in messages.iter().enumerate() {
        let [thread, round, durable] = [0, 4, 8].map(|at| number(&message[at..at + 4]));
        let thread = thread as usize;
        assert!(thread < THREADS && round == floor.acknowledged[thread]);
        floor.acknowledged[thread] += 1;
        if durable != 0 && (at + 1) * message.len() <= promised {
            floor.durable[thread] = round + 1;
        }
    }
    floor
}

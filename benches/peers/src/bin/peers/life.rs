//! What a process does that measures one store.

use std::time::Instant;

use freyja_peers::engine::{Calls, Durability, Engine, Opening};

use crate::arguments::{Arguments, Child, Task};
use crate::timing::{self, tell};
use crate::workload::{Books, Work};
use crate::{durable, many};
use freyja_peers::resources::{read, resident, written};

/// Does what `child` says, and prints lines which [`crate::results`] knows.
pub fn live(child: &Child, arguments: &Arguments) {
    let (pairs, value_len) = (arguments.pairs[0], arguments.value_lens[0]);
    let durability = match child.task {
        Task::Durable => Durability::Synced,
        _ => Durability::Cached,
    };
    let mut opening = Opening::new(durability, pairs, value_len);
    opening.tells_all = child.task != Task::FillUntold;
    opening.checks_values = child.task != Task::ReadTrusting;
    let mut books = Books::new(pairs, value_len, child.kind.answers);
    let first = books.plan(Work::GetHit);
    let before = resident();
    let began = Instant::now();
    let engine = match child.kind.open(&arguments.directory, &opening) {
        Ok(engine) => engine,
        Err(absent) => {
            println!("absent\t{}", absent.0);
            return;
        }
    };
    match child.task {
        Task::Work => {
            println!("version\t{}", engine.version());
            work(&*engine, &mut books, before);
        }
        Task::FillTogether => {
            let plan = books.plan(Work::Fill);
            let mut session = engine.session();
            many::put("fill, 100 together", &plan, &mut *session, &mut books);
        }
        Task::FillPacked => {
            let plan = books.plan(Work::Fill);
            if let Some(mut session) = engine.session_by(Calls::Packed) {
                many::put("fill, 100 packed", &plan, &mut *session, &mut books);
            }
        }
        Task::FillUntold => fill(&*engine, &mut books).tell("fill, not told how many", &books),
        Task::ReadTrusting => {
            fill(&*engine, &mut books);
            read_trusting(&*engine, &mut books);
        }
        Task::FillAndClose => {
            fill(&*engine, &mut books);
        }
        Task::FillAndDie => {
            fill(&*engine, &mut books);
            println!("filled");
            // SAFETY: sends a signal to this very process; no memory is involved.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        Task::Open | Task::OpenKilled => {
            let mut books = books.filled();
            first.step(0, &mut *engine.session(), &mut books);
            tell("opened", began.elapsed().as_secs_f64() * 1e3);
            tell("read", read().unwrap_or(0) as f64);
            let done = timing::run(&first, &mut *engine.session(), &mut books);
            match child.task {
                Task::OpenKilled => tell("lost", done.wrong as f64),
                _ => books.judge("open", done.wrong),
            }
        }
        Task::Durable => durable::put(&*engine, books.pairs(), child.kind.answers),
    }
    engine.close();
}

fn fill(engine: &dyn Engine, books: &mut Books) -> timing::Done {
    let plan = books.plan(Work::Fill);
    timing::run(&plan, &mut *engine.session(), books)
}

fn work(engine: &dyn Engine, books: &mut Books, before: [u64; 2]) {
    for (work, name) in Work::ALL {
        let written_before = written();
        let plan = books.plan(work);
        timing::run(&plan, &mut *engine.session(), books).tell(name, books);
        if let (Some(before), Some(after)) = (written_before, written())
            && [Work::Fill, Work::Overwrite].contains(&work)
        {
            tell(&format!("written by {name}"), (after - before) as f64);
        }
        if work == Work::GetMiss {
            let now = resident();
            let [anonymous, file] = [0, 1].map(|at| now[at].saturating_sub(before[at]));
            tell("memory, anonymous", anonymous as f64);
            tell("memory, of files", file as f64);
            tell("memory, all", (anonymous + file) as f64);
            read_otherwise(engine, books);
        }
    }
}

/// Reads all pairs of a store that does not compare them with their checksums.
fn read_trusting(engine: &dyn Engine, books: &mut Books) {
    let plan = books.plan(Work::GetHit);
    timing::run(&plan, &mut *engine.session(), books).tell("get hit, key checked", books);
    if let Some(mut session) = engine.session_by(Calls::Pinned) {
        timing::run(&plan, &mut *session, books).tell("get hit, pinned, key checked", books);
    }
    many::scan("scan, unchecked", &mut *engine.session(), books);
}

/// Reads all pairs in other ways than by one get for each.
fn read_otherwise(engine: &dyn Engine, books: &mut Books) {
    let plan = books.plan(Work::GetHit);
    many::scan("scan", &mut *engine.session(), books);
    many::get("get hit, 64 together", &plan, &mut *engine.session(), books);
    for (calls, name) in [
        (Calls::Owned, "get hit, owned"),
        (Calls::Pinned, "get hit, pinned"),
    ] {
        if let Some(mut session) = engine.session_by(calls) {
            timing::run(&plan, &mut *session, books).tell(name, books);
        }
    }
    if let Some(mut session) = engine.session_by(Calls::Owned) {
        many::scan("scan, one by one", &mut *session, books);
    }
}

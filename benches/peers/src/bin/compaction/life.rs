//! What a process does that measures one store.

use std::path::Path;

use freyja_peers::engine::{Absent, Durability, Engine, Opening};

use crate::arguments::{Arguments, Child};
use crate::books::Books;
use crate::outcome::Phase;
use crate::phase;
use crate::tell;

/// Measures, and prints lines that [`crate::outcome`] knows.
pub fn live(child: &Child, arguments: &Arguments) {
    let lived = idle(child, arguments).and_then(|()| overwrite(child, arguments));
    if let Err(Absent(why)) = lived {
        println!("absent\t{why}");
    }
}

/// Puts and gets while nothing is compacted: by stores that can be told so, and by others because it all has room in memory.
fn idle(child: &Child, arguments: &Arguments) -> Result<(), Absent> {
    let bytes = arguments.put_bytes_per_second as f64 * arguments.idle.as_secs_f64();
    let directory = arguments.directory.join("idle");
    let opening = opening(arguments);
    let books = load(child, &opening, &directory, arguments)?;
    let opening = Opening {
        compacts: false,
        write_buffer: 4 * bytes as usize,
        ..opening
    };
    let engine = child.kind.open(&directory, &opening)?;
    phase::settle();
    let count = bytes as u64 / arguments.pair_len();
    let seen = phase::run(&*engine, &books, child.keys, count, &directory, arguments);
    tell::latencies(Phase::Idle, &seen);
    engine.close();
    std::fs::remove_dir_all(&directory).expect("what a store left can be removed");
    Ok(())
}

fn overwrite(child: &Child, arguments: &Arguments) -> Result<(), Absent> {
    let directory = arguments.directory.join("overwrite");
    let opening = opening(arguments);
    let books = load(child, &opening, &directory, arguments)?;
    let engine = child.kind.open(&directory, &opening)?;
    println!("version\t{}", engine.version());
    phase::settle();
    let count = books.count() * arguments.times;
    let seen = phase::run(&*engine, &books, child.keys, count, &directory, arguments);
    tell::latencies(Phase::Overwrite, &seen);
    tell::course(&seen, books.count());
    check_all(&*engine, &books);
    engine.close();
    Ok(())
}

fn opening(arguments: &Arguments) -> Opening {
    Opening {
        write_buffer: arguments.write_buffer(),
        ..Opening::new(Durability::Cached, arguments.pairs(), arguments.value_len)
    }
}

/// Makes a store of all pairs and closes it.
fn load(
    child: &Child,
    opening: &Opening,
    directory: &Path,
    arguments: &Arguments,
) -> Result<Books, Absent> {
    let books = Books::new(arguments.pairs(), arguments.value_len);
    let engine = child.kind.open(directory, opening)?;
    books.fill(&mut *engine.session());
    phase::settle();
    engine.close();
    Ok(books)
}

fn check_all(engine: &dyn Engine, books: &Books) {
    let mut session = engine.session();
    let mut seen = Vec::new();
    for number in 0..books.count() {
        books.get(number, &mut *session, &mut seen, |get| get());
    }
}

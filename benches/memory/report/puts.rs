//! How long the puts of a fill took.

use super::{none, table};
use crate::latency::NAMES;
use crate::results::Results;

pub fn section(results: &Results) -> String {
    let on_the_clock = NAMES.map(|name| format!("{name}, µs"));
    let of_the_processor = NAMES.map(|name| format!("processor {name}, µs"));
    let headings = [&on_the_clock[..], &of_the_processor[..]].concat();
    let mut headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    headings.push("processor in the slowest, µs");
    let table = table(results, &headings, |figures| match figures.filled.puts {
        Some(puts) => {
            let times = puts.wall.iter().chain(&puts.processor);
            let times = times.chain([&puts.processor_of_slowest]);
            let microseconds = |nanoseconds: &u64| format!("{:.1}", *nanoseconds as f64 / 1e3);
            times.map(microseconds).collect()
        }
        None => vec![none(); headings.len()],
    });
    format!(
        "## How long a put takes while filling\n\n\
         On the clock, with all that the machine did meanwhile: other programs, and the system writing files back. Processor: the time \
         that\nthe thread had a processor, reading that clock included. For the store both include work on files; what the index alone \
         takes,\n`make bench-index` says.\n\n{table}"
    )
}

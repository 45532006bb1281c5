//! The result as a document.

use crate::Arguments;
use crate::contestants::{Contestant, Jemalloc, Mimalloc, Pool, System};
use crate::machine;
use crate::measure::{Measured, Row, Series};
use crate::store::GetPath;
use crate::table::Table;

/// The whole document.
pub fn text(arguments: &Arguments, measured: &Measured, store: &GetPath) -> String {
    let sections = [
        "# The buffer pool beside other allocators".to_owned(),
        origin(arguments),
        "## Without clearing\n\nNanoseconds an operation, and how many times as long as Freyja the others take.".into(),
        table(measured, |row| row.workload.number > 0 && !row.clear),
        "## With clearing\n\nThe same, and every contestant's memory is set to 0 after each get, by the same call.".into(),
        table(measured, |row| row.workload.number > 0 && row.clear),
        "## One size\n\nGet and release of one size with the standard classes, without clearing.".into(),
        table(measured, |row| row.workload.number == 0 && !row.clear),
        headlines(measured, store),
    ];
    let sections: Vec<&str> = sections.iter().map(|section| section.trim_end()).collect();
    sections.join("\n\n") + "\n"
}

fn origin(arguments: &Arguments) -> String {
    format!(
        "`make bench-pool` on {}; {}; commit {}. Medians of {} rounds in which the contestants take turns, {} ms of processor \
         time each. All are called through functions that are not inlined, in one process and one thread.",
        machine::description(),
        machine::date(),
        machine::commit(),
        arguments.rounds,
        arguments.milliseconds,
    )
}

fn table(measured: &Measured, wanted: impl Fn(&Row) -> bool) -> String {
    let names = [Pool::NAME, System::NAME, Mimalloc::NAME, Jemalloc::NAME];
    let mut headings = vec!["#", "workload"];
    headings.extend(names);
    let ratios: Vec<String> = names[1..]
        .iter()
        .map(|name| format!("{name} / Freyja"))
        .collect();
    headings.extend(ratios.iter().map(String::as_str));
    let mut table = Table::new(2, &headings);
    for row in measured.rows.iter().filter(|row| wanted(row)) {
        let number = match row.workload.number {
            0 => String::new(),
            number => number.to_string(),
        };
        let mut cells = vec![number, row.workload.name.to_owned()];
        let medians: Vec<_> = row.series.iter().map(Series::median).collect();
        cells.extend(medians.iter().map(|median| number_text(*median)));
        cells.extend(
            medians[1..]
                .iter()
                .map(|other| ratio_text(*other, medians[0])),
        );
        table.add(cells);
    }
    table.to_string()
}

fn headlines(measured: &Measured, store: &GetPath) -> String {
    let freyja = |number: u32, clear: bool| {
        let mut rows = measured.rows.iter();
        let row = rows.find(|row| row.workload.number == number && row.clear == clear);
        row.map(|row| [row.series[0].median(), row.series[1].median()])
            .unwrap_or_default()
    };
    let direct = measured.direct.median();
    let (basic, cleared) = (freyja(1, false)[0], freyja(1, true)[0]);
    let ([platform, _], [platform_cleared, other_cleared]) = (freyja(15, false), freyja(15, true));
    format!(
        "## In short\n\n\
         - Fresh zeroed memory of the sizes of #1, by calloc (#2): {} ns, {} times as long as #1, {} times as long as #1 with clearing.\n\
         - The platform's allocator with clearing (#15): {} ns, {} times as long as Freyja without clearing, {} times as long as Freyja \
           with the same clearing: what takes the time then is the clearing.\n\
         - The get path of a running store, values of 64 bytes to 4 KiB in four threads that each hold ten: {:.2} % of {} gets were \
           served from the thread's magazine.\n",
        number_text(direct),
        ratio_text(direct, basic),
        ratio_text(direct, cleared),
        number_text(other_cleared),
        ratio_text(other_cleared, platform),
        ratio_text(other_cleared, platform_cleared),
        store.hits as f64 * 100.0 / store.gets as f64,
        store.gets,
    )
}

fn number_text(number: Option<f64>) -> String {
    number.map_or("–".into(), |number| format!("{number:.1}"))
}

fn ratio_text(other: Option<f64>, own: Option<f64>) -> String {
    match (other, own) {
        (Some(other), Some(own)) => format!("{:.2}", other / own),
        _ => "–".into(),
    }
}

//! The picture: RAM against the number of keys while they are put.

use std::path::Path;

use plotters::prelude::*;

use crate::contestants::Kind;
use crate::key_sets::KeySet;
use crate::results::{Results, Row};
use crate::transcript::Sample;

const SIZE: (u32, u32) = (960, 560);
const KEYS: RGBColor = RGBColor(120, 120, 120);

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::KeysInMemory => RGBColor(27, 94, 170),
        Kind::KeysOnDisk => RGBColor(40, 140, 80),
        Kind::HashMap => RGBColor(200, 70, 40),
    }
}

/// Draws the largest number of keys that was measured, and one was, with the first set of keys of which that is so many.
pub fn draw(results: &Results, file: &Path) {
    draw_on(&drawn(results), file)
        .unwrap_or_else(|error| panic!("{}: could not be drawn: {error}", file.display()));
}

/// The rows to draw.
fn drawn(results: &Results) -> Vec<&Row> {
    let most = results.rows.iter().map(|row| row.count).max();
    let largest: Vec<&Row> = results
        .rows
        .iter()
        .filter(|row| Some(row.count) == most)
        .collect();
    // Keys of sixteen bytes, if there are such, are what most figures elsewhere are about.
    let sets = largest.iter().map(|row| row.set);
    let set = sets.min_by_key(|set| *set != KeySet::Fixed(16));
    let drawn = largest.into_iter().filter(|row| Some(row.set) == set);
    drawn.collect()
}

fn samples(row: &Row) -> &[Sample] {
    &row.figures.filled.samples
}

fn draw_on(drawn: &[&Row], file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let first = drawn[0];
    let million = |keys: u64| keys as f64 / 1e6;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let all = drawn.iter().flat_map(|row| samples(row));
    let highest = all.map(|sample| sample.highest).max().unwrap_or(0);

    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let caption = format!(
        "RAM while filling, keys of {}; pale: the highest seen in between",
        first.set.title()
    );
    let mut chart = ChartBuilder::on(&root)
        .caption(caption, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..million(first.count), 0.0..megabytes(highest) * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("million keys")
        .y_desc("MB (growth of RssAnon + RssShmem since empty)")
        .x_label_formatter(&|millions| format!("{millions:.1}"))
        .y_label_formatter(&|megabytes| format!("{megabytes:.0}"))
        .max_light_lines(0)
        .draw()?;
    for row in drawn {
        let (colour, samples) = (colour(row.kind), samples(row));
        // What was seen in between is drawn pale, so that spikes and steady use can be told apart.
        let seen = samples
            .iter()
            .map(|sample| (million(sample.keys), megabytes(sample.highest)));
        chart.draw_series(LineSeries::new(seen, colour.mix(0.35)))?;
        let steady = samples
            .iter()
            .map(|sample| (million(sample.keys), megabytes(sample.resident)));
        chart
            .draw_series(LineSeries::new(steady, colour.stroke_width(2)))?
            .label(row.kind.title())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    let keys = samples(first).iter();
    let keys = keys.map(|sample| (million(sample.keys), megabytes(sample.key_bytes)));
    chart
        .draw_series(LineSeries::new(keys, KEYS.stroke_width(1)))?
        .label("the keys' own bytes")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], KEYS.stroke_width(1)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 15))
        .background_style(WHITE)
        .border_style(KEYS)
        .draw()?;
    root.present()?;
    Ok(())
}

//! A picture for each size: what the stores do in a second.

use std::path::Path;

use freyja_peers::engine::Kind;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::arguments::Arguments;
use crate::parts::Size;
use crate::report;
use crate::results::Results;
use crate::rows::Row;

/// What is drawn, in this order, three in a line.
const DRAWN: [&str; 6] = [
    "fill",
    "get hit",
    "get zipf",
    "get miss",
    "overwrite",
    "scan",
];
const SIZE: (u32, u32) = (1020, 600);
const TITLE_HEIGHT: i32 = 34;
const NAMES_WIDTH: i32 = 100;
const NUMBER_WIDTH: i32 = 52;
const MARGIN: i32 = 10;
const FREYJA: RGBColor = RGBColor(27, 94, 170);
const OTHERS: RGBColor = RGBColor(170, 180, 190);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws what was measured of `size` into `file`.
pub fn draw(results: &Results, arguments: &Arguments, size: Size, file: &Path) {
    draw_on(results, arguments, size, file)
        .unwrap_or_else(|error| panic!("{}: could not be drawn: {error}", file.display()));
}

fn draw_on(results: &Results, arguments: &Arguments, size: Size, file: &Path) -> Drawn {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!(
        "{} pairs, 16 B keys, {} B values: thousands of operations a second",
        size.pairs, size.value_len
    );
    let root = root.titled(&title, ("sans-serif", 20))?;
    let kinds = report::measured(results, arguments);
    let kinds: Vec<&Kind> = kinds.filter(|kind| kind.is_store).collect();
    for (area, work) in root.split_evenly((2, 3)).iter().zip(DRAWN) {
        bars(area, results, size, &kinds, work)?;
    }
    root.present()?;
    Ok(())
}

/// A bar for each store, the longest as long as there is room.
fn bars(area: &Area<'_>, results: &Results, size: Size, kinds: &[&Kind], work: &str) -> Drawn {
    let (width, height) = area.dim_in_pixel();
    let row = Row::rate(work);
    let rates = kinds.iter();
    let rates: Vec<Option<f64>> = rates
        .map(|kind| report::number(results, size, kind.name, &row))
        .collect();
    let most = rates
        .iter()
        .flatten()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(width as i32 - NAMES_WIDTH - NUMBER_WIDTH - 2 * MARGIN);
    let step = (height as i32 - TITLE_HEIGHT - MARGIN) / kinds.len().max(1) as i32;
    let text = |size: i32, at| {
        let style = TextStyle::from(("sans-serif", size).into_font());
        style.pos(Pos::new(at, VPos::Center))
    };
    let middle = TITLE_HEIGHT / 2;
    area.draw(&Text::new(
        work.to_owned(),
        (MARGIN + NAMES_WIDTH, middle),
        text(16, HPos::Left),
    ))?;
    for (at, (kind, rate)) in kinds.iter().zip(rates).enumerate() {
        let top = TITLE_HEIGHT + at as i32 * step;
        let middle = top + step / 2;
        let left = MARGIN + NAMES_WIDTH;
        let name = kind.name.to_owned();
        area.draw(&Text::new(name, (left - 6, middle), text(13, HPos::Right)))?;
        let Some(rate) = rate else { continue };
        let right = left + (rate / most * room).round() as i32;
        let colour = match kind.name {
            "Freyja" => FREYJA,
            _ => OTHERS,
        };
        let bar = [(left, top + 2), (right, top + step - 3)];
        area.draw(&Rectangle::new(bar, colour.filled()))?;
        let number = report::digits(rate);
        area.draw(&Text::new(
            number,
            (right + 5, middle),
            text(12, HPos::Left),
        ))?;
    }
    Ok(())
}

//! A picture of what grows and what does not.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::OPERATIONS;
use crate::run::Measured;

const SIZE: (u32, u32) = (960, 900);
const COLOURS: [RGBColor; 4] = [
    RGBColor(200, 70, 40),
    RGBColor(220, 150, 40),
    RGBColor(27, 94, 170),
    RGBColor(40, 140, 80),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws what was measured into `file`.
pub fn draw(all: &[(u64, Measured)], file: &Path) {
    draw_on(all, file)
        .unwrap_or_else(|error| panic!("{}: could not be drawn: {error}", file.display()));
}

fn draw_on(all: &[(u64, Measured)], file: &Path) -> Drawn {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((3, 1));
    let same = |names: &[&'static str]| names.iter().map(|name| (*name, *name)).collect::<Vec<_>>();
    lines(
        &areas[0],
        all,
        "Nanoseconds an operation",
        &same(&OPERATIONS),
    )?;
    lines(
        &areas[1],
        all,
        "RAM, bytes a key, with the key's 16",
        &[("memory", "RAM")],
    )?;
    lines(
        &areas[2],
        all,
        "Reopening, milliseconds to the first answer",
        &[
            ("clean, opened", "clean"),
            ("killed, opened", "after a kill"),
        ],
    )?;
    root.present()?;
    Ok(())
}

/// A line for each of `names`, which are those of the numbers and those in the picture.
fn lines(
    area: &Area<'_>,
    all: &[(u64, Measured)],
    title: &str,
    names: &[(&str, &'static str)],
) -> Drawn {
    let (Some((first, _)), Some((last, _))) = (all.first(), all.last()) else {
        return Ok(());
    };
    let numbers = all
        .iter()
        .flat_map(|(_, measured)| names.iter().map(|(name, _)| measured.number(name)));
    // With room above the lines for their names.
    let highest = numbers.fold(1.0, f64::max) * 1.7;
    let sizes = *first as f64 * 0.9..*last as f64 * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(sizes.log_scale(), 0.0..highest)?;
    chart
        .configure_mesh()
        .x_desc("pairs")
        .x_label_formatter(&|pairs| match *pairs {
            pairs if pairs >= 1e6 => format!("{:.0}M", pairs / 1e6),
            pairs => format!("{:.0}k", pairs / 1e3),
        })
        .max_light_lines(0)
        .draw()?;
    for ((name, title), colour) in names.iter().zip(COLOURS) {
        let point = |(size, measured): &(u64, Measured)| (*size as f64, measured.number(name));
        let points: Vec<(f64, f64)> = all.iter().map(point).collect();
        let circles = points.iter();
        chart.draw_series(circles.map(|at| Circle::new(*at, 3, colour.filled())))?;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(*title)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 15))
        .background_style(WHITE)
        .border_style(RGBColor(120, 120, 120))
        .draw()?;
    Ok(())
}

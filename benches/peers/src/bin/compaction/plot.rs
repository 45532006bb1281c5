//! A picture for each way to draw keys: space, gets and puts while the data set is overwritten.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::arguments::Arguments;
use crate::outcome::Outcome;
use crate::run::Measured;

const SIZE: (u32, u32) = (960, 1080);
const GREY: RGBColor = RGBColor(120, 120, 120);
/// Latencies are drawn between these, in microseconds.
const LATENCIES: std::ops::Range<f64> = 0.1..1e6;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn colour(name: &str) -> RGBColor {
    match name {
        "Freyja" => RGBColor(27, 94, 170),
        "LevelDB" => RGBColor(40, 140, 80),
        _ => RGBColor(200, 70, 40),
    }
}

/// Draws what was measured into `file`.
pub fn draw(measured: &Measured, arguments: &Arguments, file: &Path) {
    draw_on(measured, arguments, file)
        .unwrap_or_else(|error| panic!("{}: could not be drawn: {error}", file.display()));
}

fn draw_on(measured: &Measured, arguments: &Arguments, file: &Path) -> Drawn {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((3, 1));
    space(&areas[0], measured, arguments)?;
    latencies(&areas[1], measured, arguments, "get")?;
    latencies(&areas[2], measured, arguments, "put")?;
    root.present()?;
    Ok(())
}

fn present(measured: &Measured) -> impl Iterator<Item = (&'static str, &Outcome)> {
    let all = measured.outcomes.iter();
    all.filter(|(_, outcome)| outcome.absent.is_none())
        .map(|(kind, outcome)| (kind.name, outcome))
}

fn space(area: &Area<'_>, measured: &Measured, arguments: &Arguments) -> Drawn {
    let raw = (arguments.pairs() * arguments.pair_len()) as f64;
    let all = present(measured).flat_map(|(_, outcome)| &outcome.moments);
    let highest = all.map(|it| it.disk_bytes / raw).fold(1.5, f64::max);
    let caption = format!(
        "Files on the disk over the raw bytes, {} keys",
        measured.keys.name()
    );
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..arguments.times as f64, 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("times that the data set has been overwritten")
        .max_light_lines(0)
        .draw()?;
    for (name, outcome) in present(measured) {
        let colour = colour(name);
        let points = outcome.moments.iter();
        let points = points.map(|moment| (moment.times, moment.disk_bytes / raw));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(("sans-serif", 15))
        .background_style(WHITE)
        .border_style(GREY)
        .draw()?;
    Ok(())
}

fn latencies(area: &Area<'_>, measured: &Measured, arguments: &Arguments, kind: &str) -> Drawn {
    let caption = format!("{kind}: 99 % took no longer; pale: the slowest one");
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..arguments.times as f64, LATENCIES.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("times that the data set has been overwritten")
        .y_desc("microseconds")
        .y_label_formatter(&|microseconds| format!("{microseconds}"))
        .max_light_lines(0)
        .draw()?;
    for (name, outcome) in present(measured) {
        let colour = colour(name);
        let windows = outcome.windows(kind).iter();
        let points = windows.map(|it| (outcome.times_at(it.seconds), it.of_100, it.longest));
        let points: Vec<_> = points.collect();
        let longest = points
            .iter()
            .map(|(times, _, longest)| (*times, *longest / 1e3));
        chart.draw_series(LineSeries::new(longest, colour.mix(0.35)))?;
        let of_100 = points
            .iter()
            .map(|(times, of_100, _)| (*times, *of_100 / 1e3));
        chart.draw_series(LineSeries::new(of_100, colour.stroke_width(2)))?;
    }
    Ok(())
}

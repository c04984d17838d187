//! Charts of the report, as SVG text.

use plotters::prelude::*;

use super::{ForecastMetrics, Forecasts, Metrics};
use crate::data::Forecasting;
use crate::fit::{Point, Score};

const SIZE: (u32, u32) = (520, 320);
const SQUARE: (u32, u32) = (420, 420);
const WIDE: (u32, u32) = (1060, 320);
const TRAIN: RGBColor = RGBColor(31, 119, 180);
const VALID: RGBColor = RGBColor(214, 96, 20);
const NAIVE: RGBColor = RGBColor(150, 150, 150);

/// The most steps that are shown of all forecasts.
const SHOWN: usize = 336;

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A line of a chart.
type Line = (&'static str, Vec<(f64, f64)>, RGBColor);

/// Loss over the epochs.
pub(super) fn losses(history: &[Point]) -> String {
    curves("loss", history, |score| Some(score.loss))
}

/// Share of right answers over the epochs.
pub(super) fn accuracies(history: &[Point]) -> String {
    curves("accuracy", history, |score| score.accuracy)
}

fn curves(title: &str, history: &[Point], value: fn(&Score) -> Option<f64>) -> String {
    let points = |score: fn(&Point) -> Option<&Score>| {
        let point = |point: &Point| Some((point.epoch as f64, value(score(point)?)?));
        history.iter().filter_map(point).collect()
    };
    let train = points(|point| Some(&point.train));
    let valid = points(|point| point.valid.as_ref());
    let lines = vec![("training", train, TRAIN), ("validation", valid, VALID)];
    chart(SIZE, title, ["epoch", ""], lines)
}

/// The last forecasts one after another, and what came.
pub(super) fn forecast(forecasts: &Forecasts, forecasting: &Forecasting) -> String {
    let windows = (SHOWN / forecasts.steps).max(1) * forecasts.steps;
    let line = |values: &[f64]| -> Vec<(f64, f64)> {
        let last = &values[values.len().saturating_sub(windows)..];
        last.iter()
            .enumerate()
            .map(|(at, value)| (at as f64, *value))
            .collect()
    };
    let lines = vec![
        ("naive", line(&forecasts.naive), NAIVE),
        ("what came", line(&forecasts.came), TRAIN),
        ("forecast", line(&forecasts.foretold), VALID),
    ];
    let unit = forecasting.unit.as_deref().unwrap_or_default();
    let step = forecasting.step.as_deref().unwrap_or("step");
    let title = format!("{}, test part", forecasting.columns[forecasting.target]);
    chart(WIDE, &title, [step, unit], lines)
}

/// The error of each step.
pub(super) fn by_step(metrics: &ForecastMetrics) -> String {
    let line = |values: &[f64]| {
        values
            .iter()
            .zip(1_u32..)
            .map(|(value, step)| (f64::from(step), *value))
            .collect()
    };
    let lines = vec![
        ("naive", line(&metrics.naive_mae_by_step), NAIVE),
        ("forecast", line(&metrics.mae_by_step), VALID),
    ];
    chart(SIZE, "mean absolute error", ["step", ""], lines)
}

fn chart(size: (u32, u32), title: &str, [x, y]: [&str; 2], lines: Vec<Line>) -> String {
    let all = || lines.iter().flat_map(|(_, points, _)| points);
    let low = all().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let high = all().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
    let first = all().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let last = all().map(|(x, _)| *x).fold(first + 0.5, f64::max);
    if !(low.is_finite() && high.is_finite()) {
        return String::new();
    }
    let margin = ((high - low) * 0.05).max(1e-6);
    let points = if last - first < 60.0 { 2 } else { 0 };
    draw(size, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(60)
            .build_cartesian_2d(first..last, low - margin..high + margin)?;
        chart
            .configure_mesh()
            .x_desc(x)
            .y_desc(y)
            .light_line_style(WHITE)
            .draw()?;
        for (name, line, color) in lines {
            chart
                .draw_series(LineSeries::new(line, color.stroke_width(2)).point_size(points))?
                .label(name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .border_style(BLACK.mix(0.2))
            .background_style(WHITE)
            .draw()?;
        Ok(())
    })
}

/// Confidence beside accuracy.
pub(super) fn reliability(metrics: &Metrics) -> String {
    draw(SQUARE, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption("reliability", ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_desc("confidence")
            .y_desc("accuracy")
            .light_line_style(WHITE)
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4)))?;
        let points = || {
            metrics
                .reliability
                .iter()
                .map(|bin| (bin.confidence, bin.accuracy))
        };
        chart.draw_series(LineSeries::new(points(), TRAIN.stroke_width(2)))?;
        let largest = metrics
            .reliability
            .iter()
            .map(|bin| bin.count)
            .max()
            .unwrap_or(1) as f64;
        chart.draw_series(metrics.reliability.iter().map(|bin| {
            let radius = 2.0 + 8.0 * (bin.count as f64 / largest).sqrt();
            Circle::new(
                (bin.confidence, bin.accuracy),
                radius as i32,
                TRAIN.mix(0.5).filled(),
            )
        }))?;
        Ok(())
    })
}

/// An SVG element; a chart that can't be drawn is a note in its place.
fn draw(
    size: (u32, u32),
    paint: impl FnOnce(&DrawingArea<SVGBackend, plotters::coord::Shift>) -> Drawn,
) -> String {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)
            .map_err(Into::into)
            .and_then(|()| paint(&area))
            .and_then(|()| area.present().map_err(Into::into))
    };
    match drawn {
        Ok(()) => svg,
        Err(error) => format!("<p>No chart: {error}</p>"),
    }
}

//! Charts of the report, as SVG text.

use plotters::prelude::*;

use super::Metrics;
use crate::fit::Point;

const SIZE: (u32, u32) = (520, 320);
const SQUARE: (u32, u32) = (420, 420);
const TRAIN: RGBColor = RGBColor(31, 119, 180);
const VALID: RGBColor = RGBColor(214, 96, 20);

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Loss over the epochs.
pub(super) fn losses(history: &[Point]) -> String {
    curves("loss", history, |score| score.loss)
}

/// Share of right answers over the epochs.
pub(super) fn accuracies(history: &[Point]) -> String {
    curves("accuracy", history, |score| score.accuracy)
}

fn curves(title: &str, history: &[Point], value: fn(&crate::fit::Score) -> f64) -> String {
    let train: Vec<(f64, f64)> = history
        .iter()
        .map(|point| (point.epoch as f64, value(&point.train)))
        .collect();
    let valid: Vec<(f64, f64)> = history
        .iter()
        .filter_map(|point| Some((point.epoch as f64, value(point.valid.as_ref()?))))
        .collect();
    let all = || train.iter().chain(&valid).map(|(_, value)| *value);
    let (low, high) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(0.0, f64::max),
    );
    let margin = ((high - low) * 0.05).max(1e-3);
    draw(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(52)
            .build_cartesian_2d(
                1.0..(history.len() as f64).max(1.5),
                low - margin..high + margin,
            )?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .light_line_style(WHITE)
            .draw()?;
        for (name, points, color) in [("training", train, TRAIN), ("validation", valid, VALID)] {
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(2))?
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

//! A forecast of series.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};

use super::Network;
use super::recurrent::{Cell, Recurrent};
use crate::export::{Graph, States, Value};

/// The naive forecast, which is the season before, and what a recurrent layer adds to it. The layer
/// sees each value beside its distance from that of the season before.
#[derive(Module, Debug)]
pub struct Rnn {
    layer: Recurrent,
    values: Linear,
    length: usize,
    target: usize,
    steps: usize,
    season: usize,
    scale: f64,
}

/// What a network for series is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesShape {
    /// Rows that are seen.
    pub length: usize,
    /// Columns that are seen.
    pub columns: usize,
    /// Which of them is foretold.
    pub target: usize,
    /// Rows that are foretold.
    pub steps: usize,
    /// Rows after which things repeat themselves; fewer than a window has.
    pub season: usize,
    /// How far, about, values are from those of the season before.
    pub scale: f64,
}

impl Rnn {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: SeriesShape, cell: Cell, width: usize, device: &Device) -> Self {
        Self {
            layer: Recurrent::new(cell, 2 * shape.columns, width, device),
            values: LinearConfig::new(width, shape.steps).init(device),
            length: shape.length,
            target: shape.target,
            steps: shape.steps,
            season: shape.season,
            scale: shape.scale,
        }
    }

    /// The rows of the last season, as often as there are steps.
    fn naive_rows(&self) -> Vec<i64> {
        let row = |step: usize| (self.length - self.season + step % self.season) as i64;
        (0..self.steps).map(row).collect()
    }
}

impl Network for Rnn {
    type Input = Tensor<3>;

    fn forward(&self, series: Tensor<3>) -> Tensor<2> {
        let now = series.clone().slice_dim(1, self.season..self.length);
        let before = series.clone().slice_dim(1, 0..self.length - self.season);
        let distance = (now.clone() - before).div_scalar(self.scale);
        let state = self.layer.last(Tensor::cat(vec![now, distance], 2));
        let added = self.values.forward(state).mul_scalar(self.scale);
        let rows = Tensor::<1, Int>::from_data(&self.naive_rows()[..], &series.device());
        let naive = series
            .slice_dim(2, self.target..self.target + 1)
            .select(1, rows);
        naive.flatten(1, 2) + added
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let series = &inputs[0];
        let now = graph.slice(series, 1, self.season..self.length);
        let before = graph.slice(series, 1, 0..self.length - self.season);
        let distance = graph.subtract(&now, &before);
        let distance = graph.scale(&distance, 1.0 / self.scale);
        let seen = graph.concat(&[&now, &distance], 2);
        let state = self.layer.draw(graph, &seen, States::Last);
        let added = graph.linear(&state, &self.values);
        let added = graph.scale(&added, self.scale);
        let naive = graph.slice(series, 2, self.target..self.target + 1);
        let naive = graph.select(&naive, 1, &self.naive_rows());
        let naive = graph.flatten(&naive);
        graph.add(&naive, &added)
    }

    fn outputs(&self) -> usize {
        self.steps
    }
}

//! What is minimized, and what is told of it.

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Score;
use crate::data::{Example, Target};
use crate::{Error, ErrorKind, Result};

/// Of classes the cross-entropy; of values the mean absolute error, which MASE measures, too.
pub(super) struct Objective {
    classes: CrossEntropyLoss,
    device: Device,
}

impl Objective {
    pub(super) fn new(smoothing: f64, device: &Device) -> Self {
        let classes = CrossEntropyLossConfig::new()
            .with_smoothing((smoothing > 0.0).then_some(smoothing as f32))
            .init(device);
        Self {
            classes,
            device: device.clone(),
        }
    }

    /// The mean over examples whose outputs these are.
    pub(super) fn loss(&self, outputs: Tensor<2>, targets: &[Target]) -> Tensor<1> {
        let (classes, values) = split(targets.iter());
        if values.is_empty() {
            let classes: Vec<i32> = classes.into_iter().map(|class| class as i32).collect();
            let shape = [classes.len()];
            let targets =
                Tensor::<1, Int>::from_data(TensorData::new(classes, shape), &self.device);
            self.classes.forward(outputs, targets)
        } else {
            let targets = TensorData::new(values, outputs.dims());
            (outputs - Tensor::from_data(targets, &self.device))
                .abs()
                .mean()
        }
    }
}

/// How outputs do beside what they should be.
pub(super) fn score(outputs: &[f32], examples: &[Example]) -> Score {
    let (classes, values) = split(examples.iter().map(|example| &example.target));
    let count = examples.len().max(1) as f64;
    if values.is_empty() {
        let rows = outputs.chunks(outputs.len() / classes.len().max(1));
        let loss: f64 = rows
            .zip(&classes)
            .map(|(row, &class)| cross_entropy(row, class))
            .sum();
        return Score {
            loss: loss / count,
            accuracy: Some(right(outputs, &classes) as f64 / count),
        };
    }
    let distances = outputs
        .iter()
        .zip(&values)
        .map(|(one, other)| f64::from((one - other).abs()));
    Score {
        loss: distances.sum::<f64>() / values.len() as f64,
        accuracy: None,
    }
}

/// How many rows of scores are highest where they should be; none if these are no classes.
pub(super) fn right_of(outputs: &[f32], targets: &[Target]) -> Option<usize> {
    let (classes, values) = split(targets.iter());
    values.is_empty().then(|| right(outputs, &classes))
}

fn right(scores: &[f32], classes: &[usize]) -> usize {
    let rows = scores.chunks(scores.len() / classes.len().max(1));
    rows.zip(classes)
        .filter(|(row, class)| row.iter().all(|score| *score <= row[**class]))
        .count()
}

/// Classes, or the values of all examples one after another.
fn split<'a>(targets: impl Iterator<Item = &'a Target>) -> (Vec<usize>, Vec<f32>) {
    let (mut classes, mut all) = (Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Class(class) => classes.push(*class),
            Target::Values { values, .. } => all.extend(values),
        }
    }
    (classes, all)
}

/// Of scores before softmax, in nats.
fn cross_entropy(row: &[f32], class: usize) -> f64 {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row
        .iter()
        .map(|score| f64::from(score - highest).exp())
        .sum();
    sum.ln() - f64::from(row[class] - highest)
}

/// A tensor's numbers.
pub(super) fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.try_into_data().map_err(|error| {
        Error::new(ErrorKind::Failed, "the device failed").because(error.to_string())
    })?;
    Ok(data.iter::<f32>().collect())
}

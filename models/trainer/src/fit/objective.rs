//! What is minimized, and what is told of it.

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Score;
use crate::data::{Example, Target};
use crate::evaluate::similarities;
use crate::{Error, ErrorKind, Result};

/// What similarities, -1 to 1, are divided by before softmax: as in `SimCSE`.
const TEMPERATURE: f64 = 0.05;

/// Pairs of a part that are told from one another at a time.
const TOLD_APART: usize = 1024;

/// Of classes the cross-entropy; of values the mean absolute error, which MASE measures, too; of pairs
/// `InfoNCE`.
pub(super) struct Objective {
    classes: CrossEntropyLoss,
    device: Device,
}

/// What is wanted of some examples, one after another.
enum Wanted {
    Classes(Vec<usize>),
    Values(Vec<f32>),
    /// So many.
    Pairs(usize),
}

impl Wanted {
    /// Examples have targets of one kind.
    fn of<'a>(targets: impl Iterator<Item = &'a Target>) -> Self {
        let (mut classes, mut all, mut pairs) = (Vec::new(), Vec::new(), 0);
        for target in targets {
            match target {
                Target::Class(class) => classes.push(*class),
                Target::Values { values, .. } => all.extend(values),
                Target::Pair => pairs += 1,
            }
        }
        if pairs > 0 {
            Self::Pairs(pairs)
        } else if all.is_empty() {
            Self::Classes(classes)
        } else {
            Self::Values(all)
        }
    }
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
        match Wanted::of(targets.iter()) {
            Wanted::Classes(classes) => {
                let classes: Vec<i32> = classes.into_iter().map(|class| class as i32).collect();
                let shape = [classes.len()];
                let targets =
                    Tensor::<1, Int>::from_data(TensorData::new(classes, shape), &self.device);
                self.classes.forward(outputs, targets)
            }
            Wanted::Values(values) => {
                let targets = TensorData::new(values, outputs.dims());
                (outputs - Tensor::from_data(targets, &self.device))
                    .abs()
                    .mean()
            }
            Wanted::Pairs(_) => self.info_nce(outputs),
        }
    }

    /// `InfoNCE` (van den Oord et al., "Representation Learning with Contrastive Predictive Coding",
    /// 2018): each text is to find the other of its pair among those of the batch (Henderson et al.,
    /// "Efficient Natural Language Response Suggestion for Smart Reply", 2017), by cosine and a
    /// temperature (Gao et al., "`SimCSE`: Simple Contrastive Learning of Sentence Embeddings", 2021),
    /// both ways (Radford et al., "Learning Transferable Visual Models From Natural Language
    /// Supervision", 2021). `vectors`: `[2 × pairs, width]`, those of a pair one after the other.
    fn info_nce(&self, vectors: Tensor<2>) -> Tensor<1> {
        let [rows, width] = vectors.dims();
        let length = vectors.clone().powi_scalar(2).sum_dim(1).sqrt();
        let pairs = (vectors / length.clamp_min(1e-6)).reshape([rows / 2, 2, width]);
        let [first, second] =
            [0, 1].map(|at| pairs.clone().slice_dim(1, at..at + 1).squeeze_dim::<2>(1));
        let scores = first.matmul(second.transpose()).div_scalar(TEMPERATURE);
        let own = Tensor::<1, Int>::arange(0..(rows / 2) as i64, &self.device);
        let there = self.classes.forward(scores.clone(), own.clone());
        let back = self.classes.forward(scores.transpose(), own);
        (there + back).div_scalar(2.0)
    }
}

/// How outputs do beside what they should be.
pub(super) fn score(outputs: &[f32], examples: &[Example]) -> Score {
    let count = examples.len().max(1) as f64;
    let (loss, right) = match Wanted::of(examples.iter().map(|example| &example.target)) {
        Wanted::Classes(classes) => judge(rows_of(outputs, &classes).zip(classes.iter().copied())),
        Wanted::Values(values) => {
            let pairs = outputs.iter().zip(&values);
            let distances = pairs.map(|(one, other)| f64::from((one - other).abs()));
            return Score {
                loss: distances.sum::<f64>() / values.len() as f64,
                accuracy: None,
            };
        }
        Wanted::Pairs(pairs) => {
            let size = outputs.len() / pairs;
            let chunks = outputs.chunks(TOLD_APART * size).map(|vectors| {
                let mut rows = similarities(vectors, vectors.len() / size);
                let scaled = rows.iter_mut().flatten();
                scaled.for_each(|similarity| *similarity /= TEMPERATURE as f32);
                judge(rows.iter().map(Vec::as_slice).zip(0..))
            });
            chunks.fold((0.0, 0), |sum, chunk| (sum.0 + chunk.0, sum.1 + chunk.1))
        }
    };
    Score {
        loss: loss / count,
        accuracy: Some(right as f64 / count),
    }
}

/// How many examples of a batch are answered right; none if values are wanted.
pub(super) fn right_of(outputs: &[f32], targets: &[Target]) -> Option<usize> {
    match Wanted::of(targets.iter()) {
        Wanted::Classes(classes) => {
            let rows = rows_of(outputs, &classes).zip(classes.iter().copied());
            Some(rows.filter(|(row, class)| is_right(row, *class)).count())
        }
        Wanted::Values(_) => None,
        Wanted::Pairs(pairs) => {
            let rows = similarities(outputs, pairs);
            Some((0..pairs).filter(|&own| is_right(&rows[own], own)).count())
        }
    }
}

/// The scores of each example.
fn rows_of<'a>(scores: &'a [f32], classes: &[usize]) -> impl Iterator<Item = &'a [f32]> {
    scores.chunks((scores.len() / classes.len().max(1)).max(1))
}

/// Cross-entropy, summed up, and how many rows are highest where they should be.
fn judge<'a>(rows: impl Iterator<Item = (&'a [f32], usize)>) -> (f64, usize) {
    rows.fold((0.0, 0), |(loss, right), (row, class)| {
        let hit = usize::from(is_right(row, class));
        (loss + cross_entropy(row, class), right + hit)
    })
}

fn is_right(row: &[f32], class: usize) -> bool {
    row.iter().all(|score| *score <= row[class])
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

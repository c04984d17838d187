//! Classes with their scores.

use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};
use serde::{Deserialize, Serialize};

use super::named;
use super::scores::Scores;
use crate::{Activation, ClassificationSpec, Error, Result};

/// How many classes an answer has, if the declaration does not say.
const TOP_K: usize = 5;

/// A class and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its label, where the model has labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its place in the output.
    pub index: usize,
    /// Its score, after the activation.
    pub score: f32,
}

/// How one output becomes classes.
#[derive(Debug)]
pub(crate) struct Ranking {
    tensor: String,
    activation: Activation,
    top_k: usize,
    threshold: Option<f32>,
}

impl Ranking {
    pub(crate) fn new(
        spec: &ClassificationSpec,
        output: &TensorMetadata,
        labels: usize,
    ) -> Result<Self> {
        let activation = spec.activation.unwrap_or_default();
        let (top_k, threshold) = match activation {
            Activation::Sigmoid => (usize::MAX, Some(0.5)),
            Activation::None | Activation::Softmax => (TOP_K, None),
        };
        let top_k = spec.top_k.unwrap_or(top_k);
        let threshold = spec.threshold.or(threshold);
        if top_k == 0 {
            return Err(Error::spec("`top_k` is at least 1"));
        }
        let probability = activation != Activation::None;
        if let Some(threshold) = threshold
            && (threshold.is_nan() || probability && !(0.0..=1.0).contains(&threshold))
        {
            return Err(Error::spec(format!(
                "`threshold` is {threshold}; after {activation:?} scores are 0 to 1"
            )));
        }
        check_output(output, labels)?;
        Ok(Self {
            tensor: output.name.clone(),
            activation,
            top_k,
            threshold: threshold.map(|threshold| threshold as f32),
        })
    }

    /// The classes of each item.
    pub(crate) fn rank(
        &self,
        outputs: &[NamedTensor],
        labels: &[String],
    ) -> Result<Vec<Vec<Class>>> {
        let scores = Scores::of(named(&self.tensor, outputs)?).map_err(|what| {
            let name = &self.tensor;
            Error::output(format!("output {name:?} is no list of scores: {what}"))
        })?;
        if !labels.is_empty() && labels.len() != scores.classes {
            return Err(Error::output(format!(
                "output {:?} has {} classes, and there are {} labels",
                self.tensor,
                scores.classes,
                labels.len()
            )));
        }
        scores
            .items()
            .map(|item| self.classes(item, labels))
            .collect()
    }

    fn classes(&self, scores: &[f32], labels: &[String]) -> Result<Vec<Class>> {
        let mut scores = scores.to_vec();
        match self.activation {
            Activation::None => {}
            Activation::Softmax => softmax(&mut scores),
            Activation::Sigmoid => scores.iter_mut().for_each(|score| *score = sigmoid(*score)),
        }
        if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::output(format!(
                "output {:?} scores class {at} {}, which is no number",
                self.tensor, scores[at]
            )));
        }
        let good = |score: f32| self.threshold.is_none_or(|threshold| score >= threshold);
        let best = best(&scores, self.top_k).into_iter();
        Ok(best
            .map(|index| Class {
                label: labels.get(index).cloned(),
                index,
                score: scores[index],
            })
            .filter(|class| good(class.score))
            .collect())
    }
}

/// Triton's classification extension: the `count` best classes of each item as a BYTES tensor of
/// `score:index`, or `score:index:label` where there are labels.
pub fn classify(tensor: &Tensor, count: usize, labels: &[String]) -> Result<Tensor> {
    let scores = Scores::of(tensor)
        .map_err(|what| Error::input(format!("the output cannot be classified: {what}")))?;
    let count = count.min(scores.classes);
    let whole = scores.whole;
    let mut strings = Vec::with_capacity(scores.count * count);
    for item in scores.items() {
        for index in best(item, count) {
            let score = if whole {
                format!("{}", item[index])
            } else {
                format!("{:.6}", item[index])
            };
            strings.push(match labels.get(index) {
                Some(label) => format!("{score}:{index}:{label}"),
                None => format!("{score}:{index}"),
            });
        }
    }
    let shape = match tensor.shape() {
        [_] | [] => vec![count],
        [items, ..] => vec![*items, count],
    };
    Tensor::from_strings(shape, strings)
        .map_err(|error| Error::output("classes do not fill a tensor").because(error))
}

/// Refuses an output that cannot hold the scores of as many classes as there are labels.
fn check_output(output: &TensorMetadata, labels: usize) -> Result<()> {
    let classes = match output.shape[..] {
        [] => &[],
        [_] => &output.shape[..],
        [_, ref rest @ ..] => rest,
    };
    let lists = classes.iter().filter(|&&classes| classes > 1).count();
    if lists > 1 || matches!(output.datatype, Datatype::Bytes | Datatype::Bool) {
        return Err(Error::spec(format!(
            "output {:?} is {} of shape {:?}; a classification reads one score a class",
            output.name, output.datatype, output.shape
        )));
    }
    let concrete = classes.iter().all(|&classes| classes >= 0);
    let classes: i64 = classes.iter().product();
    if labels > 0 && concrete && classes != labels as i64 {
        return Err(Error::spec(format!(
            "output {:?} has {classes} classes, and there are {labels} labels",
            output.name
        )));
    }
    Ok(())
}

/// The places of the `count` largest scores, best first; of equals the earlier one.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    let order = |&a: &usize, &b: &usize| scores[b].total_cmp(&scores[a]).then(a.cmp(&b));
    if count < places.len() {
        places.select_nth_unstable_by(count, order);
        places.truncate(count);
    }
    places.sort_unstable_by(order);
    places
}

/// Subtracts the largest score first, so that nothing overflows.
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += f64::from(*score);
    }
    for score in scores {
        *score = (f64::from(*score) / sum) as f32;
    }
}

fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

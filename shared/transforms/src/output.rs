//! A model's outputs to answers: classes with scores, or tensors as they are.

use dunlin_protocol::{
    Datatype, InferOutput, InferResponse, NamedTensor, Parameters, Tensor, TensorMetadata,
};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Activation, Error, OutputSpec, Result};

/// How many classes an answer has, if the declaration does not say.
const TOP_K: usize = 5;

/// What a caller is answered. Its JSON is the body of the reply.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Prediction {
    /// The classes of one picture, best first.
    Classes {
        /// The classes.
        predictions: Vec<Class>,
    },
    /// The classes of each item of a batch of tensors.
    Batch {
        /// A list an item, each best first.
        predictions: Vec<Vec<Class>>,
    },
    /// The outputs as the Open Inference Protocol v2 writes them.
    Tensors {
        /// A JSON list of tensors.
        outputs: Box<RawValue>,
    },
}

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

impl Prediction {
    /// The best class of the first item.
    pub fn top(&self) -> Option<&Class> {
        match self {
            Self::Classes { predictions } => predictions.first(),
            Self::Batch { predictions } => predictions.first()?.first(),
            Self::Tensors { .. } => None,
        }
    }

    pub(crate) fn tensors(outputs: &[NamedTensor]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Reply {
            outputs: Box<RawValue>,
        }
        let output = |output: &NamedTensor| InferOutput {
            name: output.name.clone(),
            parameters: Parameters::new(),
            tensor: output.tensor.clone(),
            binary: false,
        };
        let reply = InferResponse {
            outputs: outputs.iter().map(output).collect(),
            ..InferResponse::default()
        };
        let encoded = reply
            .encode()
            .map_err(|error| Error::output(error.to_string()).because(error))?;
        let reply: Reply = serde_json::from_slice(&encoded.body)
            .map_err(|error| Error::output("the reply is not JSON").because(error))?;
        Ok(Self::Tensors {
            outputs: reply.outputs,
        })
    }
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
    pub(crate) fn new(spec: &OutputSpec, output: &TensorMetadata, labels: usize) -> Result<Self> {
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
        let output = outputs.iter().find(|output| output.name == self.tensor);
        let tensor = &output
            .ok_or_else(|| Error::output(format!("the model gave no output {:?}", self.tensor)))?
            .tensor;
        let scores = Scores::of(tensor).map_err(|what| {
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

/// A tensor seen as a list of scores for each item of a batch.
struct Scores {
    values: Vec<f32>,
    count: usize,
    classes: usize,
    /// Whether the scores are integers.
    whole: bool,
}

impl Scores {
    /// The first of two dimensions or more is the batch; the error says what is wrong.
    fn of(tensor: &Tensor) -> Result<Self, String> {
        let (count, classes) = match tensor.shape() {
            [] => (1, 1),
            [classes] => (1, *classes),
            [count, rest @ ..] if is_list(rest) => (*count, rest.iter().product()),
            shape => {
                return Err(format!(
                    "shape {shape:?} has more than one dimension of classes"
                ));
            }
        };
        let read = |error: dunlin_protocol::Error| error.to_string();
        let values: Vec<f32> = match tensor.datatype() {
            Datatype::Fp32 => tensor.to_vec::<f32>().map_err(read)?,
            Datatype::Fp64 => cast(tensor, |value: f64| value as f32)?,
            Datatype::Fp16 => cast(tensor, f16::to_f32)?,
            Datatype::Bf16 => cast(tensor, bf16::to_f32)?,
            Datatype::Uint8 => cast::<u8>(tensor, f32::from)?,
            Datatype::Int8 => cast::<i8>(tensor, f32::from)?,
            Datatype::Int32 => cast(tensor, |value: i32| value as f32)?,
            Datatype::Int64 => cast(tensor, |value: i64| value as f32)?,
            other => return Err(format!("datatype {other} holds no scores")),
        };
        let whole = matches!(
            tensor.datatype(),
            Datatype::Uint8 | Datatype::Int8 | Datatype::Int32 | Datatype::Int64
        );
        Ok(Self {
            values,
            count,
            classes,
            whole,
        })
    }

    fn items(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.count).map(|item| &self.values[item * self.classes..][..self.classes])
    }
}

fn cast<T: dunlin_protocol::Element>(
    tensor: &Tensor,
    to: impl Fn(T) -> f32,
) -> Result<Vec<f32>, String> {
    let values = tensor.values::<T>().map_err(|error| error.to_string())?;
    Ok(values.iter().map(|&value| to(value)).collect())
}

/// Whether at most one of these dimensions is not 1.
fn is_list(dimensions: &[usize]) -> bool {
    dimensions
        .iter()
        .filter(|&&dimension| dimension != 1)
        .count()
        <= 1
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

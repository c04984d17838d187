//! A model's outputs to answers.
//!
//! - `scores`: a tensor as lists of numbers.
//! - `ranking`: classes with their scores. `embedding`: one vector a text. `forecast`: what comes next.

mod embedding;
mod forecast;
mod ranking;
mod scores;

use dunlin_protocol::{InferOutput, InferResponse, NamedTensor, Parameters, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use embedding::Pooler;
pub use forecast::Steps;
pub(crate) use forecast::Unscaling;
pub(crate) use ranking::Ranking;
pub use ranking::{Class, classify};

use crate::{Error, Result};

/// What a caller is answered. Its JSON is the body of the reply.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Prediction {
    /// The classes of one item, best first.
    Classes {
        /// The classes.
        predictions: Vec<Class>,
    },
    /// The classes of each item of a batch.
    Batch {
        /// A list an item, each best first.
        predictions: Vec<Vec<Class>>,
    },
    /// What one item means.
    Embedding {
        /// The vector.
        embedding: Vec<f32>,
    },
    /// What each item of a batch means.
    Embeddings {
        /// A vector an item.
        embeddings: Vec<Vec<f32>>,
    },
    /// What comes next in one series.
    Forecast {
        /// The steps to come, the next one first.
        forecast: Steps,
        /// What is measured.
        #[serde(skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
        /// What one step is.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<String>,
    },
    /// What comes next in each series of a batch.
    Forecasts {
        /// The steps to come, of each series.
        forecasts: Vec<Steps>,
        /// What is measured.
        #[serde(skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
        /// What one step is.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<String>,
    },
    /// The outputs as the Open Inference Protocol v2 writes them.
    Tensors {
        /// A JSON list of tensors.
        outputs: Box<RawValue>,
    },
}

impl Prediction {
    /// The best class of the first item.
    pub fn top(&self) -> Option<&Class> {
        match self {
            Self::Classes { predictions } => predictions.first(),
            Self::Batch { predictions } => predictions.first()?.first(),
            _ => None,
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

/// The output of this name.
fn named<'a>(name: &str, outputs: &'a [NamedTensor]) -> Result<&'a Tensor> {
    let output = outputs.iter().find(|output| output.name == name);
    output
        .map(|output| &output.tensor)
        .ok_or_else(|| Error::output(format!("the model gave no output {name:?}")))
}

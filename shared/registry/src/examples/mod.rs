//! Golden examples: inputs, and the outputs that the model gave when it was published.
//!
//! A host replays them after it loads a model, and lets no traffic in before they agree.
//!
//! # The format `examples-1`
//! A `u64`, little-endian: the length of the JSON header. The header:
//!
//! ```json
//! {"examples": [{"name": "7.png", "content_type": "image/png", "input_bytes": 331, "label": "7",
//!   "outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 10], "binary_data_size": 40}]}]}
//! ```
//!
//! Then the bytes in that order: an example's input, its outputs, the next example's input, and so
//! on, with nothing between and nothing after. The input is the body of a `POST /predict/<model>`;
//! where the example has a `header_length`, it is the body of an Open Inference Protocol request with
//! that `Inference-Header-Content-Length`, whatever the transforms are. The outputs are the graph's
//! own, before any transform.

mod codec;
mod compare;
mod replay;

pub use codec::{ExampleLimits, FORMAT};
pub use compare::{Mismatch, compare};
pub use replay::{Failure, Replay, ReplayFailed};

use bytes::Bytes;
use dunlin_protocol::{InferRequest, Limits, NamedTensor};

/// The examples of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct ExamplePack {
    /// In the order in which they are replayed.
    pub examples: Vec<Example>,
}

/// An input, and what the model made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// For messages: the file it was, as a rule.
    pub name: String,
    /// The content type of the input, if it has one.
    pub content_type: Option<String>,
    /// See the module's documentation.
    pub header_length: Option<usize>,
    /// The label that must come out first, if it is known.
    pub label: Option<String>,
    /// The request's body.
    pub input: Bytes,
    /// The graph's outputs.
    pub outputs: Vec<NamedTensor>,
}

impl Example {
    /// The graph's inputs: from the body of a protocol request where the example is one, else as
    /// `decode` makes them of the body and its content type.
    pub fn inputs<E: From<dunlin_protocol::Error>>(
        &self,
        decode: impl FnOnce(&Bytes, Option<&str>) -> Result<Vec<NamedTensor>, E>,
    ) -> Result<Vec<NamedTensor>, E> {
        let Some(header_length) = self.header_length else {
            return decode(&self.input, self.content_type.as_deref());
        };
        let mut limits = Limits::default();
        limits.body_bytes = self.input.len();
        limits.elements = limits.elements.max(self.input.len());
        let request = InferRequest::decode(&self.input, Some(header_length), &limits)?;
        let named = request.inputs.into_iter();
        Ok(named
            .map(|input| NamedTensor {
                name: input.name,
                tensor: input.tensor,
            })
            .collect())
    }
}

//! From an example's bytes to the numbers that a network takes: the road that serving takes, too.

use bytes::Bytes;
use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};
use dunlin_transforms::{Files, InputSpec, Limits, Pipeline, Spec, Tokenizer};
use serde_json::json;

use super::source::Source;
use super::{Content, Example};
use crate::{Error, Result};

/// Reads examples as the published model will.
#[derive(Debug)]
pub struct Decoder {
    source: Source,
    spec: InputSpec,
    inputs: Vec<TensorMetadata>,
    pipeline: Pipeline,
    /// Different tokens of texts.
    vocabulary: usize,
    /// What a request would say that its body is.
    media: Option<&'static str>,
}

impl Decoder {
    /// For a network with these inputs, which `spec` says how to fill.
    pub(super) fn new(
        source: Source,
        spec: InputSpec,
        inputs: Vec<TensorMetadata>,
        media: Option<&'static str>,
        tokenizer: Option<Tokenizer>,
    ) -> Result<Self> {
        let unfit =
            |error: dunlin_transforms::Error| Error::usage(error.to_string()).because(error);
        let whole = Spec {
            input: Some(spec.clone()),
            output: None,
        };
        let files = Files {
            tokenizer,
            ..Files::default()
        };
        let pipeline =
            Pipeline::new(&whole, &inputs, &[], files, Limits::default()).map_err(unfit)?;
        let last = pipeline.last_token().transpose().map_err(unfit)?;
        Ok(Self {
            source,
            spec,
            inputs,
            pipeline,
            vocabulary: last.map_or(0, |(_, id)| id as usize + 1),
            media,
        })
    }

    /// Where the examples are.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// What `model.toml` says of the input.
    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// The inputs of the network; -1 where any size goes.
    pub fn metadata(&self) -> &[TensorMetadata] {
        &self.inputs
    }

    /// The sizes of what a network takes; of texts, how many different tokens, and how many at most.
    pub(super) fn sizes(&self) -> Vec<usize> {
        match &self.spec {
            InputSpec::Text(text) => vec![self.vocabulary, text.max_tokens.unwrap_or(0)],
            _ => self.inputs[0].shape[1..]
                .iter()
                .map(|&size| size as usize)
                .collect(),
        }
    }

    /// The example as it would come in a request.
    pub fn body(&self, example: &Example) -> Result<Bytes> {
        self.bytes(&example.content)
    }

    /// What a request would say that the body is.
    pub(crate) fn media(&self) -> Option<&'static str> {
        self.media
    }

    /// What a network takes: a batch of one, or of a pair's two.
    pub fn inputs(&self, example: &Example) -> Result<Vec<NamedTensor>> {
        let body = self.body(example)?;
        self.decode(&body).map_err(|error| {
            let name = &example.name;
            Error::data(format!("{name} can't be read any more")).because(error)
        })
    }

    /// The numbers of the only input.
    pub fn numbers(&self, example: &Example) -> Result<Vec<f32>> {
        floats(&self.inputs(example)?)
    }

    pub(super) fn bytes(&self, content: &Content) -> Result<Bytes> {
        match content {
            Content::Held(bytes, _) => Ok(bytes.clone()),
            Content::Stored(key) => self.source.read(key),
            Content::Rows(rows) => Ok(rows.concat().into()),
            Content::Pair(pair, _) => {
                let texts = pair.each_ref().map(|text| String::from_utf8_lossy(text));
                Ok(json!({ "texts": texts }).to_string().into())
            }
        }
    }

    pub(super) fn decode(&self, body: &Bytes) -> Result<Vec<NamedTensor>> {
        let decoded = self.pipeline.decode(body, self.media);
        let decoded = decoded.map_err(|error| Error::data(error.to_string()).because(error))?;
        Ok(decoded.inputs)
    }
}

/// The numbers of the first of some tensors.
pub(super) fn floats(inputs: &[NamedTensor]) -> Result<Vec<f32>> {
    inputs[0].tensor.to_vec().map_err(unfit)
}

/// Batches become one batch; where an item is shorter than others, it ends with zeros.
pub(crate) fn stack(rows: &[Vec<NamedTensor>]) -> Result<Vec<NamedTensor>> {
    let columns = rows.first().map_or(0, Vec::len);
    let column = |at: usize| {
        let tensors: Vec<&Tensor> = rows.iter().map(|row| &row[at].tensor).collect();
        let tensor = match tensors[0].datatype() {
            Datatype::Int64 => pad::<i64>(&tensors),
            _ => pad::<f32>(&tensors),
        };
        Ok(NamedTensor::new(&rows[0][at].name, tensor.map_err(unfit)?))
    };
    (0..columns).map(column).collect()
}

fn pad<T: dunlin_protocol::Element + Default>(
    tensors: &[&Tensor],
) -> Result<Tensor, dunlin_protocol::Error> {
    let size = |tensor: &Tensor| tensor.len() / tensor.shape()[0].max(1);
    let longest = tensors.iter().max_by_key(|tensor| size(tensor));
    let mut shape = longest.map_or(Vec::new(), |tensor| tensor.shape().to_vec());
    shape[0] = tensors.iter().map(|tensor| tensor.shape()[0]).sum();
    let length: usize = shape[1..].iter().product();
    let mut values = Vec::with_capacity(shape[0] * length);
    for tensor in tensors {
        for item in tensor.values::<T>()?.chunks(size(tensor).max(1)) {
            values.extend_from_slice(item);
            values.resize(values.len() + length - item.len(), T::default());
        }
    }
    Tensor::from_vec(shape, values)
}

fn unfit(error: dunlin_protocol::Error) -> Error {
    Error::data("no tensor can be made of the data").because(error)
}

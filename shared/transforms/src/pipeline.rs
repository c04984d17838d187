//! The declaration, held against a model and ready to run.

use bytes::Bytes;
use dunlin_protocol::{InferRequest, NamedTensor, TensorMetadata};

use crate::image::ImagePlan;
use crate::output::{Prediction, Ranking};
use crate::{Error, InputKind, InputSpec, Limits, OutputKind, OutputSpec, Result, Spec};

/// What stands between a request's body and a model, and between the model and the answer.
///
/// Made once a model; `&self` everywhere, for many threads at once.
#[derive(Debug)]
pub struct Pipeline {
    input: Input,
    output: Output,
    labels: Vec<String>,
    limits: Limits,
}

#[derive(Debug)]
enum Input {
    Tensors,
    Image { tensor: String, plan: ImagePlan },
}

#[derive(Debug)]
enum Output {
    Tensors,
    Classes(Ranking),
}

impl Pipeline {
    /// Holds a declaration against the inputs and outputs of its model. Every contradiction is
    /// found here; what is left to fail later depends on the request.
    pub fn new(
        spec: &Spec,
        inputs: &[TensorMetadata],
        outputs: &[TensorMetadata],
        labels: Vec<String>,
        limits: Limits,
    ) -> Result<Self> {
        let input = match &spec.input {
            None => Input::Tensors,
            Some(declared) => Input::new(declared, inputs, &limits)?,
        };
        let output = match &spec.output {
            None => Output::Tensors,
            Some(declared) => Output::new(declared, outputs, labels.len())?,
        };
        Ok(Self {
            input,
            output,
            labels,
            limits,
        })
    }

    /// Turns the body of a request into the model's inputs.
    ///
    /// A body of `application/json` is an inference request of the Open Inference Protocol v2,
    /// whatever the declaration; any other is a picture, where the declaration says so. The
    /// picture's format is read from its bytes: the content type need not name it.
    pub fn decode(&self, body: &Bytes, content_type: Option<&str>) -> Result<Vec<NamedTensor>> {
        let media = content_type.map(media_type).unwrap_or_default();
        match &self.input {
            _ if media == "application/json" => self.decode_tensors(body),
            Input::Image { tensor, plan } => {
                let picture = plan
                    .decode(body, &self.limits)
                    .map_err(|error| hint(error, &media))?;
                Ok(vec![NamedTensor::new(tensor, picture)])
            }
            Input::Tensors if media.is_empty() => self.decode_tensors(body),
            Input::Tensors => Err(Error::media(format!(
                "this model takes tensors, not {media}: send an inference request of the Open \
                 Inference Protocol v2 as application/json"
            ))),
        }
    }

    /// Turns the model's outputs into an answer.
    pub fn encode(&self, outputs: &[NamedTensor]) -> Result<Prediction> {
        match &self.output {
            Output::Tensors => Prediction::tensors(outputs),
            Output::Classes(ranking) => {
                let mut items = ranking.rank(outputs, &self.labels)?;
                match (&self.input, items.len()) {
                    (Input::Image { .. }, 1) => Ok(Prediction::Classes {
                        predictions: items.remove(0),
                    }),
                    _ => Ok(Prediction::Batch { predictions: items }),
                }
            }
        }
    }

    /// Whether a body is a picture.
    pub fn takes_picture(&self) -> bool {
        matches!(self.input, Input::Image { .. })
    }

    /// The label of each class; empty where the model has none.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    fn decode_tensors(&self, body: &Bytes) -> Result<Vec<NamedTensor>> {
        let request = InferRequest::decode(body, None, &self.limits.protocol).map_err(|error| {
            let message = error.to_string();
            match error.kind() {
                dunlin_protocol::ErrorKind::TooLarge => Error::too_large(message),
                _ => Error::input(message),
            }
            .because(error)
        })?;
        let inputs = request.inputs.into_iter();
        Ok(inputs
            .map(|input| NamedTensor::new(input.name, input.tensor))
            .collect())
    }
}

impl Input {
    fn new(spec: &InputSpec, inputs: &[TensorMetadata], limits: &Limits) -> Result<Self> {
        if spec.kind == InputKind::Tensor {
            return if *spec == InputSpec::default() {
                Ok(Self::Tensors)
            } else {
                Err(Error::spec(
                    "the options of [input] are for kind = \"image\"; tensors are taken as they are",
                ))
            };
        }
        let input = find("input", spec.tensor.as_deref(), inputs)?;
        if inputs.len() > 1 {
            return Err(Error::spec(format!(
                "a picture fills one input, and the model has {}: {}",
                inputs.len(),
                names(inputs)
            )));
        }
        Ok(Self::Image {
            tensor: input.name.clone(),
            plan: ImagePlan::new(spec, input, limits)?,
        })
    }
}

impl Output {
    fn new(spec: &OutputSpec, outputs: &[TensorMetadata], labels: usize) -> Result<Self> {
        if spec.kind == OutputKind::Tensor {
            return if *spec == OutputSpec::default() {
                Ok(Self::Tensors)
            } else {
                Err(Error::spec(
                    "the options of [output] are for kind = \"classification\"; \
                     tensors are given as they are",
                ))
            };
        }
        let output = find("output", spec.tensor.as_deref(), outputs)?;
        Ranking::new(spec, output, labels).map(Self::Classes)
    }
}

/// The tensor that is named; the only one where none is.
fn find<'a>(
    what: &str,
    name: Option<&str>,
    tensors: &'a [TensorMetadata],
) -> Result<&'a TensorMetadata> {
    match (name, tensors) {
        (Some(name), _) => tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .ok_or_else(|| {
                Error::spec(format!(
                    "the model has no {what} {name:?}; it has {}",
                    names(tensors)
                ))
            }),
        (None, [only]) => Ok(only),
        (None, _) => Err(Error::spec(format!(
            "`tensor` of [{what}] is needed: the model has {}",
            names(tensors)
        ))),
    }
}

fn names(tensors: &[TensorMetadata]) -> String {
    if tensors.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = tensors
        .iter()
        .map(|tensor| format!("{:?}", tensor.name))
        .collect();
    names.join(", ")
}

/// The media type without its parameters.
fn media_type(content_type: &str) -> String {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

/// Adds the cure for the two ways in which a form spoils a picture.
fn hint(error: Error, media: &str) -> Error {
    match media {
        "multipart/form-data" => {
            error.advise("the body is a form; send the picture itself: curl --data-binary @FILE")
        }
        "application/x-www-form-urlencoded" => {
            error.advise("curl -d drops line breaks; use --data-binary @FILE")
        }
        _ => error,
    }
}

//! The declaration, held against a model and ready to run.

use bytes::Bytes;
use dunlin_protocol::{Datatype, InferRequest, NamedTensor, Tensor, TensorMetadata};

use crate::body::{Fields, Media};
use crate::image::ImagePlan;
use crate::output::{Class, Pooler, Prediction, Ranking, Unscaling};
use crate::series::{self, SeriesPlan};
use crate::text::{self, MASK, Text, TextPlan, Tokenizer};
use crate::{Error, InputSpec, Limits, OutputSpec, Result, Spec};

/// The files that a declaration needs beside the graph.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The label of each class; empty where the model has none.
    pub labels: Vec<String>,
    /// The tokenizer of a model that takes text.
    pub tokenizer: Option<Tokenizer>,
}

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

/// A body, decoded.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The model's inputs.
    pub inputs: Vec<NamedTensor>,
    /// What the answer depends on.
    pub asked: Asked,
}

/// What an answer depends on, beside the model's outputs.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Whether one item came, and not as a list: then the answer is no list either.
    one: bool,
    /// Which tokens are a text's own and not padding, text by text; none: not known, so all.
    real: Option<Vec<bool>>,
}

impl Asked {
    /// One item: the answer is a list only where the outputs hold several.
    pub fn one() -> Self {
        Self {
            one: true,
            real: None,
        }
    }

    pub(crate) fn texts(list: bool, real: Vec<bool>) -> Self {
        Self {
            one: !list,
            real: Some(real),
        }
    }

    /// The tokens of the texts, padding not counted; 0 where no texts came.
    pub fn tokens(&self) -> usize {
        let real = self.real.iter().flatten();
        real.filter(|&&real| real).count()
    }
}

#[derive(Debug)]
enum Input {
    Tensors,
    Image { tensor: String, plan: ImagePlan },
    Text(Box<TextPlan>),
    Series(SeriesPlan),
}

#[derive(Debug)]
enum Output {
    Tensors,
    Classes(Ranking),
    Embedding(Pooler),
    Forecast(Unscaling),
}

impl Pipeline {
    /// Holds a declaration against the inputs and outputs of its model. Every contradiction is
    /// found here; what is left to fail later depends on the request.
    pub fn new(
        spec: &Spec,
        inputs: &[TensorMetadata],
        outputs: &[TensorMetadata],
        files: Files,
        limits: Limits,
    ) -> Result<Self> {
        let Files { labels, tokenizer } = files;
        let input = match &spec.input {
            None => Input::Tensors,
            Some(declared) => Input::new(declared, inputs, tokenizer, &limits)?,
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
    /// JSON with `inputs` is an inference request of the Open Inference Protocol v2, whatever the
    /// declaration. Any other body is what the declaration says: a picture, whose format is read
    /// from its bytes; text, as it is or in JSON; a series, in CSV or JSON.
    pub fn decode(&self, body: &Bytes, content_type: Option<&str>) -> Result<Decoded> {
        let media = Media::of(content_type);
        match &self.input {
            Input::Tensors if media.is_json() || media.name.is_empty() => self.decode_tensors(body),
            Input::Tensors => Err(Error::media(format!(
                "this model takes tensors, not {}: send an inference request of the Open \
                 Inference Protocol v2 as application/json",
                media.name
            ))),
            Input::Image { .. } if media.is_json() => self.decode_tensors(body),
            Input::Image { tensor, plan } => {
                let picture = plan
                    .decode(body, &self.limits)
                    .map_err(|error| media.hint(error))?;
                Ok(Decoded {
                    inputs: vec![NamedTensor::new(tensor, picture)],
                    asked: Asked::one(),
                })
            }
            Input::Text(plan) => {
                media.check_text("text: text/plain, or JSON with `text` or `texts`")?;
                let (texts, list) = match Fields::of(body, &media)? {
                    Some(fields) if fields.inputs.is_some() => return self.decode_tensors(body),
                    Some(fields) => text::from_json(fields.text, fields.pair, fields.texts)?,
                    None => text::from_plain(body)?,
                };
                plan.decode(&texts, list, &self.limits)
            }
            Input::Series(plan) => {
                media.check_text("a series: text/csv, or JSON with `series`")?;
                let window = plan.window();
                let values = match Fields::of(body, &media)? {
                    Some(fields) if fields.inputs.is_some() => return self.decode_tensors(body),
                    Some(Fields { series, .. }) => {
                        let series = series.ok_or_else(|| {
                            Error::input("the body is not {\"series\": [[…], …]}, a list a row")
                        })?;
                        series::from_json(series, &window, &self.limits)?
                    }
                    None => series::from_csv(body, &window, &self.limits)?,
                };
                Ok(Decoded {
                    inputs: vec![plan.tensor(&values)?],
                    asked: Asked::one(),
                })
            }
        }
    }

    /// Texts, of which the answer is a list; for models that take text.
    pub fn decode_texts(&self, texts: Vec<String>) -> Result<Decoded> {
        let Input::Text(plan) = &self.input else {
            return Err(Error::media("this model takes no text"));
        };
        let texts: Vec<Text> = texts.into_iter().map(Text::One).collect();
        plan.decode(&texts, true, &self.limits)
    }

    /// Tensors that came as such.
    pub fn of_tensors(&self, inputs: Vec<NamedTensor>) -> Decoded {
        let mask = inputs.iter().find(|input| input.name == MASK);
        let asked = Asked {
            one: matches!(self.input, Input::Image { .. }),
            real: mask.and_then(|mask| not_zero(&mask.tensor)),
        };
        Decoded { inputs, asked }
    }

    /// Turns the model's outputs into an answer.
    pub fn encode(&self, asked: &Asked, outputs: &[NamedTensor]) -> Result<Prediction> {
        match &self.output {
            Output::Tensors => Prediction::tensors(outputs),
            Output::Classes(ranking) => {
                let items = ranking.rank(outputs, &self.labels)?;
                Ok(match asked.only(items) {
                    Ok(predictions) => Prediction::Classes { predictions },
                    Err(predictions) => Prediction::Batch { predictions },
                })
            }
            Output::Embedding(pooler) => {
                let items = pooler.pool(outputs, asked.real.as_deref())?;
                Ok(match asked.only(items) {
                    Ok(embedding) => Prediction::Embedding { embedding },
                    Err(embeddings) => Prediction::Embeddings { embeddings },
                })
            }
            Output::Forecast(unscaling) => {
                let (unit, step) = (unscaling.unit.clone(), unscaling.step.clone());
                Ok(match asked.only(unscaling.steps(outputs)?) {
                    Ok(forecast) => Prediction::Forecast {
                        forecast,
                        unit,
                        step,
                    },
                    Err(forecasts) => Prediction::Forecasts {
                        forecasts,
                        unit,
                        step,
                    },
                })
            }
        }
    }

    /// The classes of each item, best first; `None` where the model does not classify.
    pub fn classes(&self, outputs: &[NamedTensor]) -> Option<Result<Vec<Vec<Class>>>> {
        match &self.output {
            Output::Classes(ranking) => Some(ranking.rank(outputs, &self.labels)),
            _ => None,
        }
    }

    /// Whether texts become vectors.
    pub fn embeds_text(&self) -> bool {
        matches!(
            (&self.input, &self.output),
            (Input::Text(_), Output::Embedding(_))
        )
    }

    /// The inputs that hold the last token of the vocabulary, and its id; `None` where the model
    /// takes no text. A model that can't run on them has fewer tokens than its tokenizer.
    pub fn last_token(&self) -> Option<Result<(Vec<NamedTensor>, u32)>> {
        match &self.input {
            Input::Text(plan) => Some(plan.last_token()),
            _ => None,
        }
    }

    /// The label of each class; empty where the model has none.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    fn decode_tensors(&self, body: &Bytes) -> Result<Decoded> {
        let request = InferRequest::decode(body, None, &self.limits.protocol).map_err(|error| {
            let message = error.to_string();
            match error.kind() {
                dunlin_protocol::ErrorKind::TooLarge => Error::too_large(message),
                _ => Error::input(message),
            }
            .because(error)
        })?;
        let inputs = request.inputs.into_iter();
        let inputs = inputs.map(|input| NamedTensor::new(input.name, input.tensor));
        Ok(self.of_tensors(inputs.collect()))
    }
}

impl Asked {
    /// The one item, where one was asked for.
    fn only<T>(&self, mut items: Vec<T>) -> Result<T, Vec<T>> {
        match items.len() {
            1 if self.one => Ok(items.remove(0)),
            _ => Err(items),
        }
    }
}

/// Where a mask is not zero.
fn not_zero(mask: &Tensor) -> Option<Vec<bool>> {
    match mask.datatype() {
        Datatype::Int64 => Some(mask.values::<i64>().ok()?.iter().map(|&m| m != 0).collect()),
        Datatype::Int32 => Some(mask.values::<i32>().ok()?.iter().map(|&m| m != 0).collect()),
        _ => None,
    }
}

impl Input {
    fn new(
        spec: &InputSpec,
        inputs: &[TensorMetadata],
        tokenizer: Option<Tokenizer>,
        limits: &Limits,
    ) -> Result<Self> {
        match spec {
            InputSpec::Tensor {} => Ok(Self::Tensors),
            InputSpec::Image(spec) => {
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
            InputSpec::Text(spec) => {
                let plan = TextPlan::new(spec, inputs, tokenizer)?;
                Ok(Self::Text(Box::new(plan)))
            }
            InputSpec::Series(spec) => SeriesPlan::new(spec, inputs, limits).map(Self::Series),
        }
    }
}

impl Output {
    fn new(spec: &OutputSpec, outputs: &[TensorMetadata], labels: usize) -> Result<Self> {
        let output = |name: &Option<String>| find("output", name.as_deref(), outputs);
        match spec {
            OutputSpec::Tensor {} => Ok(Self::Tensors),
            OutputSpec::Classification(spec) => {
                Ranking::new(spec, output(&spec.tensor)?, labels).map(Self::Classes)
            }
            OutputSpec::Embedding(spec) => {
                Pooler::new(spec, output(&spec.tensor)?).map(Self::Embedding)
            }
            OutputSpec::Forecast(spec) => {
                Unscaling::new(spec, output(&spec.tensor)?).map(Self::Forecast)
            }
        }
    }
}

/// The tensor that is named; the only one where none is.
pub(crate) fn find<'a>(
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

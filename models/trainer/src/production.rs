//! The version that serves now, asked about the same test part.

use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::NamedTensor;
use dunlin_registry::{ErrorKind as RegistryError, Manifest, ModelName, ModelRef, Registry, Role};
use dunlin_transforms::{
    Activation, Asked, Class, Files, Limits, OutputSpec, Pipeline, Prediction, Spec, Steps,
    Tokenizer, parse_labels,
};
use rayon::prelude::*;
use tokio::runtime::Handle;

use crate::data::{Dataset, Example, Forecasting, Part, Task};
use crate::evaluate::{Evaluation, Production};
use crate::{Error, ErrorKind, Result};

/// Evaluates the version that a request with the model's name alone gets: that of the alias
/// `production` (the one with the largest share, if there are several), else the newest; `None` if
/// nothing is published. It reads the test examples as it would read requests, and the engine runs it.
///
/// Classes that it doesn't know are never its answer; of classes that the data doesn't have, it is not
/// asked. Blocks; not to be called from a task of `runtime`.
pub(crate) fn evaluate(
    registry: &Registry,
    name: &ModelName,
    data: &Dataset,
    runtime: &Handle,
) -> Result<Option<Production>> {
    let unfit = |what: &str, error: Error| {
        let message = format!("{what} can't be compared with, so no gate can ask for production");
        Error::new(error.kind(), message).because(error)
    };
    let live = runtime.block_on(Live::fetch(registry, name));
    let Some(live) = live.map_err(|error| unfit("the version that serves", error))? else {
        return Ok(None);
    };
    let version = live.version.clone();
    let outputs = live.outputs(data).map_err(|error| unfit(&version, error))?;
    let evaluation = Evaluation::new(data, outputs);
    Ok(Some(Production {
        version,
        evaluation,
    }))
}

/// A version as hosts run it.
struct Live {
    version: String,
    model: Model,
    pipeline: Pipeline,
    activation: Activation,
}

impl Live {
    async fn fetch(registry: &Registry, name: &ModelName) -> Result<Option<Self>> {
        let route = match registry.route(&ModelRef::from(name.clone())).await {
            Ok(route) => route,
            Err(error) if error.kind() == RegistryError::ModelNotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Of equal shares the first: a canary comes after it.
        let largest = route
            .targets()
            .iter()
            .rev()
            .max_by_key(|target| target.weight);
        let version = largest.map_or_else(|| route.pick(0), |target| target.version);
        let manifest = registry.manifest(name, version).await?;
        let blob = async |role: Role, format: &str| match manifest.artifact(&role, format) {
            Some(artifact) => registry.blob(artifact, None).await.map(Some),
            None => Ok(None),
        };
        let version = format!("{name}@{version}");
        let onnx = blob(Role::Model, "onnx").await?;
        let onnx = onnx.ok_or_else(|| Error::usage(format!("{version} has no ONNX file")))?;
        let labels = blob(Role::Labels, "text").await?;
        let tokenizer = blob(Role::Tokenizer, "json").await?;
        let files = Files {
            labels: labels
                .as_deref()
                .map(parse_labels)
                .transpose()?
                .unwrap_or_default(),
            tokenizer: tokenizer.as_deref().map(Tokenizer::parse).transpose()?,
        };
        let (spec, activation) = all_classes(&manifest)?;
        let model = Model::load(&version, onnx, &LoadOptions::default()).map_err(failed)?;
        let limits = Limits::default();
        let pipeline = Pipeline::new(&spec, model.inputs(), model.outputs(), files, limits)?;
        Ok(Some(Self {
            version,
            model,
            pipeline,
            activation,
        }))
    }

    /// What a network for this data would give for its test part, `[examples × outputs]`.
    fn outputs(&self, data: &Dataset) -> Result<Vec<f32>> {
        let answer = |example: &Example| {
            let body = data.decoder.body(example)?;
            let decoded = self.pipeline.decode(&body, data.decoder.media())?;
            let outputs = self.model.run(decoded.inputs).map_err(failed)?;
            match &data.forecasting {
                Some(forecasting) => self.values(&decoded.asked, &outputs, forecasting),
                None if data.task == Task::SentenceSimilarity => {
                    self.vectors(&decoded.asked, &outputs)
                }
                None => self.scores(&outputs, &data.labels),
            }
        };
        let named = |example: &Example| {
            answer(example)
                .map_err(|error| Error::new(error.kind(), example.name.clone()).because(error))
        };
        let answers = data.part(Part::Test).par_iter().map(named);
        Ok(answers.collect::<Result<Vec<_>>>()?.concat())
    }

    /// A score for each of these labels.
    fn scores(&self, outputs: &[NamedTensor], labels: &[String]) -> Result<Vec<f32>> {
        let ranked = self.pipeline.classes(outputs).transpose()?;
        let ranked = ranked.and_then(|mut items| items.pop());
        let ranked = ranked.ok_or_else(|| Error::usage("it names no classes"))?;
        let mut scores = vec![f32::NEG_INFINITY; labels.len()];
        for Class {
            label,
            index,
            score,
        } in ranked
        {
            let label = label.unwrap_or_else(|| index.to_string());
            if let Ok(class) = labels.binary_search(&label) {
                scores[class] = match self.activation {
                    Activation::None => score,
                    _ => score.max(f32::MIN_POSITIVE).ln(),
                };
            }
        }
        if scores.iter().all(|score| score.is_infinite()) {
            let labels = labels.join(", ");
            return Err(Error::usage(format!(
                "it knows none of the classes {labels}"
            )));
        }
        Ok(scores)
    }

    /// The meanings of both texts of a pair, one after the other.
    fn vectors(&self, asked: &Asked, outputs: &[NamedTensor]) -> Result<Vec<f32>> {
        match self.pipeline.encode(asked, outputs)? {
            Prediction::Embeddings { embeddings } => Ok(embeddings.concat()),
            _ => Err(Error::usage("it gives no embeddings")),
        }
    }

    /// The steps to come, scaled.
    fn values(
        &self,
        asked: &Asked,
        outputs: &[NamedTensor],
        forecasting: &Forecasting,
    ) -> Result<Vec<f32>> {
        let Forecasting {
            steps, mean, std, ..
        } = *forecasting;
        match self.pipeline.encode(asked, outputs)? {
            Prediction::Forecast {
                forecast: Steps::Values(values),
                ..
            } if values.len() == steps => {
                let scaled = |value: f32| ((f64::from(value) - mean) / std) as f32;
                Ok(values.into_iter().map(scaled).collect())
            }
            _ => Err(Error::usage(format!("it does not foretell {steps} values"))),
        }
    }
}

fn failed(error: dunlin_engine::Error) -> Error {
    Error::new(ErrorKind::Failed, "the engine does not run it").because(error)
}

/// What a version declares, but for what keeps classes out of an answer; and what is done to scores.
fn all_classes(manifest: &Manifest) -> Result<(Spec, Activation)> {
    let mut spec = Spec::default();
    if !manifest.transforms.is_null() {
        spec = serde_json::from_value(manifest.transforms.clone()).map_err(|error| {
            let message = format!("the transforms of {} can't be read", manifest.version);
            Error::usage(message).because(error)
        })?;
    }
    let mut activation = Activation::None;
    if let Some(OutputSpec::Classification(output)) = &mut spec.output {
        activation = output.activation.unwrap_or_default();
        output.top_k = Some(usize::MAX);
        output.threshold = (activation != Activation::None).then_some(0.0);
    }
    Ok((spec, activation))
}

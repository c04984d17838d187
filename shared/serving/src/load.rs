//! One load: fetch → verify → load → golden examples → warm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_engine::{Model, OnnxSource};
use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};
use dunlin_registry::examples::{ExampleLimits, ExamplePack};
use dunlin_registry::{Artifact, Manifest, Registry};
use dunlin_telemetry::{Phase, Phases};
use dunlin_transforms::{self as transforms, Pipeline, Spec, Tokenizer, parse_labels};
use prometheus::IntGauge;
use tokio::runtime::Handle;

use crate::admission::Workers;
use crate::ahead::Fetches;
use crate::artifact::{self, Files};
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::pace::Pace;
use crate::usage::Usage;
use crate::{Error, ErrorKind, ServiceOptions};

/// Elements that a model without examples is warmed with at most.
const WARM_ELEMENTS: usize = 16 << 20;

/// How long building a model may wait for the worker that was free, and take.
const LOADING: Duration = Duration::from_mins(15);

/// A model that is loaded, has given its golden answers, and is warm.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) model: Model,
    pub(crate) pipeline: Pipeline,
    pub(crate) usage: Arc<Usage>,
    pub(crate) pace: Pace,
    /// What the load took.
    pub(crate) phases: Phases,
    memory: Held,
}

impl Loaded {
    /// Bytes that it holds now; more after each input of a new shape, up to the engine's limit.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.model.memory_bytes()
    }

    /// Looks at its memory again. Whether it has grown since the last look.
    pub(crate) fn has_grown(&self) -> bool {
        self.memory.update(self.model.memory_bytes())
    }
}

/// Counts a model's memory for as long as any run still uses it.
#[derive(Debug)]
struct Held {
    bytes: AtomicU64,
    gauge: IntGauge,
}

impl Held {
    fn new(bytes: u64, gauge: &IntGauge) -> Self {
        gauge.add(bytes as i64);
        Self {
            bytes: bytes.into(),
            gauge: gauge.clone(),
        }
    }

    fn update(&self, bytes: u64) -> bool {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes != before {
            self.gauge.add(bytes as i64 - before as i64);
        }
        bytes > before
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.sub(*self.bytes.get_mut() as i64);
    }
}

/// Loads models of a registry.
#[derive(Debug)]
pub(crate) struct Loader {
    registry: Registry,
    limits: Limits,
    prove_time: Duration,
    metrics: Arc<Metrics>,
    /// Where models are built, if not aside.
    workers: Option<Arc<Workers>>,
}

/// What is fetched of a version.
struct Parts {
    graph: Bytes,
    labels: Option<Bytes>,
    tokenizer: Option<Bytes>,
    examples: Option<Bytes>,
}

impl Loader {
    pub(crate) fn new(
        registry: Registry,
        options: &ServiceOptions,
        metrics: Arc<Metrics>,
        workers: &Arc<Workers>,
    ) -> Self {
        let (limits, prove_time) = (options.limits.clone(), options.prove_time);
        Self {
            registry,
            limits,
            prove_time,
            metrics,
            // Where nothing is done beside requests, a load keeps none of them from a worker.
            workers: (!options.background).then(|| workers.clone()),
        }
    }

    /// What a load will hold, before it is known: what the publisher measured, else by size.
    pub(crate) fn estimate(artifacts: &[Artifact]) -> u64 {
        let Ok(model) = artifact::runnable(artifacts) else {
            return 0;
        };
        model
            .measured
            .memory_bytes
            .unwrap_or(model.size.saturating_mul(2))
    }

    /// Begins to fetch files before it is sure that a manifest names them.
    pub(crate) fn fetch_ahead(&self, files: Files<'_>) -> Fetches {
        Fetches::begin(&self.registry, files)
    }

    /// Loads a version. The heavy part runs where it may block: on a worker that is free, so that the first request
    /// finds the memory that warming has taken, else on a thread of its own.
    pub(crate) async fn load(
        self: &Arc<Self>,
        manifest: Arc<Manifest>,
        ahead: Fetches,
    ) -> Result<Loaded, Error> {
        let name = manifest.name.clone();
        let mut phases = Phases::new();
        let fetching = Phases::start(Phase::Fetch);
        let parts = self.fetch(&manifest, ahead).await.map_err(|error| {
            Error::unusable(
                format_args!("cannot load version {}", manifest.version),
                error,
            )
            .of_model(name.as_str())
        })?;
        // Digests are computed while the bytes arrive: verifying is part of fetching here.
        fetching.stop(&mut phases);
        let (loader, runtime) = (self.clone(), Handle::current());
        let build = move || {
            let version = manifest.version;
            let built = loader.build(manifest, parts, phases, runtime);
            built.map_err(|error| {
                Error::unusable(format_args!("cannot load version {version}"), error)
            })
        };
        let outcome = match self.workers.as_ref().filter(|workers| workers.idle()) {
            Some(workers) => workers.run((Instant::now() + LOADING).into(), build).await,
            None => tokio::task::spawn_blocking(build).await.map_err(|error| {
                Error::new(ErrorKind::Internal, format!("loading panicked: {error}"))
            }),
        };
        outcome
            .flatten()
            .map_err(|error| error.of_model(name.as_str()))
    }

    async fn fetch(&self, manifest: &Manifest, mut ahead: Fetches) -> Result<Parts, Error> {
        let files = Files::of(&manifest.artifacts)?;
        artifact::explain(manifest, files.graph);
        let mut get = |artifact: Option<&Artifact>| {
            let artifact = artifact.cloned();
            let fetch = artifact.as_ref().map(|artifact| ahead.take(artifact));
            async move {
                let (Some(artifact), Some(mut fetch)) = (artifact, fetch) else {
                    return Ok(None);
                };
                if let Some(Ok(Some(bytes))) = fetch.join_next().await {
                    return Ok(Some(bytes));
                }
                self.registry.blob(&artifact, None).await.map(Some)
            }
        };
        let (graph, labels) = (get(Some(files.graph)), get(files.labels));
        let (tokenizer, examples) = (get(files.tokenizer), get(files.examples));
        // What the manifest does not name is not waited for.
        drop(ahead);
        let (graph, labels, tokenizer, examples) =
            futures_util::try_join!(graph, labels, tokenizer, examples)?;
        Ok(Parts {
            graph: graph.unwrap_or_default(),
            labels,
            tokenizer,
            examples,
        })
    }

    fn build(
        &self,
        manifest: Arc<Manifest>,
        parts: Parts,
        mut phases: Phases,
        runtime: Handle,
    ) -> Result<Loaded, Error> {
        let spec: Spec = match &manifest.transforms {
            serde_json::Value::Null => Spec::default(),
            value => serde::Deserialize::deserialize(value).map_err(|error| {
                Error::new(ErrorKind::ModelUnusable, format!("its transforms: {error}"))
            })?,
        };
        let loading = Phases::start(Phase::Load);
        let labels = parts.labels.as_deref().map(parse_labels).transpose()?;
        let tokenizer = parts.tokenizer.as_deref().map(Tokenizer::parse);
        let files = transforms::Files {
            labels: labels.unwrap_or_default(),
            tokenizer: tokenizer.transpose()?,
        };
        let model = self.model(&manifest, parts.graph, runtime)?;
        let pipeline = Pipeline::new(
            &spec,
            model.inputs(),
            model.outputs(),
            files,
            self.limits.transforms.clone(),
        )?;
        loading.stop(&mut phases);
        let warming = Phases::start(Phase::Warm);
        match parts.examples {
            Some(bytes) => self.prove(&model, &pipeline, &bytes)?,
            None => warm(&model)?,
        }
        warming.stop(&mut phases);
        let memory = Held::new(model.memory_bytes(), &self.metrics.own.memory);
        let usage = self.metrics.usage(&manifest.name, manifest.version);
        Ok(Loaded {
            manifest,
            model,
            pipeline,
            usage,
            pace: Pace::default(),
            phases,
            memory,
        })
    }

    /// The plan, or where there is none that fits this host, the ONNX file.
    fn model(&self, manifest: &Manifest, graph: Bytes, runtime: Handle) -> Result<Model, Error> {
        let (name, options) = (manifest.name.as_str(), &self.limits.engine);
        if !dunlin_engine::is_plan(&graph) {
            return Ok(Model::load(name, graph, options)?);
        }
        let (registry, onnx) = (
            self.registry.clone(),
            artifact::onnx(&manifest.artifacts)?.clone(),
        );
        // Most runs are on threads of our own; a short one may be on a thread of the runtime.
        let source: OnnxSource = Box::new(move || {
            let blob = || runtime.block_on(registry.blob(&onnx, None));
            Ok(tokio::task::block_in_place(blob)?)
        });
        Ok(Model::load_plan(name, &graph, Some(source), options)?)
    }

    fn prove(&self, model: &Model, pipeline: &Pipeline, bytes: &Bytes) -> Result<(), Error> {
        let pack = ExamplePack::decode(bytes, &ExampleLimits::default())?;
        let deadline = Instant::now() + self.prove_time;
        let replayed = pack.replay(Some(deadline), |example| {
            let decode = |body: &_, content_type: Option<&_>| {
                let decoded = pipeline.decode(body, content_type);
                decoded.map(|decoded| decoded.inputs).map_err(Error::from)
            };
            model.run(example.inputs(decode)?).map_err(Error::from)
        });
        match replayed {
            Ok(replay) => {
                tracing::debug!(
                    replay.replayed,
                    replay.max_difference,
                    "golden examples agree"
                );
                Ok(())
            }
            Err(failed) => Err(Error::new(ErrorKind::ModelUnusable, failed)),
        }
    }
}

/// Runs a model that has no examples once, on zeros, so that the first request finds its plan made.
///
/// A model that can't run on zeros of its least shape is not refused: its shape is the caller's.
fn warm(model: &Model) -> Result<(), Error> {
    let Some(inputs) = model.inputs().iter().map(zeros).collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    let dynamic = model
        .inputs()
        .iter()
        .any(|input| input.shape.iter().any(|&size| size < 0));
    match model.run(inputs) {
        Err(error) if !dynamic => Err(error.into()),
        _ => Ok(()),
    }
}

fn zeros(input: &TensorMetadata) -> Option<NamedTensor> {
    let shape: Vec<usize> = input
        .shape
        .iter()
        .map(|&size| usize::try_from(size).unwrap_or(1))
        .collect();
    let elements = shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))?;
    let elements = (elements <= WARM_ELEMENTS).then_some(elements)?;
    let tensor = match input.datatype {
        Datatype::Bytes => Tensor::from_strings(shape, vec![""; elements]),
        datatype => Tensor::new(datatype, shape, vec![0; elements * datatype.size()?].into()),
    };
    Some(NamedTensor::new(&input.name, tensor.ok()?))
}

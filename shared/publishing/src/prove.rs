//! The third stage: the examples, run, checked, replayed and measured.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_protocol::NamedTensor;
use dunlin_registry::examples::{Example, ExampleLimits, ExamplePack, Failure};
use dunlin_registry::{Measured, Role};
use serde_json::{Map, Value};

use crate::ask::{answer, check_label, latency, run};
use crate::plan::{ProvenPlan, Written};
use crate::seeded::{self, DYNAMIC_SIZES};
use crate::{Candidate, Compiled, Error, ErrorKind, Result, tensors};

/// How a model is proven.
#[derive(Debug, Clone)]
pub struct ProveOptions {
    /// Where the inputs of a model without examples come from.
    pub seed: u64,
    /// How many of them.
    pub seeded: usize,
    /// Time for runs whose only purpose is to measure latency.
    pub measure: Duration,
    /// A model whose examples take longer is refused. Looked at between runs: one run is not cut.
    pub time_limit: Duration,
    /// What the examples may hold.
    pub limits: ExampleLimits,
}

impl Default for ProveOptions {
    /// Two seeded inputs, a second of measuring, ten minutes in all.
    fn default() -> Self {
        Self {
            seed: 0,
            seeded: 2,
            measure: Duration::from_secs(1),
            time_limit: Duration::from_mins(10),
            limits: ExampleLimits::default(),
        }
    }
}

/// A model whose examples came out as they must, with what was measured on the way.
#[derive(Debug)]
pub struct Verified {
    pub(crate) candidate: Candidate,
    pub(crate) pack: ExamplePack,
    pub(crate) pack_bytes: Bytes,
    pub(crate) measured: Measured,
    pub(crate) plan: Option<ProvenPlan>,
}

/// What came of running the examples.
pub(crate) struct Proof {
    pub(crate) pack: ExamplePack,
    pack_bytes: Bytes,
    measured: Measured,
    plan: Written,
    notes: Vec<String>,
}

/// Fails once the time limit has passed: with so many examples done, of so many.
type InTime<'a> = dyn Fn(usize, usize) -> Result<()> + 'a;

impl Compiled {
    /// Runs every example, checks its label, replays it, and measures.
    ///
    /// The error of an unproven model lists every example that failed, with what was wanted and
    /// what came.
    pub fn prove(self, options: &ProveOptions) -> Result<Verified> {
        let proof = self.proof(options)?;
        Ok(self.verified(proof))
    }

    /// The same, and the model stays.
    pub(crate) fn proof(&self, options: &ProveOptions) -> Result<Proof> {
        let started = Instant::now();
        let in_time = |done: usize, of: usize| {
            if started.elapsed() <= options.time_limit {
                return Ok(());
            }
            let name = &self.candidate.name;
            let limit = options.time_limit;
            let message =
                format!("{name} is not proven: {done} of {of} examples took more than {limit:?}");
            Err(Error::new(ErrorKind::TooSlow, message))
        };
        self.check_vocabulary()?;
        let (examples, notes) = if self.candidate.examples.is_empty() {
            self.run_seeded(options, &in_time)?
        } else {
            (self.run_given(&in_time)?, Vec::new())
        };

        // Replayed from the very bytes that hosts will read.
        let pack_bytes = ExamplePack { examples }
            .encode(&options.limits)
            .map_err(too_many_examples)?;
        let pack = ExamplePack::decode(&pack_bytes, &options.limits).map_err(too_many_examples)?;
        let replay = pack
            .replay(None, |example| run(&self.model, &self.pipeline, example))
            .map_err(|failed| {
                let why = |failure: Failure| Failure {
                    why: format!("a second run of the same input differs: {}", failure.why),
                    ..failure
                };
                let failures = failed.failures.into_iter().map(why).collect();
                Error::unproven(self.candidate.name.as_str(), failures, failed.replayed)
            })?;
        in_time(pack.examples.len(), pack.examples.len())?;

        let latency = latency(&self.model, &self.pipeline, &pack.examples, options.measure)?;
        let measured = Measured {
            latency_ms: latency.map(milliseconds),
            load_ms: Some(milliseconds(self.load_time)),
            memory_bytes: Some(self.model.memory_bytes()),
            max_difference: Some(replay.max_difference),
            ..Measured::default()
        };
        let plan = self.plan(&pack, options)?;
        in_time(pack.examples.len(), pack.examples.len())?;
        Ok(Proof {
            pack,
            pack_bytes,
            measured,
            plan,
            notes,
        })
    }

    pub(crate) fn verified(self, proof: Proof) -> Verified {
        let mut candidate = self.candidate;
        candidate.notes.extend(proof.notes);
        let plan = match proof.plan {
            Written::Plan(plan) => Some(*plan),
            Written::Not(why) => {
                candidate.notes.push(why);
                None
            }
        };
        Verified {
            candidate,
            pack: proof.pack,
            pack_bytes: proof.pack_bytes,
            measured: proof.measured,
            plan,
        }
    }

    /// The model must have all tokens of its tokenizer: a text with one that it lacks would fail
    /// much later.
    fn check_vocabulary(&self) -> Result<()> {
        let Some(last) = self.pipeline.last_token() else {
            return Ok(());
        };
        let (inputs, id) = last.map_err(|error| {
            Error::new(ErrorKind::Transforms(error.kind()), error.to_string()).because(error)
        })?;
        let ran = self.model.run(inputs);
        ran.map(|_| ()).map_err(|error| {
            let message = format!(
                "{} can't run on token {id}, the last of its tokenizer: {error}; publish it with \
                 the tokenizer that it was trained with",
                self.candidate.name
            );
            Error::new(ErrorKind::Unproven, message).because(error)
        })
    }

    fn run_given(&self, in_time: &InTime) -> Result<Vec<Example>> {
        let given = &self.candidate.examples;
        let (mut examples, mut failures) = (Vec::new(), Vec::new());
        for (done, given_example) in given.iter().enumerate() {
            in_time(done, given.len())?;
            let mut example = Example {
                name: given_example.name.clone(),
                content_type: given_example.content_type.clone(),
                header_length: given_example.header_length,
                label: given_example.label.clone(),
                input: given_example.body.clone(),
                outputs: Vec::new(),
            };
            let checked = answer(&self.model, &self.pipeline, &example)
                .map_err(|error| error.to_string())
                .and_then(|(outputs, prediction)| {
                    check_label(example.label.as_deref(), &prediction)?;
                    Ok(outputs)
                });
            match checked {
                Ok(outputs) => {
                    example.outputs = outputs;
                    examples.push(example);
                }
                Err(why) => failures.push(Failure {
                    example: example.name,
                    why,
                }),
            }
        }
        if failures.is_empty() {
            return Ok(examples);
        }
        Err(Error::unproven(
            self.candidate.name.as_str(),
            failures,
            given.len(),
        ))
    }

    /// Examples from the seed. Dynamic dimensions are taken as the first size that runs.
    fn run_seeded(
        &self,
        options: &ProveOptions,
        in_time: &InTime,
    ) -> Result<(Vec<Example>, Vec<String>)> {
        let inputs = self.model.inputs();
        let is_dynamic = inputs
            .iter()
            .any(|input| input.shape.iter().skip(1).any(|&size| size < 0));
        let sizes = if is_dynamic {
            &DYNAMIC_SIZES[..]
        } else {
            &DYNAMIC_SIZES[..1]
        };
        let mut failures = Vec::new();
        for &size in sizes {
            match self.seeded_examples(size, options, in_time) {
                Ok(examples) => {
                    let count = examples.len();
                    let taken = if is_dynamic {
                        format!(", dynamic dimensions taken as {size}")
                    } else {
                        String::new()
                    };
                    return Ok((
                        examples,
                        vec![format!(
                            "no examples given: proven on {count} seeded inputs{taken}"
                        )],
                    ));
                }
                Err(error) if error.kind() == ErrorKind::TooSlow => return Err(error),
                Err(error) => failures.push(Failure {
                    example: format!("seeded input, dynamic dimensions taken as {size}"),
                    why: format!("{error}; give examples in model.toml"),
                }),
            }
        }
        let of = failures.len();
        Err(Error::unproven(self.candidate.name.as_str(), failures, of))
    }

    fn seeded_examples(
        &self,
        dynamic: usize,
        options: &ProveOptions,
        in_time: &InTime,
    ) -> Result<Vec<Example>> {
        (0..options.seeded)
            .map(|done| {
                in_time(done, options.seeded)?;
                let seed = options.seed.wrapping_add(done as u64);
                let inputs = seeded::inputs(self.model.inputs(), dynamic, seed)?;
                let outputs = self.model.run(inputs.clone())?;
                example_of_tensors(seed, inputs, outputs)
            })
            .collect()
    }
}

impl Verified {
    /// What was read.
    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// As [`Candidate::attach`], of what is known only now: how the model does at the precision that was chosen.
    pub fn attach(&mut self, role: Role, format: &str, bytes: Bytes) {
        self.candidate.attach(role, format, bytes);
    }

    /// Metrics to publish instead of those in `model.toml`, which are the source's.
    pub fn set_metrics(&mut self, metrics: Map<String, Value>) {
        self.candidate.description.metrics = metrics;
    }

    /// The examples with the outputs that every host must give.
    pub fn examples(&self) -> &ExamplePack {
        &self.pack
    }

    /// What was measured on the ONNX file.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Measures the largest difference of its examples' outputs from those of the same examples at the source.
    pub(crate) fn differs_from(&mut self, source: Option<&Self>) {
        let Some(source) = source else { return };
        let examples = self.pack.examples.iter().zip(&source.pack.examples);
        let outputs = examples.flat_map(|(here, there)| here.outputs.iter().zip(&there.outputs));
        let apart = outputs.filter_map(|(here, there)| {
            let here = here.tensor.values::<f32>().ok()?;
            let there = there.tensor.values::<f32>().ok()?;
            let apart = here
                .iter()
                .zip(&*there)
                .map(|(a, b)| f64::from((a - b).abs()));
            apart.reduce(f64::max)
        });
        let apart = apart.reduce(f64::max);
        self.measured.max_difference = apart;
        if let Some(plan) = &mut self.plan {
            plan.measured.max_difference = apart;
        }
    }

    /// The plan; none where an operator can't be written down, which a note of the candidate tells.
    pub fn plan(&self) -> Option<&ProvenPlan> {
        self.plan.as_ref()
    }
}

fn example_of_tensors(
    seed: u64,
    inputs: Vec<NamedTensor>,
    outputs: Vec<NamedTensor>,
) -> Result<Example> {
    let name = format!("seed {seed}");
    let request = tensors::request(&name, inputs)?;
    Ok(Example {
        name,
        content_type: Some(request.content_type),
        header_length: Some(request.header_length),
        label: None,
        input: request.body,
        outputs,
    })
}

fn too_many_examples(error: dunlin_registry::Error) -> Error {
    Error::new(ErrorKind::TooLarge, error.to_string()).because(error)
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    // Whole microseconds: more digits would only look exact.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

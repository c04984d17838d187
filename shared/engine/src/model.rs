//! A model that runs.

use std::time::Duration;

use crate::batch::Batching;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::Lowering;
use crate::plan::{Plan, Times};
use crate::plan_file::{self, PlanFile};
use crate::plans::Plans;
use crate::portable::{OnnxSource, Opened, Portable};
use crate::signature::Signature;
use crate::source::{Decoded, Graph};
use crate::tensor::as_declared;
use crate::{Limits, LoadOptions, Threads, check, tune};
use bytes::Bytes;
use dunlin_protocol::{NamedTensor, Tensor, TensorMetadata};
use serde::Serialize;

/// A loaded model: run it from as many threads as you like.
#[derive(Debug)]
pub struct Model {
    name: String,
    signature: Signature,
    limits: Limits,
    portable: Portable,
    /// Bytes of the constants that the plans of a file share.
    constants: u64,
    plans: Plans,
    /// Present where batches may be split.
    batching: Option<Batching>,
    threads: Threads,
}

/// The time that one node of the optimized graph took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeTime {
    /// The node's name, near to that of the ONNX node it came from.
    pub node: String,
    /// The operator of the optimized graph.
    pub op: String,
    /// Time in it, over all runs, in microseconds.
    pub micros: f64,
    /// How often it ran: more than once where a batch ran in parts.
    pub runs: u64,
}

/// Where node times are collected: by name and operator, in the order of first appearance.
type Profile = Vec<((String, String), (Duration, u64))>;

impl Model {
    /// Parses, checks and optimizes a model.
    ///
    /// The plan for the first run is made here if the file fixes every input dimension but
    /// the first: for batch 1 where that is dynamic. Other plans are made when their shape comes.
    /// `onnx` is dropped as soon as it is decoded.
    pub fn load(name: &str, onnx: Bytes, options: &LoadOptions) -> Result<Self> {
        Self::prepare(name, onnx, options).map_err(|error| error.in_model(name))
    }

    fn prepare(name: &str, onnx: Bytes, options: &LoadOptions) -> Result<Self> {
        let decoded = Decoded::new(&onnx, &options.limits)?;
        drop(onnx);
        let graph = decoded.check(&options.limits)?.graph()?;
        Self::from_graph(name, graph, options)
    }

    fn from_graph(name: &str, graph: Graph, options: &LoadOptions) -> Result<Self> {
        let Graph {
            model,
            signature,
            weights,
        } = graph;
        let batched = options.split_batches && signature.may_be_batched();
        let mut loaded = Self {
            name: name.to_owned(),
            limits: options.limits.clone(),
            portable: Portable::open(model, weights),
            constants: 0,
            plans: Plans::new(options.plans),
            batching: batched.then(Batching::default),
            threads: options.threads.clone(),
            signature,
        };
        if let Some(shapes) = loaded.signature.shapes(1) {
            loaded
                .plans
                .get(&shapes, || loaded.plan(&shapes, ErrorKind::Unsupported))?;
            if loaded.signature.is_fixed() {
                loaded.portable = Portable::Closed;
            }
        }
        Ok(loaded)
    }

    /// Loads a plan that [`Self::compile`] made, on this machine or another of its class: no graph
    /// is parsed, analysed or optimized, and what the kernels read stays where it lies in `plan`,
    /// which is best aligned to 64 bytes. `onnx` is asked for the file that the plan was compiled
    /// from when inputs come that it was not compiled for; without it, such inputs are refused.
    ///
    /// A plan of another engine or for another class of machine is [`ErrorKind::Unsupported`]:
    /// load the ONNX file instead.
    pub fn load_plan(
        name: &str,
        plan: &Bytes,
        onnx: Option<OnnxSource>,
        options: &LoadOptions,
    ) -> Result<Self> {
        Self::read(name, plan, onnx, options).map_err(|error| error.in_model(name))
    }

    fn read(
        name: &str,
        plan: &Bytes,
        onnx: Option<OnnxSource>,
        options: &LoadOptions,
    ) -> Result<Self> {
        let PlanFile {
            signature,
            batches,
            graphs,
            constants,
        } = plan_file::read(plan, &options.limits)?;
        let batched = options.split_batches && signature.may_be_batched();
        let plans = Plans::new(options.plans.max(graphs.len()));
        for (shapes, graph) in graphs {
            plans.get(&shapes, || Plan::read(graph))?;
        }
        Ok(Self {
            name: name.to_owned(),
            limits: options.limits.clone(),
            portable: onnx.map_or(Portable::Closed, Portable::later),
            constants,
            plans,
            batching: batched.then(|| Batching::of(batches)),
            threads: options.threads.clone(),
            signature,
        })
    }

    /// Writes the plans of this model down, for [`Self::load_plan`]: those for the shapes that it
    /// has been run on. Run it on what it will be asked first; a batch of different items, too, so
    /// that the plan tells how batches run fastest.
    ///
    /// Fails where an operator can't be written down ([`ErrorKind::Unsupported`]).
    pub fn compile(&self) -> Result<Bytes> {
        let batches = self
            .batching
            .as_ref()
            .map_or(plan_file::Batches::Unknown, Batching::known);
        let mut plans = self.plans.made();
        plans.sort_by(|(one, _), (other, _)| one.cmp(other));
        let graphs: Vec<_> = plans
            .iter()
            .map(|(shapes, plan)| {
                let (graph, origins) = plan.graph();
                let mut first = shapes.iter().map(|shape| shape.first().copied());
                let batch = first.next().flatten();
                let shared = first.all(|other| other == batch);
                plan_file::ShapedGraph {
                    shapes: shapes.clone(),
                    batch: batch
                        .filter(|_| shared)
                        .and_then(|batch| batch.try_into().ok()),
                    graph,
                    origins,
                }
            })
            .collect();
        plan_file::write(&self.signature, batches, &graphs)
            .map_err(|error| error.in_model(&self.name))
    }

    /// Finds out what this machine does faster in another way than the usual one, and lets all plans made so far do it
    /// so: for [`Self::compile`] to write down. `onnx` is what the model was loaded from, if that is at hand. It runs on one example of each
    /// shape, which it has run on before: for about `time` for each of at most four questions, and a few times at least.
    ///
    /// Who does a product or a convolution, and how wide blocks are, follows the rule without the file, and in files of
    /// more than 256 MiB.
    pub fn tune(
        &self,
        onnx: Option<&Bytes>,
        examples: Vec<Vec<NamedTensor>>,
        time: Duration,
    ) -> Result<()> {
        self.choose(onnx, examples, time)
            .map_err(|error| error.in_model(&self.name))
    }

    fn choose(
        &self,
        onnx: Option<&Bytes>,
        examples: Vec<Vec<NamedTensor>>,
        time: Duration,
    ) -> Result<()> {
        let examples = examples.into_iter().map(|inputs| self.accept(inputs));
        let examples = examples.collect::<Result<Vec<_>>>()?;
        let small = onnx.filter(|onnx| onnx.len() <= tune::LARGEST_FILE);
        let kept = match small {
            Some(_) => self.portable.get(&self.limits)?,
            None => None,
        };
        let read = match small.filter(|_| kept.is_none()) {
            Some(onnx) => Some(Opened::read(onnx.clone(), &self.limits)?),
            None => None,
        };
        let opened = kept.or(read.as_ref());
        let opened = opened.filter(|opened| opened.graph.nodes.len() <= tune::LARGEST_GRAPH);
        let make = opened.map(|opened| {
            move |shapes: &[Vec<usize>], lowering: &mut Lowering<'_>| {
                let inputs = &self.signature.inputs;
                let kind = ErrorKind::Failed;
                Plan::make(opened, inputs, shapes, &self.limits, kind, lowering)
            }
        });
        let make = make.as_ref().map(|make| make as tune::Make<'_>);
        tune::tune(&self.plans, make, &examples, time)
    }

    /// What a run takes.
    pub fn inputs(&self) -> &[TensorMetadata] {
        &self.signature.inputs
    }

    /// What a run gives, in the graph's order.
    pub fn outputs(&self) -> &[TensorMetadata] {
        &self.signature.outputs
    }

    /// Runs the model on its inputs, given in any order; all outputs come, in the graph's order.
    ///
    /// The first run on a new shape makes its plan, which takes many times as long as the run.
    pub fn run(&self, inputs: Vec<NamedTensor>) -> Result<Vec<NamedTensor>> {
        self.start(inputs, None)
            .map_err(|error| error.in_model(&self.name))
    }

    /// Runs the model twice, the second time with a clock on every node. Times come in the order
    /// of the nodes' first runs.
    pub fn profile(&self, inputs: Vec<NamedTensor>) -> Result<Vec<NodeTime>> {
        // The first run makes plans and measures batches: that is no part of the profile.
        self.run(inputs.clone())?;
        let mut profile = Profile::new();
        self.start(inputs, Some(&mut profile))
            .map_err(|error| error.in_model(&self.name))?;
        let time = |((node, op), (time, runs)): ((String, String), (Duration, u64))| NodeTime {
            node,
            op,
            micros: time.as_secs_f64() * 1e6,
            runs,
        };
        Ok(profile.into_iter().map(time).collect())
    }

    /// An estimate of the memory that the model holds now, and that one run of it needs, in
    /// bytes. It grows as plans for new shapes are made, up to [`LoadOptions::plans`] of them.
    pub fn memory_bytes(&self) -> u64 {
        self.portable.bytes() + self.constants + self.plans.bytes()
    }

    fn start(
        &self,
        inputs: Vec<NamedTensor>,
        mut profile: Option<&mut Profile>,
    ) -> Result<Vec<NamedTensor>> {
        let inputs = self.accept(inputs)?;
        let mut whole = |inputs: &[Tensor]| self.whole(inputs, profile.as_deref_mut());
        let outputs = match (&self.batching, batch(&inputs)) {
            (Some(batching), Some(len)) if len > 1 => {
                let drop_plan = |inputs: &[Tensor]| self.plans.forget(&shapes(inputs));
                batching.run(&inputs, len, &mut whole, &drop_plan)?
            }
            _ => whole(&inputs)?,
        };
        let names = self
            .signature
            .outputs
            .iter()
            .map(|output| output.name.clone());
        Ok(names
            .zip(outputs)
            .map(|(name, tensor)| NamedTensor { name, tensor })
            .collect())
    }

    /// Runs the plan for exactly these inputs.
    fn whole(&self, inputs: &[Tensor], profile: Option<&mut Profile>) -> Result<Vec<Tensor>> {
        let shapes = shapes(inputs);
        let plan = self
            .plans
            .get(&shapes, || self.plan(&shapes, ErrorKind::InvalidInput))?;
        let run = |times: Option<&mut Times>| {
            if plan.shared {
                self.threads.run(|| plan.run(inputs, times))
            } else {
                plan.run(inputs, times)
            }
        };
        let Some(profile) = profile else {
            return self.declared(run(None)?);
        };
        let mut times = Times::new();
        let outputs = self.declared(run(Some(&mut times))?)?;
        for (id, time) in times {
            let place = plan.node(id);
            match profile.iter_mut().find(|(known, _)| *known == place) {
                Some((_, (total, runs))) => {
                    *total += time;
                    *runs += 1;
                }
                None => profile.push((place, (time, 1))),
            }
        }
        Ok(outputs)
    }

    /// A plan's outputs in the datatypes that the model declares.
    fn declared(&self, outputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let declared = self.signature.outputs.iter();
        let pairs = outputs.into_iter().zip(declared);
        pairs
            .map(|(tensor, output)| as_declared(tensor, output.datatype))
            .collect()
    }

    fn plan(&self, shapes: &[Vec<usize>], kind: ErrorKind) -> Result<Plan> {
        let open = self.portable.get(&self.limits)?.ok_or_else(|| {
            let made = self.plans.made().into_iter().map(|(shapes, _)| shapes);
            let known = made
                .map(|shapes| format!("{shapes:?}"))
                .collect::<Vec<_>>()
                .join(", ");
            Error::invalid_input(format!(
                "the model has no plan for inputs of shape {shapes:?}"
            ))
            .with_cure(format!("it has plans for {known}"))
        })?;
        let start = std::time::Instant::now();
        let plan = Plan::make(
            open,
            &self.signature.inputs,
            shapes,
            &self.limits,
            kind,
            &mut Lowering {
                blocks: None,
                leaves: &mut |_, _, _| false,
            },
        )?;
        tracing::debug!(model = self.name, ?shapes, took = ?start.elapsed(), "plan made");
        Ok(plan)
    }

    /// The inputs in the graph's order, each as the model declares it.
    fn accept(&self, inputs: Vec<NamedTensor>) -> Result<Vec<Tensor>> {
        let wanted = &self.signature.inputs;
        let mut accepted: Vec<Option<Tensor>> = vec![None; wanted.len()];
        for NamedTensor { name, tensor } in inputs {
            let Some(at) = wanted.iter().position(|input| input.name == name) else {
                return Err(
                    Error::invalid_input(format!("the model has no input \"{name}\""))
                        .with_cure(format!("its inputs: {}", list(wanted))),
                );
            };
            self.fits(&wanted[at], &tensor)?;
            if accepted[at].replace(tensor).is_some() {
                return Err(Error::invalid_input(format!(
                    "input \"{name}\" is given twice"
                )));
            }
        }
        let missing = accepted.iter().position(Option::is_none);
        if let Some(at) = missing {
            let name = &wanted[at].name;
            return Err(Error::invalid_input(format!("input \"{name}\" is missing"))
                .with_cure(format!("the model's inputs: {}", list(wanted))));
        }
        Ok(accepted.into_iter().flatten().collect())
    }

    fn fits(&self, wanted: &TensorMetadata, tensor: &Tensor) -> Result<()> {
        let TensorMetadata {
            name,
            datatype,
            shape,
        } = wanted;
        if tensor.datatype() != *datatype {
            let got = tensor.datatype();
            return Err(Error::invalid_input(format!(
                "input \"{name}\" is {got}; the model takes {datatype}"
            )));
        }
        if !wanted.accepts(tensor.shape()) {
            let got = tensor.shape();
            return Err(Error::invalid_input(format!(
                "input \"{name}\" has shape {got:?}; the model takes {shape:?}, where -1 is any size"
            )));
        }
        check::elements(tensor.shape().iter().copied(), &self.limits)
            .map(drop)
            .map_err(|error| error.at(name, "input"))
    }
}

fn shapes(inputs: &[Tensor]) -> Vec<Vec<usize>> {
    inputs.iter().map(|input| input.shape().to_vec()).collect()
}

/// The first dimension, if all inputs share it and can be cut along it.
fn batch(inputs: &[Tensor]) -> Option<usize> {
    let first = |input: &Tensor| {
        let sized = input.datatype().size().is_some();
        input.shape().first().copied().filter(|_| sized)
    };
    let len = inputs.first().and_then(first)?;
    inputs
        .iter()
        .all(|input| first(input) == Some(len))
        .then_some(len)
}

fn list(inputs: &[TensorMetadata]) -> String {
    let one =
        |input: &TensorMetadata| format!("\"{}\" {} {:?}", input.name, input.datatype, input.shape);
    inputs.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, plans: usize) -> Model {
        let path = format!("{}/tests/data/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
        let onnx = std::fs::read(path).expect("a model").into();
        let options = LoadOptions {
            plans,
            ..LoadOptions::default()
        };
        Model::load(name, onnx, &options).expect("a model")
    }

    fn rows(len: usize) -> Vec<NamedTensor> {
        let values = (0..len * 8).map(|value| value as f32).collect();
        let tensor = Tensor::from_vec(vec![len, 8], values).expect("sound");
        vec![NamedTensor::new("x", tensor)]
    }

    #[test]
    fn the_oldest_plan_goes() {
        // Its batches run whole, so each size has a plan.
        let model = model("batch_as_one", 2);
        assert_eq!(model.plans.len(), 1, "made at load, for a batch of 1");
        for len in [3, 5, 3, 7] {
            model.run(rows(len)).expect("a run");
        }
        assert_eq!(model.plans.len(), 2);
        // What was used last is there, and is not made again.
        let bytes = model.memory_bytes();
        model.run(rows(7)).expect("a run");
        assert_eq!(model.memory_bytes(), bytes);
    }

    #[test]
    fn a_failed_plan_takes_no_place() {
        let model = model("two_inputs", 2);
        let x = |name: &str, len: usize| {
            let tensor = Tensor::from_vec(vec![len, 4], vec![0_f32; len * 4]).expect("sound");
            NamedTensor::new(name, tensor)
        };
        model
            .run(vec![x("a", 2), x("b", 3)])
            .expect_err("they contradict each other");
        assert_eq!(model.plans.len(), 1);
    }

    #[test]
    fn the_graph_goes_where_one_plan_is_all() {
        assert_eq!(model("lstm_forward", 8).portable.bytes(), 0);
        assert!(model("batch_of_items", 8).portable.bytes() > 0);
    }
}

//! A graph that is being rewritten: weights by name, readers of values, new names.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value};

use crate::import::{Names, node};
use crate::proto::{attribute, is_onnx, opset, subgraphs};

/// The outermost graph of a model that was checked. Graphs within it are left alone.
pub(super) struct Edit {
    pub(super) graph: pb::GraphProto,
    /// How many weights were rewritten.
    pub(super) changed: usize,
    /// All of the model but its graph.
    around: pb::ModelProto,
    weights: HashMap<String, usize>,
    names: Names,
}

/// A weight's numbers, in row-major order.
pub(super) struct Weights {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Vec<f32>,
}

impl Edit {
    pub(super) fn new(mut model: pb::ModelProto) -> Self {
        let mut graph = model.graph.take().unwrap_or_default();
        constants_to_initializers(&mut graph);
        let names = Names::of(&graph);
        let weights = graph.initializer.iter().enumerate();
        let weights = weights.map(|(at, weight)| (weight.name.clone(), at));
        Self {
            weights: weights.collect(),
            graph,
            changed: 0,
            around: model,
            names,
        }
    }

    /// The model, without the weights that nothing reads any more.
    pub(super) fn finish(mut self) -> pb::ModelProto {
        let graph = &mut self.graph;
        let mut read = HashSet::new();
        collect_reads(graph, &mut read);
        // What is left out in a list of inputs has no name, and nor have forgotten weights.
        read.remove("");
        let is_weight = |name: &String| self.weights.contains_key(name);
        // Before IR version 4 weights are inputs, too.
        graph
            .input
            .retain(|input| !is_weight(&input.name) || read.contains(&input.name));
        graph
            .initializer
            .retain(|weight| read.contains(&weight.name));
        pb::ModelProto {
            graph: Some(self.graph),
            ..self.around
        }
    }

    /// The model as it is now, with these values as its outputs, whose shapes are unsaid.
    pub(super) fn observing(&self, values: &[String]) -> pb::ModelProto {
        let mut graph = self.graph.clone();
        graph.output.clear();
        for (at, value) in values.iter().enumerate() {
            let name = format!("{at}.{value}.observed");
            graph.node.push(node("Identity", &[value], &name));
            graph.output.push(output(name));
        }
        pb::ModelProto {
            graph: Some(graph),
            ..self.around.clone()
        }
    }

    /// The version of ONNX's own operator set.
    pub(super) fn opset(&self) -> i64 {
        opset(&self.around).unwrap_or(0)
    }

    pub(super) fn set_opset(&mut self, version: i64) {
        let mut sets = self.around.opset_import.iter_mut();
        if let Some(set) = sets.find(|set| is_onnx(&set.domain)) {
            set.version = version;
        }
    }

    pub(super) fn is_weight(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    /// The shape of a weight of single precision.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let weight = &self.graph.initializer[*self.weights.get(name)?];
        let single = weight.data_type == DataType::Float as i32;
        let dims = weight.dims.iter().map(|&dim| usize::try_from(dim).ok());
        single.then(|| dims.collect()).flatten()
    }

    /// The numbers of a weight of single precision.
    pub(super) fn weights(&self, name: &str) -> Option<Weights> {
        let shape = self.shape(name)?;
        let weight = &self.graph.initializer[*self.weights.get(name)?];
        let raw = weight.raw_data.chunks_exact(4);
        let numbers = if weight.raw_data.is_empty() {
            weight.float_data.clone()
        } else {
            raw.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect()
        };
        let finite = numbers.iter().all(|number| number.is_finite());
        finite.then_some(Weights { shape, numbers })
    }

    /// Takes a weight's name from it: something else bears it now.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(at) = self.weights.remove(name) {
            self.graph.initializer[at].name.clear();
            self.graph.input.retain(|input| input.name != name);
        }
    }

    pub(super) fn fresh(&mut self, base: &str) -> String {
        self.names.fresh(base)
    }

    pub(super) fn add_f32(&mut self, base: &str, shape: &[usize], numbers: &[f32]) -> String {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        self.add(base, DataType::Float, shape, bytes.collect())
    }

    /// Adds a weight; gives its name.
    pub(super) fn add(
        &mut self,
        base: &str,
        datatype: DataType,
        shape: &[usize],
        raw_data: Vec<u8>,
    ) -> String {
        let name = self.fresh(base);
        self.weights
            .insert(name.clone(), self.graph.initializer.len());
        self.graph.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: shape.iter().map(|&dim| dim as i64).collect(),
            data_type: datatype as i32,
            raw_data,
            ..pb::TensorProto::default()
        });
        name
    }

    /// Which nodes read each value, by their place; readers within inner graphs are the node around them.
    pub(super) fn readers(&self) -> HashMap<String, Vec<usize>> {
        let mut readers: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, node) in self.graph.node.iter().enumerate() {
            let mut reads = HashSet::new();
            reads.extend(node.input.iter().cloned());
            subgraphs(node).for_each(|inner| collect_reads(inner, &mut reads));
            for name in reads {
                readers.entry(name).or_default().push(at);
            }
        }
        readers
    }

    pub(super) fn is_output(&self, name: &str) -> bool {
        self.graph.output.iter().any(|output| output.name == name)
    }

    /// Rewrites the nodes one by one, in their order: `write` puts into the list what stands for a node.
    pub(super) fn rewrite(
        &mut self,
        mut write: impl FnMut(&mut Self, pb::NodeProto, &mut Vec<pb::NodeProto>),
    ) {
        let old = std::mem::take(&mut self.graph.node);
        let mut nodes = Vec::with_capacity(old.len() * 2);
        for node in old {
            write(self, node, &mut nodes);
        }
        self.graph.node = nodes;
    }
}

/// A node's integer attribute.
pub(super) fn integer_or(node: &pb::NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

/// A node's attribute of one number.
pub(super) fn float_or(node: &pb::NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |attribute| attribute.f)
}

/// Largest magnitude and the grid of signed bytes that it spans: numbers are bytes times this.
pub(super) fn step<'a>(numbers: impl IntoIterator<Item = &'a f32>) -> f32 {
    let largest = numbers
        .into_iter()
        .fold(0_f32, |most, number| most.max(number.abs()));
    let step = largest / 127.0;
    // So small that it would be subnormal: such numbers are zeros.
    if step < f32::MIN_POSITIVE { 1.0 } else { step }
}

/// The byte nearest to a number, on a grid of this step.
pub(super) fn byte(number: f32, step: f32) -> u8 {
    ((number / step).round_ties_even().clamp(-127.0, 127.0) as i8).cast_unsigned()
}

/// An output of single precision.
fn output(name: String) -> pb::ValueInfoProto {
    let tensor = TensorType {
        elem_type: DataType::Float as i32,
        shape: None,
    };
    pb::ValueInfoProto {
        name,
        r#type: Some(pb::TypeProto {
            denotation: String::new(),
            value: Some(Value::TensorType(tensor)),
        }),
        doc_string: String::new(),
    }
}

/// `Constant` nodes that hold a tensor become initializers, where passes look for weights.
fn constants_to_initializers(graph: &mut pb::GraphProto) {
    let outputs: HashSet<String> = graph
        .output
        .iter()
        .map(|output| output.name.clone())
        .collect();
    let initializers = &mut graph.initializer;
    graph.node.retain_mut(|node| {
        let [output] = &node.output[..] else {
            return true;
        };
        if node.op_type != "Constant" || outputs.contains(output) {
            return true;
        }
        let value = node
            .attribute
            .iter_mut()
            .find(|attribute| attribute.name == "value");
        let Some(mut tensor) = value.and_then(|attribute| attribute.t.take()) else {
            return true;
        };
        tensor.name.clone_from(output);
        initializers.push(tensor);
        false
    });
}

fn collect_reads(graph: &pb::GraphProto, reads: &mut HashSet<String>) {
    reads.extend(graph.output.iter().map(|output| output.name.clone()));
    for node in &graph.node {
        reads.extend(node.input.iter().cloned());
        subgraphs(node).for_each(|inner| collect_reads(inner, reads));
    }
}

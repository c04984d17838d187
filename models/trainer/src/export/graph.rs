//! The builder: nodes, weights, inputs and outputs of one graph.

use burn::tensor::{Tensor, TensorData};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, type_proto,
};

/// The version of ONNX's operator set that is written.
pub const OPSET: i64 = 18;

/// The version of the file format that belongs to [`OPSET`].
const IR_VERSION: i64 = 8;

/// The first dimension of every input and output: any size.
const BATCH: &str = "batch";

/// The second dimension of tokens: any size, too.
const TOKENS: &str = "tokens";

/// Something that flows through a graph: an input, or what a node gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// The name that it has in the file.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Stands for an input that a node may have, and doesn't.
    pub(super) fn absent() -> Self {
        Self(String::new())
    }
}

/// An ONNX graph in the making. Numbers are FP32, but for tokens; the first dimension of inputs and outputs is
/// the batch, of any size.
#[derive(Debug)]
pub struct Graph {
    graph: GraphProto,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        let graph = GraphProto {
            name: name.to_owned(),
            ..GraphProto::default()
        };
        Self { graph }
    }

    /// An input of shape `[batch, item...]`.
    pub fn input(&mut self, name: &str, item: &[usize]) -> Value {
        self.graph
            .input
            .push(value_info(name, DataType::Float, fixed(item)));
        Value(name.to_owned())
    }

    /// An input of shape `[batch, tokens]`, both of any size: whole numbers.
    pub fn tokens(&mut self, name: &str) -> Value {
        let tokens = vec![dimension::Value::DimParam(TOKENS.to_owned())];
        self.graph
            .input
            .push(value_info(name, DataType::Int64, tokens));
        Value(name.to_owned())
    }

    /// A constant, from the weights of a layer.
    pub fn weight<const D: usize>(&mut self, tensor: Tensor<D>) -> Value {
        let dims = tensor.dims().map(|dim| dim as i64);
        let values = floats(&tensor.into_data());
        let bytes = values.into_iter().flat_map(f32::to_le_bytes);
        self.constant(DataType::Float, dims.to_vec(), bytes.collect())
    }

    /// A constant number.
    pub fn number(&mut self, value: f64) -> Value {
        let bytes = (value as f32).to_le_bytes();
        self.constant(DataType::Float, Vec::new(), bytes.to_vec())
    }

    /// A constant list of whole numbers, such as a shape.
    pub fn whole(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(DataType::Int64, vec![values.len() as i64], bytes.collect())
    }

    fn constant(&mut self, data_type: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> Value {
        let name = format!("weight_{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims,
            data_type: data_type as i32,
            raw_data,
            ..TensorProto::default()
        });
        Value(name)
    }

    /// Adds a node with one output.
    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        self.node_with_output(0, op, inputs, attributes)
    }

    /// Adds a node of whose outputs one is used, by its place.
    pub(super) fn node_with_output(
        &mut self,
        place: usize,
        op: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        let name = format!("{}_{}", op.to_lowercase(), self.graph.node.len());
        let mut output = vec![String::new(); place];
        output.push(name.clone());
        self.graph.node.push(NodeProto {
            name: name.clone(),
            op_type: op.to_owned(),
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output,
            attribute: attributes,
            ..NodeProto::default()
        });
        Value(name)
    }

    /// The bytes of the model. Each output has a name, and a shape `[batch, item...]`.
    ///
    /// # Panics
    /// If an output is an input of the graph, or named twice.
    pub fn finish(mut self, outputs: &[(&str, &Value, &[usize])]) -> Vec<u8> {
        for (name, value, item) in outputs {
            let nodes = &mut self.graph.node;
            let made = nodes.iter().any(|node| node.output.contains(&value.0));
            assert!(made, "{} is not a node's output, or already named", value.0);
            for node in nodes {
                let uses = node.input.iter_mut().chain(&mut node.output);
                for used in uses.filter(|used| **used == value.0) {
                    (*name).clone_into(used);
                }
            }
            let info = value_info(name, DataType::Float, fixed(item));
            self.graph.output.push(info);
        }
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "dunlin-train".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            graph: Some(self.graph),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }
}

/// An attribute that is a whole number.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..AttributeProto::default()
    }
}

/// An attribute that is a list of whole numbers.
pub(super) fn ints(name: &str, values: impl IntoIterator<Item = usize>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: values.into_iter().map(|value| value as i64).collect(),
        ..AttributeProto::default()
    }
}

/// An attribute that is a number.
pub(super) fn float(name: &str, value: f64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Float as i32,
        f: value as f32,
        ..AttributeProto::default()
    }
}

fn fixed(item: &[usize]) -> Vec<dimension::Value> {
    let size = |&size: &usize| dimension::Value::DimValue(size as i64);
    item.iter().map(size).collect()
}

/// `item`: the dimensions after the batch.
fn value_info(name: &str, data_type: DataType, item: Vec<dimension::Value>) -> ValueInfoProto {
    let dimension = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let batch = dimension::Value::DimParam(BATCH.to_owned());
    let dims = std::iter::once(batch).chain(item).map(dimension);
    let tensor = type_proto::Tensor {
        elem_type: data_type as i32,
        shape: Some(TensorShapeProto {
            dim: dims.collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

/// Weights of whatever precision they were trained in, as FP32.
fn floats(data: &TensorData) -> Vec<f32> {
    data.iter::<f32>().collect()
}

//! The builder: nodes, weights, inputs and outputs of one graph.

use burn::tensor::{Tensor, TensorData};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto,
    type_proto,
};

/// The version of ONNX's operator set that is written.
pub const OPSET: i64 = 18;

/// The version of the file format that belongs to [`OPSET`].
const IR_VERSION: i64 = 8;

/// The first dimension of every input and output: any size.
const BATCH: &str = "batch";

/// Something that flows through a graph: an input, or what a node gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// The name that it has in the file.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An ONNX graph in the making. All numbers are FP32; the first dimension of inputs and outputs is
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
        self.graph.input.push(value_info(name, item));
        Value(name.to_owned())
    }

    /// A constant, from the weights of a layer.
    pub fn weight<const D: usize>(&mut self, tensor: Tensor<D>) -> Value {
        let dims: Vec<i64> = tensor.dims().iter().map(|&dim| dim as i64).collect();
        let values = floats(&tensor.into_data());
        let raw_data = values.into_iter().flat_map(f32::to_le_bytes);
        let name = format!("weight_{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims,
            data_type: tensor_proto::DataType::Float as i32,
            raw_data: raw_data.collect(),
            ..TensorProto::default()
        });
        Value(name)
    }

    /// Adds a node with one output.
    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        let name = format!("{}_{}", op.to_lowercase(), self.graph.node.len());
        self.graph.node.push(NodeProto {
            name: name.clone(),
            op_type: op.to_owned(),
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![name.clone()],
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
            let made = nodes.iter().any(|node| node.output[0] == value.0);
            assert!(made, "{} is not a node's output, or already named", value.0);
            for node in nodes {
                let uses = node.input.iter_mut().chain(&mut node.output);
                for used in uses.filter(|used| **used == value.0) {
                    (*name).clone_into(used);
                }
            }
            self.graph.output.push(value_info(name, item));
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

fn value_info(name: &str, item: &[usize]) -> ValueInfoProto {
    let dimension = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let batch = dimension(dimension::Value::DimParam(BATCH.to_owned()));
    let item = item
        .iter()
        .map(|&size| dimension(dimension::Value::DimValue(size as i64)));
    let tensor = type_proto::Tensor {
        elem_type: tensor_proto::DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: std::iter::once(batch).chain(item).collect(),
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

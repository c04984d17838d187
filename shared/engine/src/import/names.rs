//! New names for what passes add.

use std::collections::HashSet;

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

use crate::proto::subgraphs;

/// All names of a model, so that a new one is new.
#[derive(Debug)]
pub(crate) struct Names(HashSet<String>);

impl Names {
    pub(crate) fn of(graph: &pb::GraphProto) -> Self {
        let mut names = HashSet::new();
        collect(graph, &mut names);
        Self(names)
    }

    /// `base`, or `base` with a number where that is taken.
    pub(crate) fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut number = 1;
        while !self.0.insert(name.clone()) {
            number += 1;
            name = format!("{base}_{number}");
        }
        name
    }
}

fn collect(graph: &pb::GraphProto, names: &mut HashSet<String>) {
    names.extend(graph.input.iter().map(|input| input.name.clone()));
    names.extend(graph.initializer.iter().map(|weight| weight.name.clone()));
    for node in &graph.node {
        names.extend(node.output.iter().chain([&node.name]).cloned());
        subgraphs(node).for_each(|inner| collect(inner, names));
    }
}

/// A node of ONNX's own domain with one output, named like it.
pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> pb::NodeProto {
    pb::NodeProto {
        op_type: op.into(),
        name: output.into(),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        ..pb::NodeProto::default()
    }
}

/// An integer attribute.
pub(crate) fn integer(name: &str, i: i64) -> pb::AttributeProto {
    let r#type = AttributeType::Int as i32;
    pb::AttributeProto {
        name: name.into(),
        r#type,
        i,
        ..pb::AttributeProto::default()
    }
}

/// A one-dimensional int64 initializer.
pub(crate) fn constant(name: &str, values: &[i64]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        raw_data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        ..pb::TensorProto::default()
    }
}

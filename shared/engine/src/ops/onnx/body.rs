//! Operators that are written in other operators of ONNX.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{self, AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::{
    DatumType, InferenceOp, Tensor, TractErrorContext, TractResult, TypedFact, bail, ensure,
    tensor0, tensor1,
};

use super::late::{Made, Rewrite, bound, late};
use super::ports::{Given, Port, Slots, port};
use crate::framework;

/// The operator set that bodies are written in.
const OPSET: i64 = 18;

/// An operator as a body of others.
pub(crate) trait Body: fmt::Debug + Send + Sync + 'static {
    /// Writes the body for inputs like these; gives the names of all outputs, in ONNX's order.
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>>;
}

/// A node as tract's parser wants it.
pub(crate) fn body(
    node: &NodeProto,
    body: impl Body,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let named = |(index, name): (usize, &String)| (!name.is_empty()).then_some(index);
    let written = Written {
        body: Box::new(body),
        inputs: Slots::of(node),
        outputs: node.output.iter().enumerate().filter_map(named).collect(),
    };
    late(node, written, vec![])
}

#[derive(Debug)]
struct Written {
    body: Box<dyn Body>,
    inputs: Slots,
    /// Which outputs the graph reads.
    outputs: Vec<usize>,
}

impl Rewrite for Written {
    fn graph(&self, facts: &[TypedFact]) -> TractResult<Made> {
        let ports = facts.iter().map(port).collect::<TractResult<Vec<Port>>>()?;
        let ports = self.inputs.place(&ports);
        let mut writer = Writer::default();
        let all = self.body.write(&mut writer, &ports)?;
        let outputs = self.outputs.iter().map(|&index| {
            let name = all.get(index).filter(|name| !name.is_empty());
            name.cloned()
                .with_context(|| format!("there is no output {index}"))
        });
        let outputs = outputs.collect::<TractResult<Vec<String>>>()?;
        writer.graph(&ports, facts, &self.inputs, &outputs)
    }
}

/// Writes a body node by node. Values go by name: those of inputs are [`Writer::input`]'s.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    nodes: Vec<NodeProto>,
    constants: HashMap<String, Arc<Tensor>>,
    names: usize,
}

impl Writer {
    /// The name of an input, by its place in the operator's definition.
    pub(crate) fn input(index: usize) -> String {
        format!("input.{index}")
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("value.{}", self.names)
    }

    /// A node with one output, whose name it gives.
    pub(crate) fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.with(op, inputs, vec![])
    }

    /// A node with attributes and one output.
    pub(crate) fn with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.many(op, inputs, attributes, 1).remove(0)
    }

    /// A node with attributes and several outputs.
    pub(crate) fn many(
        &mut self,
        op: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<String> {
        let output: Vec<String> = (0..outputs).map(|_| self.fresh()).collect();
        self.nodes.push(NodeProto {
            op_type: op.into(),
            name: output[0].clone(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: output.clone(),
            attribute,
            ..NodeProto::default()
        });
        output
    }

    /// A constant.
    pub(crate) fn constant(&mut self, tensor: Tensor) -> String {
        let name = self.fresh();
        self.constants.insert(name.clone(), Arc::new(tensor));
        name
    }

    /// A list of integers.
    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        self.constant(tensor1(values))
    }

    /// A scalar of a datatype.
    pub(crate) fn scalar(&mut self, value: f64, datatype: DatumType) -> TractResult<String> {
        let tensor = tensor0(value).cast_to_dt(datatype)?.into_owned();
        Ok(self.constant(tensor))
    }

    /// `x` in another datatype.
    pub(crate) fn cast(&mut self, x: &str, to: DatumType) -> TractResult<String> {
        let to = onnx_type(to)?;
        Ok(self.with("Cast", &[x], vec![int("to", to)]))
    }

    /// `x` in another shape.
    pub(crate) fn reshape(&mut self, x: &str, shape: &[usize]) -> String {
        let shape: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
        let shape = self.ints(&shape);
        // `allowzero`: a dimension of 0 is meant.
        self.with("Reshape", &[x, &shape], vec![int("allowzero", 1)])
    }

    /// `x` with its axes in another order.
    pub(crate) fn transpose(&mut self, x: &str, order: &[usize]) -> String {
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.with("Transpose", &[x], vec![ints("perm", &order)])
    }

    /// The part of `x` from `start` to before `end` along `axis`.
    pub(crate) fn slice(&mut self, x: &str, axis: usize, start: usize, end: usize) -> String {
        let [start, end, axis] = [start, end, axis].map(|value| self.ints(&[value as i64]));
        self.op("Slice", &[x, &start, &end, &axis])
    }

    /// The parts end to end.
    pub(crate) fn concat(&mut self, parts: &[&str], axis: usize) -> String {
        self.with("Concat", parts, vec![int("axis", axis as i64)])
    }

    /// The nodes of a graph, its inputs bound to values here; gives the names of its outputs.
    pub(crate) fn inline(
        &mut self,
        graph: &pb::GraphProto,
        inputs: &[&str],
    ) -> TractResult<Vec<String>> {
        ensure!(
            graph.input.len() == inputs.len(),
            "a graph of {} inputs is given {}",
            graph.input.len(),
            inputs.len()
        );
        let mut names: HashMap<String, String> = HashMap::new();
        for (input, given) in graph.input.iter().zip(inputs) {
            names.insert(input.name.clone(), (*given).to_owned());
        }
        for weight in &graph.initializer {
            let fresh = self.fresh();
            names.insert(weight.name.clone(), fresh.clone());
            let value = pb::AttributeProto {
                name: "value".into(),
                r#type: AttributeType::Tensor as i32,
                t: Some(weight.clone()),
                ..AttributeProto::default()
            };
            self.nodes.push(NodeProto {
                op_type: "Constant".into(),
                name: fresh.clone(),
                output: vec![fresh],
                attribute: vec![value],
                ..NodeProto::default()
            });
        }
        for node in &graph.node {
            ensure!(
                crate::proto::subgraphs(node).next().is_none(),
                "a graph within a graph of {}",
                node.op_type
            );
            let mut node = node.clone();
            for name in node.input.iter_mut().filter(|name| !name.is_empty()) {
                let known = names.get(name.as_str());
                known
                    .with_context(|| format!("nothing gives {name}"))?
                    .clone_into(name);
            }
            for name in node.output.iter_mut().filter(|name| !name.is_empty()) {
                let fresh = self.fresh();
                names.insert(std::mem::replace(name, fresh.clone()), fresh);
            }
            node.name.clear();
            self.nodes.push(node);
        }
        let output = |output: &pb::ValueInfoProto| {
            let known = names.get(&output.name).cloned();
            known.with_context(|| format!("nothing gives {}", output.name))
        };
        graph.output.iter().map(output).collect()
    }

    /// Parses what was written.
    fn graph(
        &mut self,
        ports: &Given<Port>,
        facts: &[TypedFact],
        slots: &Slots,
        outputs: &[String],
    ) -> TractResult<Made> {
        // What comes straight from outside needs a node of its own to be an output.
        let outputs: Vec<String> = outputs
            .iter()
            .map(|name| self.op("Identity", &[name]))
            .collect();
        let graph = pb::GraphProto {
            node: std::mem::take(&mut self.nodes),
            output: outputs
                .into_iter()
                .map(|name| pb::ValueInfoProto {
                    name,
                    ..pb::ValueInfoProto::default()
                })
                .collect(),
            ..pb::GraphProto::default()
        };
        let proto = pb::ModelProto {
            graph: Some(graph),
            opset_import: vec![pb::OperatorSetIdProto {
                version: OPSET,
                ..pb::OperatorSetIdProto::default()
            }],
            ..pb::ModelProto::default()
        };
        let parsed = framework::onnx().parse(&proto, None)?;
        let numbers: Vec<usize> = (0..facts.len()).collect();
        let numbers = slots.place(&numbers);
        let (mut values, mut read) = (vec![], vec![]);
        for name in &parsed.unresolved_inputs {
            if let Some(value) = self.constants.get(name) {
                values.push(TypedFact::try_from(Arc::clone(value))?);
                read.push(None);
                continue;
            }
            let index = name
                .strip_prefix("input.")
                .and_then(|index| index.parse().ok());
            let index: usize = index.with_context(|| format!("nothing gives {name}"))?;
            let number = *numbers.need(index)?;
            // A port's value has integers where tract counts in symbols.
            values.push(match &ports.need(index)?.value {
                Some(value) => TypedFact::try_from(Arc::clone(value))?,
                None => facts[number].clone(),
            });
            read.push(Some(number));
        }
        let mut made = bound(parsed.model, &values)?;
        let mut sources = vec![None; facts.len()];
        for (number, source) in read.into_iter().zip(std::mem::take(&mut made.sources)) {
            if let Some(number) = number {
                sources[number] = source;
            }
        }
        made.sources = sources;
        Ok(made)
    }
}

/// ONNX's number of a datatype.
pub(crate) fn onnx_type(datatype: DatumType) -> TractResult<i64> {
    use tract_onnx::pb::tensor_proto::DataType as D;
    let found = match datatype.unquantized() {
        DatumType::Bool => D::Bool,
        DatumType::U8 => D::Uint8,
        DatumType::U16 => D::Uint16,
        DatumType::U32 => D::Uint32,
        DatumType::U64 => D::Uint64,
        DatumType::I8 => D::Int8,
        DatumType::I16 => D::Int16,
        DatumType::I32 => D::Int32,
        DatumType::I64 | DatumType::TDim => D::Int64,
        DatumType::F16 => D::Float16,
        DatumType::F32 => D::Float,
        DatumType::F64 => D::Double,
        DatumType::String => D::String,
        other => bail!("ONNX has no datatype {other:?}"),
    };
    Ok(found as i64)
}

/// An integer attribute.
pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i,
        ..AttributeProto::default()
    }
}

/// A list of integers as an attribute.
pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

/// A float attribute.
pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Float as i32,
        f,
        ..AttributeProto::default()
    }
}

/// A text attribute.
pub(crate) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: value.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}

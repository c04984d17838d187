//! Constants that grow: tract computes them while it reads the graph, and a few bytes of file can
//! ask for terabytes.
//!
//! The shapes of constants are followed through the operators that make large ones from small
//! ones. Operators not named here are not followed.

use std::collections::HashMap;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::elements;
use crate::Limits;
use crate::error::Result;
use crate::proto::{attribute, node_name, subgraphs};

/// A constant: its shape, and its values where it is a short list of int64.
#[derive(Debug, Clone, Default)]
struct Constant {
    dims: Vec<usize>,
    values: Option<Vec<i64>>,
}

/// Longer lists are no shapes.
const SHORT: usize = 64;

/// Checks the constants of `graph` and of the graphs below it.
pub(super) fn check(graph: &pb::GraphProto, limits: &Limits) -> Result<()> {
    let mut known: HashMap<&str, Constant> = HashMap::new();
    for weight in &graph.initializer {
        known.insert(&weight.name, constant(weight));
    }
    for node in &graph.node {
        for inner in subgraphs(node) {
            check(inner, limits)?;
        }
        let inputs = node.input.iter().map(|name| known.get(name.as_str()));
        let inputs: Option<Vec<&Constant>> = inputs.collect();
        let Some(made) = inputs.and_then(|inputs| output(node, &inputs)) else {
            continue;
        };
        elements(made.dims.iter().copied(), limits)
            .map_err(|error| error.at(node_name(node), &node.op_type))?;
        if let Some(name) = node.output.first() {
            known.insert(name, made);
        }
    }
    Ok(())
}

fn constant(tensor: &pb::TensorProto) -> Constant {
    let dims: Vec<usize> = tensor
        .dims
        .iter()
        .filter_map(|&dim| usize::try_from(dim).ok())
        .collect();
    let raw = &tensor.raw_data;
    let int64 = tensor.data_type == DataType::Int64 as i32;
    let short = raw.len() <= 8 * SHORT && tensor.int64_data.len() <= SHORT;
    let values = (int64 && short).then(|| {
        if raw.is_empty() {
            return tensor.int64_data.clone();
        }
        let chunks = raw.as_chunks().0.iter();
        chunks.map(|&bytes| i64::from_le_bytes(bytes)).collect()
    });
    Constant { dims, values }
}

/// What a node makes of constants, if that is followed.
fn output(node: &pb::NodeProto, inputs: &[&Constant]) -> Option<Constant> {
    let values = |index: usize| inputs.get(index)?.values.clone();
    let shape = |values: Vec<i64>| -> Option<Vec<usize>> {
        values
            .into_iter()
            .map(|dim| usize::try_from(dim).ok())
            .collect()
    };
    let first = inputs.first();
    let dims = match node.op_type.as_str() {
        "Constant" => {
            if let Some(tensor) = attribute(node, "value").and_then(|value| value.t.as_ref()) {
                return Some(constant(tensor));
            }
            let ints = attribute(node, "value_ints")?.ints.clone();
            return Some(Constant {
                dims: vec![ints.len()],
                values: Some(ints),
            });
        }
        "Identity" => return first.map(|&constant| constant.clone()),
        "ConstantOfShape" => shape(values(0)?)?,
        "RandomNormal" | "RandomUniform" => shape(attribute(node, "shape")?.ints.clone())?,
        "Expand" => broadcast(&first?.dims, &shape(values(1)?)?),
        "Tile" => {
            let repeats = shape(values(1)?)?;
            let dims = first?.dims.iter().zip(repeats);
            dims.map(|(dim, repeat)| dim.saturating_mul(repeat))
                .collect()
        }
        "Concat" => {
            let mut dims = first?.dims.clone();
            let axis = attribute(node, "axis")?.i;
            let axis = if axis < 0 {
                axis + dims.len() as i64
            } else {
                axis
            };
            let axis = usize::try_from(axis).ok()?;
            let parts = inputs.iter().map(|input| input.dims.get(axis).copied());
            *dims.get_mut(axis)? = parts.sum::<Option<usize>>()?;
            dims
        }
        "Range" => {
            let (start, limit, step) = (values(0)?, values(1)?, values(2)?);
            let span = limit.first()?.checked_sub(*start.first()?)?;
            vec![usize::try_from(span.checked_div(*step.first()?)?).unwrap_or(0)]
        }
        "MatMul" => {
            let [a, b] = inputs else { return None };
            let (rows, columns) = (a.dims.split_last()?.1, b.dims.last()?);
            let above = b
                .dims
                .get(..b.dims.len().saturating_sub(2))
                .unwrap_or_default();
            let mut dims = rows.to_vec();
            dims.extend(above);
            dims.push(*columns);
            dims
        }
        "Cast" | "Neg" | "Abs" | "Not" | "Sqrt" | "Exp" | "Log" | "Floor" | "Ceil" | "Add"
        | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Max" | "Min" | "Sum" | "Mean" | "Where"
        | "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or"
        | "Xor" => inputs
            .iter()
            .fold(Vec::new(), |dims, input| broadcast(&dims, &input.dims)),
        _ => return None,
    };
    Some(Constant { dims, values: None })
}

/// The shape that both shapes spread to.
fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let mut dims = long.to_vec();
    for (dim, &other) in dims.iter_mut().rev().zip(short.iter().rev()) {
        *dim = (*dim).max(other);
    }
    dims
}

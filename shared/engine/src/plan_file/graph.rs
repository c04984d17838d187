//! Graphs to records and back.

use tract_onnx::prelude::{OutletId, TypedModel, TypedNode, tvec};
use tract_onnx::tract_core::model::Node;

use super::constants::{Constants, Writer};
use super::ops::{OpRecord, Origins};
use super::record::{GraphRecord, NodeRecord, Outlet};
use crate::Limits;
use crate::check;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{reads_as_table, reads_in_place};

/// Writes a graph down, without the nodes that no output needs.
pub(super) fn write(
    graph: &TypedModel,
    origins: &Origins,
    constants: &mut Writer,
) -> Result<GraphRecord> {
    let failed = |error| Error::from_tract(ErrorKind::Failed, "writing a plan", error);
    let order = graph.eval_order().map_err(failed)?;
    let mut place = vec![None; graph.nodes().len()];
    // Inputs that nothing reads are part of the signature all the same.
    let inputs = graph.inputs.iter().map(|input| input.node);
    let mut kept: Vec<usize> = inputs.collect();
    kept.extend(
        order
            .into_iter()
            .filter(|id| !graph.inputs.iter().any(|input| input.node == *id)),
    );
    for (at, &id) in kept.iter().enumerate() {
        place[id] = Some(at as u32);
    }
    let outlet = |outlet: &OutletId| {
        let node = place[outlet.node].ok_or_else(|| {
            Error::new(
                ErrorKind::Failed,
                "the graph reads a node that it never runs",
            )
        })?;
        Ok(Outlet {
            node,
            slot: outlet.slot as u32,
        })
    };
    let outlets = |from: &[OutletId]| from.iter().map(outlet).collect::<Result<Vec<_>>>();
    let mut nodes = Vec::with_capacity(kept.len());
    for &id in &kept {
        let node = graph.node(id);
        let op = write_op(graph, node, origins, constants)
            .map_err(|error| error.at(&node.name, &node.op().name()))?;
        nodes.push(NodeRecord {
            name: node.name.clone(),
            op,
            inputs: outlets(&node.inputs)?,
        });
    }
    Ok(GraphRecord {
        nodes,
        inputs: outlets(&graph.inputs)?,
        outputs: outlets(&graph.outputs)?,
    })
}

fn write_op(
    graph: &TypedModel,
    node: &TypedNode,
    origins: &Origins,
    constants: &mut Writer,
) -> Result<OpRecord> {
    let unwritable = || Error::unsupported("a plan has no record for this operator");
    let facts = graph
        .node_input_facts(node.id)
        .map_err(|error| Error::from_tract(ErrorKind::Failed, "writing a plan", error))?;
    let readers = &node.outputs[0].successors;
    let all = |reads: fn(&TypedNode, usize) -> bool| {
        let mut each = readers.iter();
        !readers.is_empty() && each.all(|reader| reads(graph.node(reader.node), reader.slot))
    };
    let in_place = if all(reads_in_place) {
        OpRecord::in_place(node.op(), constants)
    } else if all(reads_as_table) {
        OpRecord::table(node.op(), constants)
    } else {
        None
    };
    let record = match in_place {
        Some(record) => record,
        None => OpRecord::of(node, origins, constants)?.ok_or_else(unwritable)?,
    };
    let again = record
        .build(&facts, constants)
        .map_err(|error| unwritable().caused_by(error))?;
    if record.is_told_by_equality() && !again.dyn_eq(node.op()) {
        return Err(unwritable());
    }
    Ok(record)
}

/// Makes a graph of its records. Datatypes and shapes are told by the operators themselves, which
/// refuse inputs that don't fit them.
pub(super) fn read(
    record: &GraphRecord,
    constants: &dyn Constants,
    limits: &Limits,
) -> Result<TypedModel> {
    if record.nodes.len() > limits.nodes {
        return Err(Error::too_large(format!(
            "the plan has {} nodes, at most {} are allowed",
            record.nodes.len(),
            limits.nodes
        )));
    }
    let mut graph = TypedModel::default();
    graph.nodes.reserve(record.nodes.len());
    for node in &record.nodes {
        let read =
            read_node(&graph, node, constants, limits).map_err(|error| error.at(&node.name, ""))?;
        for (slot, input) in read.inputs.iter().enumerate() {
            let successor = tract_onnx::tract_core::model::InletId::new(read.id, slot);
            graph.nodes[input.node].outputs[input.slot]
                .successors
                .push(successor);
        }
        graph.nodes.push(read);
    }
    graph.inputs = outlets(&graph, &record.inputs)?;
    graph.outputs = outlets(&graph, &record.outputs)?;
    let is_source = |input: &OutletId| graph.node(input.node).inputs.is_empty();
    if !graph.inputs.iter().all(is_source) {
        return Err(Error::invalid_model("no sound plan: an input is computed"));
    }
    Ok(graph)
}

fn read_node(
    graph: &TypedModel,
    record: &NodeRecord,
    constants: &dyn Constants,
    limits: &Limits,
) -> Result<TypedNode> {
    let inputs = outlets(graph, &record.inputs)?;
    let facts: Vec<_> = inputs
        .iter()
        .map(|input| &graph.nodes[input.node].outputs[input.slot].fact)
        .collect();
    let op = record.op.build(&facts, constants)?;
    let told = op.output_facts(&facts).map_err(|error| {
        Error::from_tract(ErrorKind::InvalidModel, "its inputs don't fit it", error)
    })?;
    let mut outputs = tvec![];
    for fact in told {
        // A kernel makes room for its output before it compares anything with it.
        if let Some(shape) = fact.shape.as_concrete() {
            check::elements(shape.iter().copied(), limits)?;
        }
        outputs.push(tract_onnx::tract_core::model::Outlet {
            fact,
            successors: tvec![],
        });
    }
    Ok(Node {
        id: graph.nodes.len(),
        name: record.name.clone(),
        inputs,
        op,
        outputs,
    })
}

/// The outlets of nodes that are already there: no graph can hold a cycle.
fn outlets(graph: &TypedModel, records: &[Outlet]) -> Result<Vec<OutletId>> {
    let outlet = |record: &Outlet| {
        let (node, slot) = (record.node as usize, record.slot as usize);
        let known = graph
            .nodes
            .get(node)
            .is_some_and(|node| slot < node.outputs.len());
        known.then(|| OutletId::new(node, slot)).ok_or_else(|| {
            Error::invalid_model("no sound plan: a node reads one that comes after it")
        })
    };
    records.iter().map(outlet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::prelude::DatumExt;

    #[test]
    fn a_value_beyond_the_limit_is_refused() {
        for (side, fits) in [(1 << 10, true), (1 << 20, false)] {
            let mut graph = TypedModel::default();
            let fact = f32::fact([side, side]);
            let source = graph.add_source("x", fact).expect("a source");
            graph.select_output_outlets(&[source]).expect("an output");
            let mut constants = Writer::default();
            let record = write(&graph, &Origins::default(), &mut constants).expect("a record");
            let read = read(&record, &constants, &Limits::default());
            assert_eq!(
                read.as_ref().err().map(Error::kind),
                (!fits).then_some(ErrorKind::TooLarge)
            );
        }
    }
}

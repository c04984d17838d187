//! Every value is given once, before it is read.

use std::collections::HashSet;

use tract_onnx::pb;

use crate::error::{Error, Result};
use crate::proto::{node_name, subgraphs};

/// Checks the main graph and the graphs below it.
pub(crate) fn check(graph: &pb::GraphProto) -> Result<()> {
    scope(graph, &mut Vec::new())
}

/// Checks `graph`; `outer` holds the names that the graphs around it have given so far.
fn scope<'a>(graph: &'a pb::GraphProto, outer: &mut Vec<HashSet<&'a str>>) -> Result<()> {
    let mut given: HashSet<&str> = HashSet::new();
    for input in &graph.input {
        if !given.insert(&input.name) {
            return Err(twice("input", &input.name));
        }
    }
    let mut weights: HashSet<&str> = HashSet::new();
    for weight in &graph.initializer {
        if !weights.insert(&weight.name) {
            return Err(twice("initializer", &weight.name));
        }
    }
    // An initializer of an input's name is that input's default.
    given.extend(weights);
    for node in &graph.node {
        let here = |error: Error| error.at(node_name(node), &node.op_type);
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            let name = name.as_str();
            if !given.contains(name) && !outer.iter().any(|names| names.contains(name)) {
                return Err(here(Error::invalid_model(format!(
                    "it reads \"{name}\", which nothing gives before it"
                ))));
            }
        }
        if subgraphs(node).next().is_some() {
            outer.push(std::mem::take(&mut given));
            subgraphs(node)
                .try_for_each(|inner| scope(inner, outer))
                .map_err(here)?;
            given = outer.pop().unwrap_or_default();
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !given.insert(name) {
                return Err(here(twice("value", name)));
            }
        }
    }
    let mut outputs: HashSet<&str> = HashSet::new();
    for output in &graph.output {
        let name = output.name.as_str();
        if !given.contains(name) {
            return Err(Error::invalid_model(format!(
                "nothing gives the output \"{name}\""
            )));
        }
        if !outputs.insert(name) {
            return Err(twice("output", name));
        }
    }
    if graph.output.is_empty() {
        return Err(Error::invalid_model(format!(
            "graph \"{}\" has no output",
            graph.name
        )));
    }
    Ok(())
}

fn twice(what: &str, name: &str) -> Error {
    Error::invalid_model(format!("{what} \"{name}\" is given twice"))
        .with_cure("check the file with onnx.checker.check_model and export it again")
}

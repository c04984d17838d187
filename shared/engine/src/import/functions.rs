//! Model-local functions, put in the place of their calls: tract knows none.

use std::collections::HashMap;

use tract_onnx::pb;

use super::names::Names;
use super::subgraphs_mut;
use crate::Limits;
use crate::error::{Error, Result};
use crate::proto::{is_onnx, node_name, subgraphs};

type Key = (String, String);

/// Functions that call functions, at most so deep.
const DEPTH: usize = 16;

/// Replaces every call in the model by the function's nodes.
pub(super) fn pass(model: &mut pb::ModelProto, limits: &Limits) -> Result<()> {
    let functions: HashMap<Key, pb::FunctionProto> = std::mem::take(&mut model.functions)
        .into_iter()
        .map(|function| {
            let text = |name: &Option<String>| name.clone().unwrap_or_default();
            ((text(&function.domain), text(&function.name)), function)
        })
        .collect();
    let Some(graph) = model.graph.as_mut().filter(|_| !functions.is_empty()) else {
        return Ok(());
    };
    let mut sets: HashMap<String, i64> = HashMap::new();
    for set in &model.opset_import {
        sets.insert(domain(&set.domain), set.version);
    }
    let mut inliner = Inliner {
        functions: &functions,
        sets,
        names: Names::of(graph),
        nodes: count(graph),
        limit: limits.nodes,
    };
    inliner.graph(graph, 0)?;
    // The functions' bodies may use domains that the graph does not import itself.
    for (domain, version) in inliner.sets {
        let known = |set: &pb::OperatorSetIdProto| self::domain(&set.domain) == domain;
        if !model.opset_import.iter().any(known) {
            model
                .opset_import
                .push(pb::OperatorSetIdProto { domain, version });
        }
    }
    Ok(())
}

fn domain(domain: &str) -> String {
    let onnx = is_onnx(domain);
    if onnx {
        String::new()
    } else {
        domain.to_owned()
    }
}

fn count(graph: &pb::GraphProto) -> usize {
    let inner = |node: &pb::NodeProto| subgraphs(node).map(count).sum::<usize>();
    graph.node.iter().map(|node| 1 + inner(node)).sum()
}

struct Inliner<'a> {
    functions: &'a HashMap<Key, pb::FunctionProto>,
    /// Versions of the operator sets, by domain.
    sets: HashMap<String, i64>,
    names: Names,
    nodes: usize,
    limit: usize,
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut pb::GraphProto, depth: usize) -> Result<()> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.all(nodes, depth)?;
        Ok(())
    }

    fn all(&mut self, nodes: Vec<pb::NodeProto>, depth: usize) -> Result<Vec<pb::NodeProto>> {
        let mut made = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for inner in subgraphs_mut(&mut node) {
                self.graph(inner, depth)?;
            }
            let key = (node.domain.clone(), node.op_type.clone());
            let Some(function) = self.functions.get(&key) else {
                made.push(node);
                continue;
            };
            let here = |error: Error| error.at(node_name(&node), &node.op_type);
            if depth == DEPTH {
                return Err(here(Error::too_large(format!(
                    "functions within functions; the limit is {DEPTH}"
                ))));
            }
            let body = self.call(&node, function).map_err(here)?;
            made.extend(self.all(body, depth + 1).map_err(here)?);
        }
        Ok(made)
    }

    /// The function's nodes, reading and giving what the call does.
    fn call(
        &mut self,
        call: &pb::NodeProto,
        function: &pb::FunctionProto,
    ) -> Result<Vec<pb::NodeProto>> {
        for set in &function.opset_import {
            let known = *self.sets.entry(domain(&set.domain)).or_insert(set.version);
            if known != set.version {
                return Err(Error::unsupported(format!(
                    "the function is written in opset {} of \"{}\", the model in {known}",
                    set.version, set.domain
                ))
                .with_cure("inline it: onnx.inliner.inline_local_functions(model, True)"));
            }
        }
        let given = call.attribute.iter();
        let attributes = given
            .map(|attribute| (attribute.name.clone(), attribute.clone()))
            .collect();
        let prefix = call.output.iter().find(|name| !name.is_empty());
        let mut scope = Scope {
            prefix: prefix.cloned().unwrap_or_default(),
            names: HashMap::new(),
            attributes,
            optional: function.attribute.clone(),
        };
        for (index, name) in function.input.iter().enumerate() {
            let given = call.input.get(index).cloned().unwrap_or_default();
            scope.names.insert(name.clone(), given);
        }
        let outputs: HashMap<&str, &str> = function
            .output
            .iter()
            .zip(&call.output)
            .filter(|(_, wanted)| !wanted.is_empty())
            .map(|(name, wanted)| (name.as_str(), wanted.as_str()))
            .collect();
        let mut nodes = Vec::with_capacity(function.node.len());
        for node in &function.node {
            nodes.push(self.copy(node, &mut scope, &outputs)?);
        }
        // An input that is an output as well goes through a node of its own.
        for (name, wanted) in &outputs {
            let given = scope.names.get(*name).filter(|given| given != wanted);
            if let Some(given) = given.filter(|_| function.input.iter().any(|input| input == name))
            {
                nodes.push(super::names::node("Identity", &[given], wanted));
            }
        }
        Ok(nodes)
    }

    fn copy(
        &mut self,
        node: &pb::NodeProto,
        scope: &mut Scope,
        outputs: &HashMap<&str, &str>,
    ) -> Result<pb::NodeProto> {
        self.nodes += 1;
        if self.nodes > self.limit {
            return Err(Error::too_large(format!(
                "more than {} nodes once functions are inlined",
                self.limit
            )));
        }
        let mut node = node.clone();
        for name in &mut node.input {
            *name = scope.read(name);
        }
        let mut attributes = Vec::with_capacity(node.attribute.len());
        for mut attribute in std::mem::take(&mut node.attribute) {
            if !attribute.ref_attr_name.is_empty() {
                let wanted = &attribute.ref_attr_name;
                let Some(given) = scope.attributes.get(wanted) else {
                    if scope.optional.contains(wanted) {
                        continue;
                    }
                    // Its default stands in a field that tract's protobuf types leave out.
                    return Err(Error::unsupported(format!(
                        "the call leaves the function's attribute \"{wanted}\" to its default"
                    ))
                    .with_cure("inline it: onnx.inliner.inline_local_functions(model)"));
                };
                attribute = pb::AttributeProto {
                    name: attribute.name,
                    ..given.clone()
                };
            }
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                self.inner(graph, scope)?;
            }
            attributes.push(attribute);
        }
        node.attribute = attributes;
        for name in node.output.iter_mut().filter(|name| !name.is_empty()) {
            let made = match outputs.get(name.as_str()) {
                Some(&wanted) => wanted.to_owned(),
                None => self.names.fresh(&format!("{}.{name}", scope.prefix)),
            };
            scope
                .names
                .insert(std::mem::replace(name, made.clone()), made);
        }
        node.name = node.output.first().cloned().unwrap_or_default();
        Ok(node)
    }

    /// Renames what a subgraph of a function gives, and what it reads from the function.
    fn inner(&mut self, graph: &mut pb::GraphProto, scope: &Scope) -> Result<()> {
        let mut scope = scope.clone();
        let mut rename = |name: &mut String, scope: &mut Scope| {
            let made = self.names.fresh(&format!("{}.{name}", scope.prefix));
            scope
                .names
                .insert(std::mem::replace(name, made.clone()), made);
        };
        for input in &mut graph.input {
            rename(&mut input.name, &mut scope);
        }
        for weight in &mut graph.initializer {
            rename(&mut weight.name, &mut scope);
        }
        graph.value_info.clear();
        let nodes = std::mem::take(&mut graph.node);
        for node in &nodes {
            let copied = self.copy(node, &mut scope, &HashMap::new())?;
            graph.node.push(copied);
        }
        for output in &mut graph.output {
            output.name = scope.read(&output.name);
        }
        Ok(())
    }
}

/// What names and attributes of a function mean in one call of it.
#[derive(Clone)]
struct Scope {
    prefix: String,
    names: HashMap<String, String>,
    attributes: HashMap<String, pb::AttributeProto>,
    /// Attributes that a call may leave out.
    optional: Vec<String>,
}

impl Scope {
    fn read(&self, name: &str) -> String {
        self.names
            .get(name)
            .cloned()
            .unwrap_or_else(|| name.to_owned())
    }
}

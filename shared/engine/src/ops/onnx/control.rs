//! If and Loop, decided while a plan is made.
//!
//! With concrete shapes most conditions and trip counts of exported models are constants: they
//! come from Shape. Then the branch taken stands in the graph alone, whatever the other one's
//! shapes, and a loop is unrolled, or becomes a scan where it is long. An If on data keeps both branches, which must agree in shape; where one
//! of them can't run on the shapes at hand, the other one stays, with the condition that it needs.

use tract_onnx::model::{ParseResult, ParsingContext};
use tract_onnx::pb::{GraphProto, NodeProto, TypeProto, type_proto};
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::logic::IfThenElse;
use tract_onnx::tract_hir::internal::{
    Datum, InferenceFact, InferenceModel, InferenceOp, OutletId, SpecialOps, TDim, Tensor,
    TractError, TractErrorContext, TractResult, TypedFact, TypedModel, bail, ensure, tensor0,
};

use super::late::{Made, Rewrite, bound, late};
use super::scanned;
use crate::check;
use crate::ops::OnlyIf;

/// Nodes of all iterations of a loop together: optimization is quadratic in them.
const UNROLLED_NODES: usize = 20_000;

/// Iterations of a loop that is unrolled: each is analysed anew.
const ITERATIONS: i64 = 1000;

/// Iterations of a loop with one body for all.
const SCANNED: i64 = 1 << 20;

/// A subgraph, and where the values that it reads from around it stand among the node's inputs.
#[derive(Debug)]
struct Subgraph {
    model: InferenceModel,
    closures: Vec<usize>,
}

/// Parses a subgraph; what it reads from around it goes to `closures`, behind `before` inputs.
fn parse(
    context: &ParsingContext,
    graph: &GraphProto,
    before: usize,
    closures: &mut Vec<String>,
) -> TractResult<Subgraph> {
    let mut graph = graph.clone();
    for input in &mut graph.input {
        // The values that come decide; exporters leave types out or get them wrong.
        input.r#type = Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: 1,
                shape: None,
            })),
            ..TypeProto::default()
        });
    }
    let ParseResult {
        mut model,
        unresolved_inputs,
        ..
    } = context.parse_graph(&graph)?;
    for input in model.inputs.clone() {
        model.set_outlet_fact(input, InferenceFact::default())?;
    }
    let place = |name: String| {
        let known = closures.iter().position(|closure| *closure == name);
        before
            + known.unwrap_or_else(|| {
                closures.push(name);
                closures.len() - 1
            })
    };
    let closures = unresolved_inputs.into_iter().map(place).collect();
    Ok(Subgraph { model, closures })
}

/// The named inputs of a node.
fn inputs(node: &NodeProto) -> usize {
    node.input.iter().filter(|name| !name.is_empty()).count()
}

/// A constant truth value.
fn truth(fact: &TypedFact) -> TractResult<Option<bool>> {
    let value = fact.konst.as_ref().map(|value| value.cast_to_scalar());
    value.transpose()
}

/// A node as tract's parser wants it.
pub(crate) fn condition(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mut closures = vec![];
    let mut branch = |name: &str| {
        let graph: &GraphProto = node.get_attr(name)?;
        parse(context, graph, inputs(node), &mut closures)
    };
    let branches = If {
        yes: branch("then_branch")?,
        no: branch("else_branch")?,
    };
    late(node, branches, closures)
}

#[derive(Debug)]
struct If {
    yes: Subgraph,
    no: Subgraph,
}

impl Subgraph {
    /// The graph of a branch, its sources those of the whole node.
    fn branch(&self, inputs: &[TypedFact]) -> TractResult<Made> {
        let facts: Vec<TypedFact> = self
            .closures
            .iter()
            .map(|&place| inputs[place].clone())
            .collect();
        let mut made = bound(self.model.clone(), &facts)?;
        for node in made.model.nodes() {
            for output in &node.outputs {
                if let Some(dim) = check::contradiction(&output.fact.shape) {
                    bail!("{}: sizes contradict: {dim}", node.name);
                }
            }
        }
        let mut sources = vec![None; inputs.len()];
        for (&place, &source) in self.closures.iter().zip(&made.sources) {
            sources[place] = source;
        }
        made.sources = sources;
        Ok(made)
    }
}

impl Rewrite for If {
    fn graph(&self, inputs: &[TypedFact]) -> TractResult<Made> {
        let condition = inputs.first().context("no condition")?;
        match truth(condition)? {
            Some(true) => self.yes.branch(inputs),
            Some(false) => self.no.branch(inputs),
            None => self.both(inputs),
        }
    }
}

impl If {
    fn both(&self, inputs: &[TypedFact]) -> TractResult<Made> {
        let (yes, no) = (self.yes.branch(inputs), self.no.branch(inputs));
        let branches = match (yes, no) {
            (Ok(yes), Ok(no)) => [yes, no],
            (Ok(yes), Err(why)) => return only(&yes, inputs, true, &why),
            (Err(why), Ok(no)) => return only(&no, inputs, false, &why),
            (Err(why), Err(_)) => return Err(why),
        };
        let branches = branches.map(|mut made| -> TractResult<_> {
            integers(&mut made.model)?;
            let places: Vec<usize> = (0..inputs.len())
                .filter(|&place| made.sources[place].is_some())
                .collect();
            made.model.inputs = places
                .iter()
                .filter_map(|&place| made.sources[place])
                .collect();
            Ok((made.model, places))
        });
        let [yes, no] = branches;
        let ((yes, yes_places), (no, no_places)) = (yes?, no?);
        for (yes_outlet, no_outlet) in yes.output_outlets()?.iter().zip(no.output_outlets()?) {
            let (yes, no) = (yes.outlet_fact(*yes_outlet)?, no.outlet_fact(*no_outlet)?);
            ensure!(
                yes.datum_type == no.datum_type && yes.shape == no.shape,
                "the condition is known only when the model runs, and the branches give {:?} {:?} and {:?} {:?}",
                yes.datum_type,
                yes.shape,
                no.datum_type,
                no.shape
            );
        }
        let (mut made, outlets) = Made::start(inputs)?;
        let op = IfThenElse {
            then_body: yes,
            then_input_mapping: yes_places,
            else_body: no,
            else_input_mapping: no_places,
        };
        let outputs = made.model.wire_node("if", op, &outlets)?;
        made.model.select_output_outlets(&outputs)?;
        Ok(made)
    }
}

/// A branch alone, with the condition that it needs.
fn only(branch: &Made, inputs: &[TypedFact], wanted: bool, why: &TractError) -> TractResult<Made> {
    let (mut made, outlets) = Made::start(inputs)?;
    let mut outputs = branch.splice("branch", &mut made.model, &outlets)?;
    for (number, output) in outputs.iter_mut().enumerate() {
        let op = OnlyIf {
            wanted,
            otherwise: why.root_cause().to_string(),
        };
        let name = format!("only_if.{number}");
        *output = made.model.wire_node(name, op, &[outlets[0], *output])?[0];
    }
    made.model.select_output_outlets(&outputs)?;
    Ok(made)
}

/// Counts as integers where a graph's outputs are in symbols.
fn integers(model: &mut TypedModel) -> TractResult<()> {
    let mut outputs = model.output_outlets()?.to_vec();
    for (number, outlet) in outputs.iter_mut().enumerate() {
        if model.outlet_fact(*outlet)?.datum_type == TDim::datum_type() {
            let name = format!("output.{number}");
            *outlet = model.wire_node(name, cast(i64::datum_type()), &[*outlet])?[0];
        }
    }
    model.select_output_outlets(&outputs)
}

/// A node as tract's parser wants it.
pub(crate) fn repetition(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mut closures = vec![];
    let graph: &GraphProto = node.get_attr("body")?;
    let body = parse(context, graph, inputs(node), &mut closures)?;
    let given = |place: usize| node.input.get(place).is_some_and(|name| !name.is_empty());
    ensure!(
        graph.input.len() >= 2,
        "a body takes a count and a condition"
    );
    let repetition = Loop {
        states: graph.input.len() - 2,
        has_count: given(0),
        has_condition: given(1),
        asked: node.output.iter().map(|name| !name.is_empty()).collect(),
        body,
    };
    late(node, repetition, closures)
}

#[derive(Debug)]
struct Loop {
    body: Subgraph,
    /// Values that are carried from one iteration to the next.
    states: usize,
    has_count: bool,
    has_condition: bool,
    /// Which outputs the graph reads.
    asked: Vec<bool>,
}

impl Rewrite for Loop {
    fn graph(&self, inputs: &[TypedFact]) -> TractResult<Made> {
        let (mut made, outlets) = Made::start(inputs)?;
        let mut given = inputs.iter();
        let count = self.has_count.then(|| given.next()).flatten();
        let count = count.map(|fact| {
            let value = fact.konst.as_ref();
            let value = value.context("the trip count is known only when the model runs")?;
            value.cast_to_scalar::<i64>()
        });
        // The largest number is what exporters write where the condition alone decides.
        let count = count.transpose()?.unwrap_or(i64::MAX);
        ensure!(
            count <= SCANNED || count == i64::MAX,
            "{count} iterations; the limit is {SCANNED}"
        );
        let mut going = true;
        if self.has_condition {
            let fact = given.next().context("no condition")?;
            going = truth(fact)?.context("the condition is known only when the model runs")?;
        }
        let first = usize::from(self.has_count) + usize::from(self.has_condition);
        let states = &outlets[first..first + self.states];
        let closures: Vec<OutletId> = self
            .body
            .closures
            .iter()
            .map(|&place| outlets[place])
            .collect();
        let count = if going { count } else { 0 };
        let outputs = match self.scan(&made.model, count, states, &closures) {
            Ok(Some((model, outputs))) => {
                made.model = model;
                outputs
            }
            // Where no body fits all iterations, the one that can't be made says why.
            Ok(None) | Err(_) => self.unroll(&mut made.model, count, states, &closures)?,
        };
        let asked = |(outlet, asked): (OutletId, &bool)| asked.then_some(outlet);
        let outputs: Vec<OutletId> = outputs
            .into_iter()
            .zip(&self.asked)
            .filter_map(asked)
            .collect();
        made.model.select_output_outlets(&outputs)?;
        Ok(made)
    }
}

impl Loop {
    /// The loop with one body for all iterations: the graph with it, and its outputs.
    fn scan(
        &self,
        model: &TypedModel,
        count: i64,
        states: &[OutletId],
        closures: &[OutletId],
    ) -> TractResult<Option<(TypedModel, Vec<OutletId>)>> {
        if !(2..=SCANNED).contains(&count) {
            return Ok(None);
        }
        let mut model = model.clone();
        let condition = model.add_const("condition", tensor0(true))?;
        let reads = [&[condition][..], states, closures].concat();
        let facts = scanned::facts(&model, &reads, self.states)?;
        let body = bound(self.body.model.clone(), &facts)?;
        let outputs = scanned::wire(&mut model, &body, count, &reads, self.states)?;
        Ok(outputs.map(|outputs| (model, outputs.to_vec())))
    }

    /// The loop with a body for each iteration; its outputs.
    fn unroll(
        &self,
        model: &mut TypedModel,
        count: i64,
        states: &[OutletId],
        closures: &[OutletId],
    ) -> TractResult<Vec<OutletId>> {
        ensure!(
            count <= ITERATIONS || count == i64::MAX,
            "{count} iterations that differ in shapes, or may be the last; the limit is {ITERATIONS}"
        );
        let mut states = states.to_vec();
        let mut scans: Vec<Vec<OutletId>> = vec![];
        let (mut number, mut going) = (0, true);
        while going && number < count {
            let prefix = format!("iteration.{number}");
            let head = [
                model.add_const(format!("{prefix}.count"), tensor0(number))?,
                model.add_const(format!("{prefix}.condition"), tensor0(true))?,
            ];
            let reads = [&head[..], &states, closures].concat();
            let body = self.iteration(model, &reads)?;
            let outputs = body.splice(&prefix, model, &reads)?;
            going = truth(model.outlet_fact(outputs[0])?)?
                .context("the loop ends on a condition that is known only when the model runs")?;
            states = outputs[1..=self.states].to_vec();
            scans.resize(outputs.len() - 1 - self.states, vec![]);
            for (index, (scan, &outlet)) in scans
                .iter_mut()
                .zip(&outputs[1 + self.states..])
                .enumerate()
            {
                let name = format!("{prefix}.scan.{index}");
                scan.push(model.wire_node(name, AxisOp::Add(0), &[outlet])?[0]);
            }
            number += 1;
            let nodes = model.nodes().len();
            ensure!(
                nodes <= UNROLLED_NODES,
                "{nodes} nodes after {number} iterations; the limit is {UNROLLED_NODES}"
            );
            ensure!(
                number <= ITERATIONS,
                "more than {ITERATIONS} iterations, which is the limit"
            );
        }
        let mut outputs = states;
        if number == 0 {
            outputs.extend(self.nothing(model, &outputs, closures)?);
        }
        for (index, scan) in scans.iter().enumerate() {
            let name = format!("scan.{index}");
            outputs.push(model.wire_node(name, TypedConcat { axis: 0 }, scan)?[0]);
        }
        Ok(outputs)
    }

    /// The body for what it reads now.
    fn iteration(&self, model: &TypedModel, read: &[OutletId]) -> TractResult<Made> {
        let facts = read
            .iter()
            .map(|&outlet| model.outlet_fact(outlet).cloned());
        bound(
            self.body.model.clone(),
            &facts.collect::<TractResult<Vec<_>>>()?,
        )
    }

    /// The scanned outputs of a loop that never runs: no rows, shaped as the body would make them.
    fn nothing(
        &self,
        model: &mut TypedModel,
        states: &[OutletId],
        closures: &[OutletId],
    ) -> TractResult<Vec<OutletId>> {
        let head = [
            model.add_const("no.count", tensor0(0_i64))?,
            model.add_const("no.condition", tensor0(false))?,
        ];
        let body = self.iteration(model, &[&head[..], states, closures].concat())?;
        let scans = &body.model.output_outlets()?[1 + self.states..];
        let mut made = vec![];
        for (index, &outlet) in scans.iter().enumerate() {
            let fact = body.model.outlet_fact(outlet)?;
            let shape = fact.shape.as_concrete().context("the shape is not known")?;
            let empty = Tensor::zero_dt(fact.datum_type, &[&[0], shape].concat())?;
            made.push(model.add_const(format!("no.scan.{index}"), empty)?);
        }
        Ok(made)
    }
}

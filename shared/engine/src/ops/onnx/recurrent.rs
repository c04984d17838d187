//! LSTM, GRU and RNN whose batch items have lengths of their own: tract takes only whole ones.
//!
//! A forward recurrence over the whole time is right up to an item's end; what comes after is
//! cleared, and the last state is that at the end. A reverse one is the forward one over each item
//! turned round in its own length.

use tract_onnx::model::ParsingContext;
use tract_onnx::ops::rec;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::{
    DatumType, InferenceOp, TractErrorContext, TractResult, bail, ensure, tensor0, tensor1,
};

use super::body::{Body, Writer, body, int};
use super::ports::{Given, Port};

const X: usize = 0;
const W: usize = 1;
const R: usize = 2;
const B: usize = 3;
const LENGTHS: usize = 4;
const H: usize = 5;
const C: usize = 6;
const P: usize = 7;

/// A node as tract's parser wants it: tract's own where no lengths are given.
pub(crate) fn recurrent(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    if node.input.get(LENGTHS).is_some_and(|name| !name.is_empty()) {
        return body(node, Recurrent::parse(node)?);
    }
    match node.op_type.as_str() {
        "LSTM" => rec::lstm::lstm(context, node),
        "GRU" => rec::gru::gru(context, node),
        _ => rec::rnn::rnn(context, node),
    }
}

#[derive(Debug)]
struct Recurrent {
    op: String,
    /// For each direction, whether it is the reverse one.
    reverse: Vec<bool>,
    attributes: Vec<AttributeProto>,
    wants_cell: bool,
}

impl Recurrent {
    fn parse(node: &NodeProto) -> TractResult<Self> {
        ensure!(
            node.get_attr_opt::<i64>("layout")?.unwrap_or(0) == 0,
            "sequence_lens with layout=1"
        );
        let direction = node.get_attr_opt::<String>("direction")?;
        let own = |attribute: &&AttributeProto| attribute.name != "direction";
        Ok(Self {
            op: node.op_type.clone(),
            reverse: match direction.as_deref().unwrap_or("forward") {
                "forward" => vec![false],
                "reverse" => vec![true],
                "bidirectional" => vec![false, true],
                other => bail!("direction {other} is unknown"),
            },
            attributes: node.attribute.iter().filter(own).cloned().collect(),
            wants_cell: node.output.get(2).is_some_and(|name| !name.is_empty()),
        })
    }

    /// The forward recurrence over `x`, with the weights of a direction: `Y`, `Y_h`, `Y_c`.
    fn forward(
        &self,
        body: &mut Writer,
        inputs: &Given<Port>,
        x: &str,
        direction: usize,
    ) -> Vec<String> {
        let mut read = vec![x.to_owned()];
        for place in [W, R, B, LENGTHS, H, C, P] {
            let given = inputs.get(place).filter(|_| place != LENGTHS);
            read.push(match given {
                Some(_) if self.reverse.len() == 1 => Writer::input(place),
                Some(_) => body.slice(&Writer::input(place), 0, direction, direction + 1),
                None => String::new(),
            });
        }
        while read.last().is_some_and(String::is_empty) {
            read.pop();
        }
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        let outputs = if self.op == "LSTM" { 3 } else { 2 };
        body.many(&self.op, &read, self.attributes.clone(), outputs)
    }
}

impl Body for Recurrent {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [time, batch, _] = inputs.need(X)?.shape[..] else {
            bail!("an input of shape {:?}", inputs.need(X)?.shape)
        };
        let datatype = inputs.need(X)?.datatype;
        let known = inputs.need(LENGTHS)?.ints("sequence_lens").ok();
        if let Some(known) = &known {
            let wrong = known
                .iter()
                .find(|&&length| length < 1 || length > time as i64);
            ensure!(
                wrong.is_none() && known.len() == batch,
                "sequence_lens {known:?} for a batch of {batch} over {time} steps"
            );
        }
        ensure!(
            known.is_some() || !self.wants_cell,
            "Y_c of lengths that are known only when the model runs"
        );
        let lengths = body.cast(&Writer::input(LENGTHS), DatumType::I64)?;
        let across = body.reshape(&lengths, &[1, 1, batch, 1]);
        let steps: Vec<i64> = (0..time as i64).collect();
        let steps = body.constant(tensor1(&steps).into_shape(&[time, 1, 1, 1])?);
        let one = body.constant(tensor0(1_i64));
        let last = body.op("Sub", &[&across, &one]);
        let at_end = body.op("Equal", &[&steps, &last]);
        let inside = body.op("Less", &[&steps, &across]);
        let zero = body.scalar(0.0, datatype)?;
        let mut outputs = [vec![], vec![], vec![]];
        for (direction, &reverse) in self.reverse.iter().enumerate() {
            let turn = |body: &mut Writer, x: &str| {
                let attributes = vec![int("time_axis", 0), int("batch_axis", 1)];
                body.with("ReverseSequence", &[x, &lengths], attributes)
            };
            let x = Writer::input(X);
            let x = if reverse { turn(body, &x) } else { x };
            let run = self.forward(body, inputs, &x, direction);
            // `[time, 1, batch, hidden]`
            let ends = body.op("Where", &[&at_end, &run[0], &zero]);
            let axis = body.ints(&[0]);
            outputs[1].push(body.with("ReduceSum", &[&ends, &axis], vec![int("keepdims", 0)]));
            let mut y = body.op("Where", &[&inside, &run[0], &zero]);
            if reverse {
                let hidden = inputs.need(R)?.shape.last().copied().unwrap_or(0);
                let flat = body.reshape(&y, &[time, batch, hidden]);
                let back = turn(body, &flat);
                y = body.reshape(&back, &[time, 1, batch, hidden]);
            }
            outputs[0].push(y);
            if let (true, Some(known)) = (self.wants_cell, &known) {
                outputs[2].push(self.cell(body, inputs, &x, direction, known)?);
            }
        }
        let mut joined = vec![];
        for (parts, axis) in outputs.iter().zip([1, 0, 0]) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            joined.push(match parts[..] {
                [] => String::new(),
                [one] => one.to_owned(),
                _ => body.concat(&parts, axis),
            });
        }
        Ok(joined)
    }
}

impl Recurrent {
    /// The cell at each item's end: one run for each length that occurs.
    fn cell(
        &self,
        body: &mut Writer,
        inputs: &Given<Port>,
        x: &str,
        direction: usize,
        lengths: &[i64],
    ) -> TractResult<String> {
        let mut distinct = lengths.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut cell: Option<String> = None;
        for length in distinct {
            let part = body.slice(x, 0, 0, length as usize);
            let made = self.forward(body, inputs, &part, direction).remove(2);
            let mine: Vec<bool> = lengths.iter().map(|&other| other == length).collect();
            let mine = body.constant(tensor1(&mine).into_shape(&[1, lengths.len(), 1])?);
            cell = Some(match cell {
                Some(others) => body.op("Where", &[&mine, &made, &others]),
                None => made,
            });
        }
        cell.context("no batch items")
    }
}

//! Loops over the steps of a sequence: recurrent layers, and what tract makes of them.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{Datum, SpecialOps, TDim, TypedFact, TypedModel, TypedOp};
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::gru_cell::GruEpilogue;
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::lstm_cell::LstmEpilogue;
use tract_onnx::tract_core::ops::scan::{
    InputMapping, OptScan, OutputMapping, Scan as TractScan, ScanInfo,
};

use super::binary::sources;
use super::{Origins, refused};
use crate::Limits;
use crate::error::{Error, Result};
use crate::plan_file::constants::{Constants, Writer};
use crate::plan_file::graph;
use crate::plan_file::record::{GraphRecord, nested};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Scan {
    Loop {
        skip: usize,
        reset_every_turn: bool,
        #[serde(deserialize_with = "nested")]
        body: GraphRecord,
        inputs: Vec<Input>,
        outputs: Vec<Output>,
    },
    /// What an LSTM cell does after its products.
    Lstm {
        hidden: usize,
    },
    Gru {
        hidden: usize,
    },
    /// A whole GRU layer.
    GruLayer(GruLayer),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // tract's own switches, one by one.
pub(in crate::plan_file) struct GruLayer {
    hidden: usize,
    has_bias: bool,
    backward: bool,
    whole_sequence: bool,
    reset_every_turn: bool,
    projected: bool,
    /// Whether the recurrent weights are packed in the operator itself, beside its input.
    packed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Input {
    Full,
    State,
    /// Axis, and elements a step: negative from the end.
    Scan(usize, isize),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct Output {
    /// Slot, axis, and elements a step.
    scan: Option<(usize, usize, isize)>,
    full_dim: Option<i64>,
    last_value_slot: Option<usize>,
    state: bool,
}

impl Scan {
    pub(super) fn of(
        op: &dyn Op,
        origins: &Origins,
        constants: &mut Writer,
    ) -> Result<Option<Self>> {
        if let Some(cell) = op.downcast_ref::<LstmEpilogue>() {
            let hidden = cell.hidden;
            return Ok(Some(Self::Lstm { hidden }));
        }
        if let Some(cell) = op.downcast_ref::<GruEpilogue>() {
            let hidden = cell.hidden;
            return Ok(Some(Self::Gru { hidden }));
        }
        if let Some(layer) = op.downcast_ref::<GruSeq>() {
            return Ok(Some(Self::GruLayer(GruLayer::of(layer))));
        }
        let Some(scan) = op.downcast_ref::<OptScan>() else {
            return Ok(None);
        };
        let Some(outputs) = scan.output_mapping.iter().map(Output::of).collect() else {
            return Ok(None);
        };
        Ok(Some(Self::Loop {
            skip: scan.skip,
            reset_every_turn: scan.reset_every_turn,
            body: graph::write(scan.plan.model(), origins, constants)?,
            inputs: scan.input_mapping.iter().map(Input::of).collect(),
            outputs,
        }))
    }

    pub(super) fn build(
        &self,
        facts: &[&TypedFact],
        constants: &dyn Constants,
    ) -> Result<Box<dyn TypedOp>> {
        match self {
            Self::GruLayer(layer) => layer.build(facts),
            Self::Lstm { hidden } => {
                one_datatype(facts)?;
                Ok(Box::new(LstmEpilogue { hidden: *hidden }))
            }
            Self::Gru { hidden } => {
                one_datatype(facts)?;
                Ok(Box::new(GruEpilogue { hidden: *hidden }))
            }
            Self::Loop {
                skip,
                reset_every_turn,
                body,
                inputs,
                outputs,
            } => {
                let body = graph::read(body, constants, &Limits::default())?;
                // Between two calls tract would keep a place that no plan states.
                if *skip != 0 || fit(&body, inputs, outputs, facts).is_none() {
                    return Err(Error::invalid_model(
                        "no sound plan: a loop whose body doesn't fit what it is given",
                    ));
                }
                let scan = TractScan {
                    skip: *skip,
                    reset_every_turn: *reset_every_turn,
                    body,
                    decluttered: true,
                    input_mapping: inputs.iter().map(Input::build).collect(),
                    output_mapping: outputs.iter().map(Output::build).collect(),
                    ..TractScan::default()
                };
                Ok(Box::new(scan.to_codegen_op(false).map_err(refused)?))
            }
        }
    }
}

/// Whether the body of a loop takes what each step is given and gives what is put together, as tract believes without
/// a look: it copies steps by what the facts say.
fn fit(
    body: &TypedModel,
    inputs: &[Input],
    outputs: &[Output],
    facts: &[&TypedFact],
) -> Option<()> {
    let sure = |holds: bool| holds.then_some(());
    let form = |fact: &TypedFact| Some((fact.datum_type, fact.shape.as_concrete()?.to_vec()));
    sure(inputs.len() == body.inputs.len() && outputs.len() == body.outputs.len())?;
    sure(inputs.len() == facts.len())?;
    let (mut steps, mut states) = (None, Vec::new());
    for (at, (input, fact)) in inputs.iter().zip(facts).enumerate() {
        let (datatype, mut shape) = form(fact)?;
        if let Input::Scan(axis, chunk) = *input {
            let (dim, chunk) = (shape.get_mut(axis)?, chunk.unsigned_abs());
            sure(dim.checked_rem(chunk)? == 0)?;
            sure(*steps.get_or_insert(*dim / chunk) == *dim / chunk)?;
            *dim = chunk;
        }
        let taken = form(body.input_fact(at).ok()?)?;
        sure(taken == (datatype, shape))?;
        if matches!(input, Input::State) {
            states.push(taken);
        }
    }
    let (steps, mut states) = (steps?, states.into_iter());
    let mut slots = Vec::new();
    for (at, output) in outputs.iter().enumerate() {
        let given = form(body.output_fact(at).ok()?)?;
        if let Some((slot, axis, chunk)) = output.scan {
            let dim = *given.1.get(axis)?;
            // Backward, tract puts steps of one element together.
            sure(chunk.unsigned_abs() == dim && (chunk > 0 || dim == 1))?;
            let whole = i64::try_from(dim.checked_mul(steps)?).ok()?;
            sure(output.full_dim.is_none_or(|full| full == whole))?;
            slots.push(slot);
        }
        slots.extend(output.last_value_slot);
        if output.state {
            sure(states.next()? == given)?;
        }
    }
    slots.sort_unstable();
    sure(states.next().is_none() && slots.iter().copied().eq(0..slots.len()))
}

/// tract takes the inputs of a cell for numbers of one datatype.
fn one_datatype(facts: &[&TypedFact]) -> Result<()> {
    let same = facts
        .windows(2)
        .all(|pair| pair[0].datum_type == pair[1].datum_type);
    same.then_some(())
        .ok_or_else(|| Error::invalid_model("no sound plan: a recurrent cell on several datatypes"))
}

impl GruLayer {
    fn of(layer: &GruSeq) -> Self {
        Self {
            hidden: layer.hidden,
            has_bias: layer.has_bias,
            backward: layer.chunk < 0,
            whole_sequence: layer.emit_y,
            reset_every_turn: layer.reset_every_turn,
            projected: layer.projected,
            packed: layer.packed_r.is_some(),
        }
    }

    /// tract packs the recurrent weights, which are small, from the layer's own input.
    fn build(&self, facts: &[&TypedFact]) -> Result<Box<dyn TypedOp>> {
        let layer = GruSeq {
            hidden: self.hidden,
            has_bias: self.has_bias,
            chunk: if self.backward { -1 } else { 1 },
            emit_y: self.whole_sequence,
            reset_every_turn: self.reset_every_turn,
            projected: self.projected,
            packed_r: None,
        };
        let slot = if self.projected { 1 } else { 2 };
        // Of another shape, the packed weights would end before tract's product does.
        let fits = facts.get(slot).is_some_and(|weights| {
            let shape = [self.hidden.saturating_mul(3), self.hidden];
            weights.shape.as_concrete() == Some(&shape[..])
        });
        if !fits
            || facts
                .iter()
                .any(|fact| fact.datum_type != f32::datum_type())
        {
            return Err(Error::invalid_model(
                "no sound plan: a GRU on inputs that don't fit it",
            ));
        }
        if !self.packed {
            return Ok(Box::new(layer));
        }
        let mut scratch = TypedModel::default();
        let mut inputs = sources(&mut scratch, facts)?;
        let weights = facts.get(slot).and_then(|fact| fact.konst.clone());
        let weights = weights
            .ok_or_else(|| Error::invalid_model("no sound plan: a GRU without its weights"))?;
        inputs[slot] = scratch.add_const("weights", weights).map_err(refused)?;
        let wired = scratch
            .wire_node("gru", layer.clone(), &inputs)
            .map_err(refused)?;
        let node = scratch.node(wired[0].node);
        let patch = layer.codegen(&scratch, node).map_err(refused)?;
        let nodes = patch.as_ref().map_or(&[][..], |patch| patch.nodes());
        let found = nodes.iter().find(|node| node.op_is::<GruSeq>());
        found.map(|node| node.op.clone()).ok_or_else(|| {
            Error::invalid_model("no sound plan: the weights of a GRU can't be packed")
        })
    }
}

impl Input {
    fn of(mapping: &InputMapping) -> Self {
        match mapping {
            InputMapping::Full => Self::Full,
            InputMapping::State => Self::State,
            InputMapping::Scan(info) => Self::Scan(info.axis, info.chunk),
        }
    }

    fn build(&self) -> InputMapping {
        match *self {
            Self::Full => InputMapping::Full,
            Self::State => InputMapping::State,
            Self::Scan(axis, chunk) => InputMapping::Scan(ScanInfo { axis, chunk }),
        }
    }
}

impl Output {
    fn of(mapping: &OutputMapping<TDim>) -> Option<Self> {
        let full_dim = match &mapping.full_dim_hint {
            Some(dim) => Some(dim.to_i64().ok()?),
            None => None,
        };
        Some(Self {
            scan: mapping
                .scan
                .as_ref()
                .map(|(slot, info)| (*slot, info.axis, info.chunk)),
            full_dim,
            last_value_slot: mapping.last_value_slot,
            state: mapping.state,
        })
    }

    fn build(&self) -> OutputMapping<TDim> {
        OutputMapping {
            scan: self
                .scan
                .map(|(slot, axis, chunk)| (slot, ScanInfo { axis, chunk })),
            full_dim_hint: self.full_dim.map(TDim::Val),
            last_value_slot: self.last_value_slot,
            state: self.state,
        }
    }
}

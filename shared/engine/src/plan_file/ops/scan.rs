//! Loops over the steps of a sequence: recurrent layers, and what tract makes of them.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{SpecialOps, TDim, TypedFact, TypedModel, TypedOp};
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
            Self::Lstm { hidden } => Ok(Box::new(LstmEpilogue { hidden: *hidden })),
            Self::Gru { hidden } => Ok(Box::new(GruEpilogue { hidden: *hidden })),
            Self::Loop {
                skip,
                reset_every_turn,
                body,
                inputs,
                outputs,
            } => {
                let body = graph::read(body, constants, &Limits::default())?;
                let scans = inputs.iter().any(|input| matches!(input, Input::Scan(..)));
                let fits = inputs.len() == body.inputs.len() && outputs.len() == body.outputs.len();
                if !fits || !scans {
                    return Err(Error::invalid_model(
                        "no sound plan: a loop that scans nothing",
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
        if !self.packed {
            return Ok(Box::new(layer));
        }
        let mut scratch = TypedModel::default();
        let mut inputs = sources(&mut scratch, facts)?;
        let slot = if self.projected { 1 } else { 2 };
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

//! What carries a state along a sequence: a GRU (Cho et al., "Learning Phrase Representations using RNN
//! Encoder–Decoder", 2014), with the reset gate after the product, as cuDNN and ONNX's
//! `linear_before_reset` have it; or an LSTM (Hochreiter and Schmidhuber, "Long Short-Term Memory",
//! 1997, with the forget gate of Gers et al., 2000).

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::{Device, Tensor};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::export::{Graph, States, Value};

/// The kind of a recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Three gates and one state: smaller and faster
    Gru,
    /// Four gates, and a memory beside the state
    Lstm,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// Gates side by side, in ONNX's order: of a GRU update, reset, new; of an LSTM input, output, forget,
/// new.
#[derive(Module, Debug)]
pub(super) struct Recurrent {
    input: Linear,
    hidden: Linear,
    #[module(skip)]
    cell: Cell,
}

impl Recurrent {
    /// Fresh weights.
    pub(super) fn new(cell: Cell, before: usize, width: usize, device: &Device) -> Self {
        let gates = cell.gates() * width;
        Self {
            input: LinearConfig::new(before, gates).init(device),
            hidden: LinearConfig::new(width, gates).init(device),
            cell,
        }
    }

    /// `[batch, length, before]` to the state after the last row, `[batch, width]`.
    pub(super) fn last(&self, series: Tensor<3>) -> Tensor<2> {
        self.walk(series)
            .pop()
            .expect("a series has a row at least")
    }

    /// `[batch, length, before]` to the state after each row, `[batch, length, width]`.
    pub(super) fn each(&self, series: Tensor<3>) -> Tensor<3> {
        Tensor::stack(self.walk(series), 1)
    }

    /// The same, in ONNX's words.
    pub(super) fn draw(&self, graph: &mut Graph, series: &Value, states: States) -> Value {
        match self.cell {
            Cell::Gru => graph.gru(series, &self.input, &self.hidden, states),
            Cell::Lstm => graph.lstm(series, &self.input, &self.hidden, states),
        }
    }

    /// The states, row by row.
    fn walk(&self, series: Tensor<3>) -> Vec<Tensor<2>> {
        let [batch, length, _] = series.dims();
        let [width, _] = self.hidden.weight.dims();
        let begin = Tensor::zeros([batch, width], &series.device());
        // What the rows have to say does not depend on the state: one product for all of them.
        let rows = self.input.forward(series);
        let row = |at: usize| rows.clone().slice_dim(1, at..at + 1).squeeze_dim(1);
        let (mut state, mut memory) = (begin.clone(), begin);
        (0..length)
            .map(|at| {
                let own = self.hidden.forward(state.clone());
                match self.cell {
                    Cell::Gru => state = gru(&row(at), &own, state.clone()),
                    Cell::Lstm => {
                        let gates = row(at) + own;
                        [state, memory] = lstm(gates, memory.clone());
                    }
                }
                state.clone()
            })
            .collect()
    }
}

/// The next state, from what row and state say, `[batch, 3 × width]`.
fn gru(row: &Tensor<2>, own: &Tensor<2>, state: Tensor<2>) -> Tensor<2> {
    let [_, width] = state.dims();
    let part =
        |of: &Tensor<2>, from: usize, to: usize| of.clone().slice_dim(1, from * width..to * width);
    let gates = sigmoid(part(row, 0, 2) + part(own, 0, 2));
    let (update, reset) = (part(&gates, 0, 1), part(&gates, 1, 2));
    let new = tanh(part(row, 2, 3) + reset * part(own, 2, 3));
    // (1 - update) × new + update × state
    new.clone() + update * (state - new)
}

/// The next state and memory, from the gates, `[batch, 4 × width]`.
fn lstm(gates: Tensor<2>, memory: Tensor<2>) -> [Tensor<2>; 2] {
    let [_, width] = memory.dims();
    let open = sigmoid(gates.clone().slice_dim(1, 0..3 * width));
    let new = tanh(gates.slice_dim(1, 3 * width..4 * width));
    let [input, output, forget] =
        [0, 1, 2].map(|gate| open.clone().slice_dim(1, gate * width..(gate + 1) * width));
    let memory = forget * memory + input * new;
    [output * tanh(memory.clone()), memory]
}

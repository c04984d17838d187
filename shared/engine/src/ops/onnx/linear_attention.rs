//! `LinearAttention` (opset 27): a recurrence over a state of keys by values, one step a token.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{DatumType, Tensor, TractErrorContext, TractResult, ensure};

use super::kernel::Kernel;
use super::ports::{Given, Port};
use super::values::{from_reals, reals};

/// `S ← exp(g)·S`, then `S ← S + k ⊗ v`, then `o = scale · q S`; the delta rules write
/// `β·(v − k S)` in place of `v`.
#[derive(Debug)]
pub(crate) struct LinearAttention {
    heads: usize,
    kv_heads: usize,
    scale: Option<f32>,
    gated: bool,
    delta: bool,
}

const QUERY: usize = 0;
const KEY: usize = 1;
const VALUE: usize = 2;
const STATE: usize = 3;
const DECAY: usize = 4;
const BETA: usize = 5;

/// The sizes of one node's work.
struct Sizes {
    batch: usize,
    time: usize,
    key: usize,
    value: usize,
}

impl LinearAttention {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let heads = node.get_attr::<i64>("q_num_heads")? as usize;
        let kv_heads = node.get_attr::<i64>("kv_num_heads")? as usize;
        ensure!(
            kv_heads > 0 && heads > 0 && heads.is_multiple_of(kv_heads),
            "{heads} query heads for {kv_heads} key heads"
        );
        let rule = node.get_attr_opt::<String>("update_rule")?;
        let rule = rule.as_deref().unwrap_or("gated_delta");
        ensure!(
            ["linear", "gated", "delta", "gated_delta"].contains(&rule),
            "update_rule {rule} is unknown"
        );
        Ok(Self {
            heads,
            kv_heads,
            scale: node
                .get_attr_opt::<f32>("scale")?
                .filter(|&scale| scale != 0.0),
            gated: rule.starts_with("gated"),
            delta: rule.ends_with("delta"),
        })
    }

    fn sizes(&self, query: &[usize], value: &[usize]) -> Sizes {
        Sizes {
            batch: query[0],
            time: query[1],
            key: query[2] / self.heads,
            value: value[2] / self.kv_heads,
        }
    }
}

impl Kernel for LinearAttention {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let (query, key, value) = (inputs.need(QUERY)?, inputs.need(KEY)?, inputs.need(VALUE)?);
        for port in [query, key, value] {
            ensure!(
                port.rank() == 3 && port.shape[..2] == query.shape[..2],
                "an input of shape {:?} beside queries of shape {:?}",
                port.shape,
                query.shape
            );
        }
        let sizes = self.sizes(&query.shape, &value.shape);
        ensure!(
            query.shape[2] == sizes.key * self.heads
                && key.shape[2] == sizes.key * self.kv_heads
                && value.shape[2] == sizes.value * self.kv_heads,
            "the last dimensions are no multiple of the heads"
        );
        let state = vec![sizes.batch, self.kv_heads, sizes.key, sizes.value];
        let past = inputs.get(STATE);
        ensure!(
            past.is_none_or(|past| past.shape == state),
            "the past state has another shape than {state:?}"
        );
        ensure!(
            inputs.get(DECAY).is_some() == self.gated && inputs.get(BETA).is_some() == self.delta,
            "decay and beta do not go with the update rule"
        );
        if let Some(decay) = inputs.get(DECAY) {
            let last = *decay.shape.last().context("decay without dimensions")?;
            ensure!(
                decay.rank() == 3 && (last == self.kv_heads || last == self.kv_heads * sizes.key),
                "decay of shape {:?}",
                decay.shape
            );
        }
        if let Some(beta) = inputs.get(BETA) {
            let last = *beta.shape.last().context("beta without dimensions")?;
            ensure!(
                beta.rank() == 3 && (last == 1 || last == self.kv_heads),
                "beta of shape {:?}",
                beta.shape
            );
        }
        let output = vec![sizes.batch, sizes.time, self.heads * sizes.value];
        let state_type = past.map_or(query.datatype, |past| past.datatype);
        Ok(vec![(query.datatype, output), (state_type, state)])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (query, value) = (inputs.need(QUERY)?, inputs.need(VALUE)?);
        let Sizes {
            batch,
            time,
            key: dk,
            value: dv,
        } = self.sizes(query.shape(), value.shape());
        let read = |place: usize| inputs.get(place).map(|tensor| reals(tensor)).transpose();
        let (q, k, v) = (reals(query)?, reals(inputs.need(KEY)?)?, reals(value)?);
        let (decay, beta) = (read(DECAY)?, read(BETA)?);
        let state_type = inputs
            .get(STATE)
            .map_or(query.datum_type(), |past| past.datum_type());
        let mut state = read(STATE)?.unwrap_or_else(|| vec![0.0; batch * self.kv_heads * dk * dv]);
        let scale = self.scale.map_or(1.0 / (dk as f64).sqrt(), f64::from);
        let group = self.heads / self.kv_heads;
        let mut output = vec![0.0; batch * time * self.heads * dv];
        // A per-token input holds `width` numbers a token.
        let at = |values: &[f64], token: usize, width: usize, index: usize| {
            values[token * width + index]
        };
        for (number, state) in state.chunks_exact_mut((dk * dv).max(1)).enumerate() {
            let (item, head) = (number / self.kv_heads, number % self.kv_heads);
            for token in item * time..(item + 1) * time {
                if let Some(decay) = &decay {
                    let width = decay.len() / (batch * time);
                    let per_key = width != self.kv_heads;
                    for (row, cells) in state.chunks_exact_mut(dv).enumerate() {
                        let index = if per_key { head * dk + row } else { head };
                        let factor = at(decay, token, width, index).exp();
                        for cell in cells {
                            *cell *= factor;
                        }
                    }
                }
                let key = &k[(token * self.kv_heads + head) * dk..][..dk];
                let mut written = v[(token * self.kv_heads + head) * dv..][..dv].to_vec();
                if let Some(beta) = &beta {
                    let width = beta.len() / (batch * time);
                    let rate = at(beta, token, width, if width == 1 { 0 } else { head });
                    for (column, written) in written.iter_mut().enumerate() {
                        let known: f64 =
                            (0..dk).map(|row| key[row] * state[row * dv + column]).sum();
                        *written = rate * (*written - known);
                    }
                }
                for (cells, key) in state.chunks_exact_mut(dv).zip(key) {
                    cells
                        .iter_mut()
                        .zip(&written)
                        .for_each(|(cell, value)| *cell += key * value);
                }
                for query_head in head * group..(head + 1) * group {
                    let place = token * self.heads + query_head;
                    let query = &q[place * dk..][..dk];
                    let answer = &mut output[place * dv..][..dv];
                    for (cells, query) in state.chunks_exact(dv).zip(query) {
                        for (answer, cell) in answer.iter_mut().zip(cells) {
                            *answer += scale * query * cell;
                        }
                    }
                }
            }
        }
        let output_shape = [batch, time, self.heads * dv];
        let state_shape = [batch, self.kv_heads, dk, dv];
        Ok(vec![
            from_reals(&output_shape, &output, query.datum_type())?,
            from_reals(&state_shape, &state, state_type)?,
        ])
    }
}

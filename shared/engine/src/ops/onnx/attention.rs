//! ONNX's Attention (opset 23 and later) and `FlexAttention`, in matrix products and a softmax.
//!
//! Grouped queries need no copies of keys: the query heads of a group are rows of one product.

use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::tract_hir::internal::{
    DatumType, Tensor, TractError, TractErrorContext, TractResult, bail, ensure, tensor0, tensor1,
};

use super::body::{Body, Writer, int};
use super::ports::{Given, Port};

/// `Q`, `K`, `V` and what comes with them: mask, past keys and values, lengths of the keys.
#[derive(Debug)]
pub(crate) struct Attention {
    causal: bool,
    heads: Option<(usize, usize)>,
    scale: Option<f32>,
    softcap: f32,
    /// How far back and ahead a query sees.
    window: (Option<i64>, Option<i64>),
    /// Which state of the scores is the fourth output.
    scores: i64,
}

/// Places of the inputs.
const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const MASK: usize = 3;
const PAST_K: usize = 4;
const PAST_V: usize = 5;
const LENGTHS: usize = 6;

impl Attention {
    pub(crate) fn parse(node: &NodeProto, opset: i64) -> TractResult<Self> {
        let number = |name: &str| node.get_attr_opt::<i64>(name);
        let heads = |name: &str| Ok::<_, TractError>(number(name)?.map(|heads| heads as usize));
        let bound = |name: &str| Ok::<_, TractError>(number(name)?.filter(|&size| size >= 0));
        let scores = number("qk_matmul_output_mode")?.unwrap_or(0);
        ensure!((0..4).contains(&scores), "qk_matmul_output_mode {scores}");
        // The operator's first version capped the scores after it had masked them.
        let softcap = node.get_attr_opt::<f32>("softcap")?.unwrap_or(0.0);
        ensure!(
            opset > 23 || softcap == 0.0 || node.input.get(MASK).is_none_or(String::is_empty),
            "softcap over a mask in opset {opset}; convert the model to opset 24"
        );
        Ok(Self {
            causal: number("is_causal")?.unwrap_or(0) != 0,
            heads: heads("q_num_heads")?.zip(heads("kv_num_heads")?),
            scale: node.get_attr_opt("scale")?,
            softcap,
            window: (bound("left_window_size")?, bound("right_window_size")?),
            scores,
        })
    }

    /// `[batch, length, heads·size]` as `[batch, heads, length, size]`.
    fn split(body: &mut Writer, x: &str, shape: &[usize], heads: usize) -> (String, Vec<usize>) {
        let [batch, length, size] = [shape[0], shape[1], shape[2] / heads];
        let split = body.reshape(x, &[batch, length, heads, size]);
        (
            body.transpose(&split, &[0, 2, 1, 3]),
            vec![batch, heads, length, size],
        )
    }

    /// What is added to the scores, and whether all of a row of it may be minus infinity.
    fn bias(
        &self,
        body: &mut Writer,
        inputs: &Given<Port>,
        datatype: DatumType,
        [queries, keys, past]: [usize; 3],
    ) -> TractResult<Option<(String, bool)>> {
        let mut parts = vec![];
        let nothing = body.scalar(0.0, datatype)?;
        let never = body.scalar(f64::NEG_INFINITY, datatype)?;
        let lengths = inputs.get(LENGTHS);
        let mut open_rows = lengths.is_none() && inputs.get(MASK).is_none();
        if let Some(mask) = inputs.get(MASK) {
            let name = Writer::input(MASK);
            let mut added = if mask.datatype == DatumType::Bool {
                body.op("Where", &[&name, &nothing, &never])
            } else {
                body.cast(&name, datatype)?
            };
            let missing = keys.saturating_sub(mask.shape.last().copied().unwrap_or(keys));
            if missing > 0 && mask.shape.last() != Some(&1) {
                let mut shape = mask.shape.clone();
                *shape.last_mut().context("a mask without dimensions")? = missing;
                let rest = Tensor::zero_dt(datatype, &shape)?;
                let rest = body.constant(rest);
                let rest = body.op("Add", &[&rest, &never]);
                added = body.concat(&[&added, &rest], mask.rank() - 1);
            }
            parts.push(added);
        }
        let (left, right) = self.window;
        let right = if self.causal {
            Some(right.map_or(0, |right| right.min(0)))
        } else {
            right
        };
        // The place of a query less that of a key, both counted from the first key.
        let shift = if lengths.is_some() && inputs.get(PAST_K).is_none() {
            -(queries as i64)
        } else {
            past as i64
        };
        let place = |query: usize, key: usize| query as i64 + shift - key as i64;
        let seen = |place: i64| {
            left.is_none_or(|left| place <= left) && right.is_none_or(|right| -place <= right)
        };
        let grid = |value: &dyn Fn(usize, usize) -> i64| -> TractResult<Tensor> {
            let all = (0..queries).flat_map(|query| (0..keys).map(move |key| (query, key)));
            let values: Vec<i64> = all.map(|(query, key)| value(query, key)).collect();
            tensor1(&values).into_shape(&[1, 1, queries, keys])
        };
        let per_batch = lengths.is_some() && shift < 0;
        if (left.is_some() || right.is_some()) && per_batch {
            let places = body.constant(grid(&place)?);
            let batch = lengths.map_or(1, |lengths| lengths.shape.iter().product());
            let lengths = body.reshape(&Writer::input(LENGTHS), &[batch, 1, 1, 1]);
            let places = body.op("Add", &[&places, &lengths]);
            for (bound, op) in [
                (left, "LessOrEqual"),
                (right.map(|right| -right), "GreaterOrEqual"),
            ] {
                if let Some(bound) = bound {
                    let bound = body.constant(tensor0(bound));
                    let seen = body.op(op, &[&places, &bound]);
                    parts.push(body.op("Where", &[&seen, &nothing, &never]));
                }
            }
        } else if left.is_some() || right.is_some() {
            open_rows &= (0..queries).all(|query| (0..keys).any(|key| seen(place(query, key))));
            let hidden = grid(&|query, key| i64::from(!seen(place(query, key))))?;
            let hidden = body.constant(hidden.cast_to::<bool>()?.into_owned());
            parts.push(body.op("Where", &[&hidden, &never, &nothing]));
        }
        if let Some(lengths) = lengths {
            let batch = lengths.shape.iter().product();
            let lengths = body.reshape(&Writer::input(LENGTHS), &[batch, 1, 1, 1]);
            let places: Vec<i64> = (0..keys as i64).collect();
            let places = body.constant(tensor1(&places).into_shape(&[1, 1, 1, keys])?);
            let there = body.op("Less", &[&places, &lengths]);
            parts.push(body.op("Where", &[&there, &nothing, &never]));
        }
        let sum = parts
            .into_iter()
            .reduce(|sum, part| body.op("Add", &[&sum, &part]));
        Ok(sum.map(|sum| (sum, !open_rows)))
    }
}

impl Body for Attention {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let (q, k, v) = (inputs.need(Q)?, inputs.need(K)?, inputs.need(V)?);
        let flat = q.rank() == 3;
        let (mut names, mut shapes) = (vec![], vec![]);
        for (place, port) in [(Q, q), (K, k), (V, v)] {
            let (name, shape) = if flat {
                let (queries, keys) = self.heads.context("inputs of rank 3 need q_num_heads")?;
                let heads = if place == Q { queries } else { keys };
                ensure!(
                    port.rank() == 3 && heads > 0 && port.shape[2] % heads == 0,
                    "shape {:?} for {heads} heads",
                    port.shape
                );
                Self::split(body, &Writer::input(place), &port.shape, heads)
            } else {
                ensure!(port.rank() == 4, "an input of shape {:?}", port.shape);
                (Writer::input(place), port.shape.clone())
            };
            names.push(name);
            shapes.push(shape);
        }
        let mut past = 0;
        for (place, input) in [(PAST_K, K), (PAST_V, V)] {
            if let Some(port) = inputs.get(place) {
                ensure!(port.rank() == 4, "past keys of shape {:?}", port.shape);
                past = port.shape[2];
                names[input] = body.concat(&[&Writer::input(place), &names[input]], 2);
                shapes[input][2] += past;
            }
        }
        let exact = q.datatype == DatumType::F64;
        let datatype = if exact {
            DatumType::F64
        } else {
            DatumType::F32
        };
        let [batch, heads, queries, size] = shapes[Q][..] else {
            bail!("queries of shape {:?}", shapes[Q])
        };
        let [_, kv_heads, keys, _] = shapes[K][..] else {
            bail!("keys of shape {:?}", shapes[K])
        };
        let bias = self.bias(body, inputs, datatype, [queries, keys, past])?;
        let scale = self.scale.map_or(1.0 / (size as f64).sqrt(), f64::from);
        let wide: Vec<String> = names
            .iter()
            .map(|name| body.cast(name, datatype))
            .collect::<TractResult<_>>()?;
        let raw = scores(
            body,
            [&wide[Q], &wide[K]],
            [batch, heads, kv_heads, queries, keys, size],
            scale,
            datatype,
        )?;
        let mut states = vec![raw.clone()];
        let capped = if self.softcap > 0.0 {
            let cap = body.scalar(f64::from(self.softcap), datatype)?;
            let small = body.op("Div", &[&raw, &cap]);
            let bent = body.op("Tanh", &[&small]);
            body.op("Mul", &[&bent, &cap])
        } else {
            raw
        };
        states.push(capped.clone());
        let masked = match &bias {
            Some((bias, _)) => body.op("Add", &[&capped, bias]),
            None => capped,
        };
        states.push(masked.clone());
        let mut weights = body.with("Softmax", &[&masked], vec![int("axis", -1)]);
        if let Some((bias, true)) = &bias {
            // A query that sees nothing gets nothing, not 0 / 0.
            let last = body.ints(&[-1]);
            let most = body.op("ReduceMax", &[bias, &last]);
            let never = body.scalar(f64::NEG_INFINITY, datatype)?;
            let blind = body.op("Equal", &[&most, &never]);
            let nothing = body.scalar(0.0, datatype)?;
            weights = body.op("Where", &[&blind, &nothing, &weights]);
        }
        states.push(weights.clone());
        let y = weighted(
            body,
            [&weights, &wide[V]],
            &shapes[V],
            [heads, queries],
            keys,
        );
        let y = body.cast(&y, q.datatype)?;
        let y = if flat {
            let back = body.transpose(&y, &[0, 2, 1, 3]);
            body.reshape(&back, &[batch, queries, heads * shapes[V][3]])
        } else {
            y
        };
        let state = body.cast(&states[self.scores as usize], q.datatype)?;
        Ok(vec![y, names[K].clone(), names[V].clone(), state])
    }
}

/// The scaled products of queries `[batch, heads, queries, size]` and keys
/// `[batch, kv heads, keys, size]`: `[batch, heads, queries, keys]`.
fn scores(
    body: &mut Writer,
    [q, k]: [&str; 2],
    [batch, heads, kv_heads, queries, keys, size]: [usize; 6],
    scale: f64,
    datatype: DatumType,
) -> TractResult<String> {
    ensure!(
        kv_heads > 0 && heads % kv_heads == 0,
        "{heads} query heads for {kv_heads} key heads"
    );
    let scale = body.scalar(scale, datatype)?;
    let q = body.op("Mul", &[q, &scale]);
    let grouped = body.reshape(&q, &[batch, kv_heads, heads / kv_heads * queries, size]);
    let turned = body.transpose(k, &[0, 1, 3, 2]);
    let product = body.op("MatMul", &[&grouped, &turned]);
    Ok(body.reshape(&product, &[batch, heads, queries, keys]))
}

/// The values `[batch, kv heads, keys, size]` under weights `[batch, heads, queries, keys]`.
fn weighted(
    body: &mut Writer,
    [weights, v]: [&str; 2],
    v_shape: &[usize],
    [heads, queries]: [usize; 2],
    keys: usize,
) -> String {
    let (batch, kv_heads, size) = (v_shape[0], v_shape[1], v_shape[3]);
    let rows = heads / kv_heads.max(1) * queries;
    let grouped = body.reshape(weights, &[batch, kv_heads, rows, keys]);
    let product = body.op("MatMul", &[&grouped, v]);
    body.reshape(&product, &[batch, heads, queries, size])
}

/// Attention whose scores and weights are bent by graphs of the node's own.
#[derive(Debug)]
pub(crate) struct FlexAttention {
    scale: Option<f32>,
    score: Option<GraphProto>,
    weight: Option<GraphProto>,
}

impl FlexAttention {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let graph =
            |name: &str| Ok::<_, TractError>(node.get_attr_opt::<&GraphProto>(name)?.cloned());
        Ok(Self {
            scale: node.get_attr_opt("scale")?,
            score: graph("score_mod")?,
            weight: graph("prob_mod")?,
        })
    }
}

impl Body for FlexAttention {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let ports = [inputs.need(Q)?, inputs.need(K)?, inputs.need(V)?];
        for port in ports {
            ensure!(port.rank() == 4, "an input of shape {:?}", port.shape);
        }
        let [q, k, v] = ports.map(|port| port.shape.clone());
        let exact = ports[Q].datatype == DatumType::F64;
        let datatype = if exact {
            DatumType::F64
        } else {
            DatumType::F32
        };
        let mut wide = vec![];
        for place in [Q, K, V] {
            wide.push(body.cast(&Writer::input(place), datatype)?);
        }
        let scale = self.scale.map_or(1.0 / (q[3] as f64).sqrt(), f64::from);
        let sizes = [q[0], q[1], k[1], q[2], k[2], q[3]];
        let mut state = scores(body, [&wide[Q], &wide[K]], sizes, scale, datatype)?;
        if let Some(graph) = &self.score {
            state = body.inline(graph, &[&state])?.remove(0);
        }
        let mut weights = body.with("Softmax", &[&state], vec![int("axis", -1)]);
        if let Some(graph) = &self.weight {
            weights = body.inline(graph, &[&weights])?.remove(0);
        }
        let y = weighted(body, [&weights, &wide[V]], &v, [q[1], q[2]], k[2]);
        Ok(vec![body.cast(&y, ports[V].datatype)?])
    }
}

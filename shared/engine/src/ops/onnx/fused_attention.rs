//! onnxruntime's Attention (domain com.microsoft): the projections are inside.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    DatumType, TractErrorContext, TractResult, bail, ensure, tensor1,
};

use super::body::{Body, Writer, int};
use super::ports::{Given, Port};

/// Self-attention from one projection: `softmax(Q Kᵀ · scale + mask) V`.
#[derive(Debug)]
pub(crate) struct FusedAttention {
    heads: usize,
    causal: bool,
    scale: Option<f32>,
    sizes: Option<Vec<i64>>,
    masked: f32,
}

impl FusedAttention {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        for name in ["do_rotary", "past_present_share_buffer"] {
            ensure!(node.get_attr_opt::<i64>(name)?.unwrap_or(0) == 0, "{name}");
        }
        let heads = node.get_attr::<i64>("num_heads")?;
        Ok(Self {
            heads: usize::try_from(heads).context("a negative num_heads")?,
            causal: node.get_attr_opt::<i64>("unidirectional")? == Some(1),
            scale: node
                .get_attr_opt::<f32>("scale")?
                .filter(|&scale| scale != 0.0),
            sizes: node.get_attr_opt_vec("qkv_hidden_sizes")?,
            masked: node.get_attr_opt("mask_filter_value")?.unwrap_or(-10000.0),
        })
    }
}

impl Body for FusedAttention {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [x, weights, bias, mask, past, added] = [0, 1, 2, 3, 4, 5];
        let [batch, length, _] = inputs.need(x)?.shape[..] else {
            bail!("an input of shape {:?}", inputs.need(x)?.shape)
        };
        let datatype = inputs.need(x)?.datatype;
        let width = inputs.need(weights)?.shape.last().copied().unwrap_or(0);
        let sizes: Vec<usize> = match &self.sizes {
            Some(sizes) => sizes.iter().map(|&size| size as usize).collect(),
            None => vec![width / 3; 3],
        };
        ensure!(
            sizes.len() == 3
                && sizes.iter().sum::<usize>() == width
                && self.heads > 0
                && sizes.iter().all(|size| size.is_multiple_of(self.heads)),
            "{width} columns of weights for {} heads",
            self.heads
        );
        let mut all = body.op("MatMul", &[&Writer::input(x), &Writer::input(weights)]);
        if inputs.get(bias).is_some() {
            all = body.op("Add", &[&all, &Writer::input(bias)]);
        }
        let (mut parts, mut start) = (vec![], 0);
        for size in &sizes {
            let part = body.slice(&all, 2, start, start + size);
            let split = body.reshape(&part, &[batch, length, self.heads, size / self.heads]);
            parts.push(body.transpose(&split, &[0, 2, 1, 3]));
            start += size;
        }
        let mut before = 0;
        let mut present = String::new();
        if let Some(cache) = inputs.get(past) {
            ensure!(cache.rank() == 5, "past of shape {:?}", cache.shape);
            before = cache.shape[3];
            for (number, part) in parts[1..].iter_mut().enumerate() {
                let old = body.slice(&Writer::input(past), 0, number, number + 1);
                let old = body.reshape(&old, &cache.shape[1..]);
                *part = body.concat(&[&old, part], 2);
            }
        }
        let keys = before + length;
        if sizes[1] == sizes[2] {
            let one: Vec<String> = parts[1..]
                .iter()
                .map(|part| {
                    body.reshape(part, &[1, batch, self.heads, keys, sizes[1] / self.heads])
                })
                .collect();
            present = body.concat(&[&one[0], &one[1]], 0);
        }
        let size = (sizes[0] / self.heads) as f64;
        let scale = body.scalar(self.scale.map_or(1.0 / size.sqrt(), f64::from), datatype)?;
        let turned = body.transpose(&parts[1], &[0, 1, 3, 2]);
        let scores = body.op("MatMul", &[&parts[0], &turned]);
        let mut scores = body.op("Mul", &[&scores, &scale]);
        if let Some(mask) = inputs.get(mask) {
            let hidden = self.mask(body, mask, [batch, length, keys], datatype)?;
            scores = body.op("Add", &[&scores, &hidden]);
        }
        if self.causal {
            let hidden = |place: usize| {
                if place % keys > place / keys + before {
                    self.masked
                } else {
                    0.0
                }
            };
            let hidden: Vec<f32> = (0..length * keys).map(hidden).collect();
            let hidden = tensor1(&hidden).into_shape(&[1, 1, length, keys])?;
            let hidden = body.constant(hidden.cast_to_dt(datatype)?.into_owned());
            scores = body.op("Add", &[&scores, &hidden]);
        }
        if inputs.get(added).is_some() {
            scores = body.op("Add", &[&scores, &Writer::input(added)]);
        }
        let weights = body.with("Softmax", &[&scores], vec![int("axis", -1)]);
        let y = body.op("MatMul", &[&weights, &parts[2]]);
        let y = body.transpose(&y, &[0, 2, 1, 3]);
        let y = body.reshape(&y, &[batch, length, sizes[2]]);
        Ok(vec![y, present])
    }
}

impl FusedAttention {
    /// What is added to scores where the mask hides a key: by keys, by queries and keys, or by
    /// the count of keys to see.
    fn mask(
        &self,
        body: &mut Writer,
        mask: &Port,
        [batch, length, keys]: [usize; 3],
        datatype: DatumType,
    ) -> TractResult<String> {
        let name = Writer::input(3);
        let counted = body.cast(&name, DatumType::I64)?;
        let seen = match mask.shape[..] {
            [count] if count == batch => {
                let lengths = body.reshape(&counted, &[batch, 1, 1, 1]);
                let places: Vec<i64> = (0..keys as i64).collect();
                let places = body.constant(tensor1(&places).into_shape(&[1, 1, 1, keys])?);
                let seen = body.op("Less", &[&places, &lengths]);
                body.cast(&seen, datatype)?
            }
            [items, width] if items == batch && width == keys => {
                let mask = body.reshape(&counted, &[batch, 1, 1, keys]);
                body.cast(&mask, datatype)?
            }
            [items, rows, width] if items == batch && rows == length && width == keys => {
                let mask = body.reshape(&counted, &[batch, 1, length, keys]);
                body.cast(&mask, datatype)?
            }
            _ => bail!("a mask of shape {:?}", mask.shape),
        };
        // (1 − seen) · masked
        let one = body.scalar(1.0, datatype)?;
        let hidden = body.op("Sub", &[&one, &seen]);
        let masked = body.scalar(f64::from(self.masked), datatype)?;
        Ok(body.op("Mul", &[&hidden, &masked]))
    }
}

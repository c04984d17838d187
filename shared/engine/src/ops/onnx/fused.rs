//! onnxruntime's fused operators (domain com.microsoft) as its graph and transformer optimizers
//! write them, taken apart again.

use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::{DatumType, Tensor, TractError, TractResult, bail, ensure};

use super::body::{Body, Writer, float, int};
use super::ports::{Given, Port};

/// `alpha · op(A) · op(B)`, where `op` may swap the last two axes.
#[derive(Debug)]
pub(crate) struct FusedMatMul {
    alpha: f32,
    turned: [bool; 2],
}

impl FusedMatMul {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let set = |name: &str| Ok::<_, TractError>(node.get_attr_opt::<i64>(name)? == Some(1));
        ensure!(
            !set("transBatchA")? && !set("transBatchB")?,
            "transBatchA and transBatchB"
        );
        Ok(Self {
            alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
            turned: [set("transA")?, set("transB")?],
        })
    }
}

impl Body for FusedMatMul {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let mut sides = vec![];
        for place in 0..2 {
            let port = inputs.need(place)?;
            let mut order: Vec<usize> = (0..port.rank()).collect();
            let name = Writer::input(place);
            sides.push(if self.turned[place] && port.rank() > 1 {
                order.swap(port.rank() - 1, port.rank() - 2);
                body.transpose(&name, &order)
            } else {
                name
            });
        }
        let product = body.op("MatMul", &[&sides[0], &sides[1]]);
        let alpha = body.scalar(f64::from(self.alpha), inputs.need(0)?.datatype)?;
        Ok(vec![body.op("Mul", &[&product, &alpha])])
    }
}

/// Conv or Gemm with an activation, and for Conv a sum before it.
#[derive(Debug)]
pub(crate) struct Activated {
    op: &'static str,
    attributes: Vec<AttributeProto>,
    activation: String,
    parameters: Vec<f32>,
    /// The place of what is added before the activation.
    added: Option<usize>,
}

impl Activated {
    pub(crate) fn parse(node: &NodeProto, op: &'static str) -> TractResult<Self> {
        let own = |attribute: &&AttributeProto| !attribute.name.starts_with("activation");
        let mut parameters = node
            .get_attr_opt_vec::<f32>("activation_params")?
            .unwrap_or_default();
        for name in ["activation_alpha", "activation_beta", "activation_gamma"] {
            parameters.extend(node.get_attr_opt::<f32>(name)?);
        }
        Ok(Self {
            op,
            attributes: node.attribute.iter().filter(own).cloned().collect(),
            activation: node
                .get_attr_opt::<String>("activation")?
                .unwrap_or_default(),
            parameters,
            added: (op == "Conv").then_some(3),
        })
    }
}

impl Body for Activated {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let names: Vec<String> = (0..3)
            .filter(|&place| inputs.get(place).is_some())
            .map(Writer::input)
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut y = body.with(self.op, &names, self.attributes.clone());
        if let Some(place) = self.added.filter(|&place| inputs.get(place).is_some()) {
            y = body.op("Add", &[&y, &Writer::input(place)]);
        }
        let parameter =
            |index: usize, default: f32| self.parameters.get(index).copied().unwrap_or(default);
        let y = match self.activation.as_str() {
            "" => y,
            op @ ("Relu" | "Tanh" | "Sigmoid" | "HardSwish") => body.op(op, &[&y]),
            "LeakyRelu" => body.with("LeakyRelu", &[&y], vec![float("alpha", parameter(0, 0.01))]),
            "HardSigmoid" => {
                let attributes = vec![
                    float("alpha", parameter(0, 0.2)),
                    float("beta", parameter(1, 0.5)),
                ];
                body.with("HardSigmoid", &[&y], attributes)
            }
            "Clip" => {
                let datatype = inputs.need(0)?.datatype;
                let low = body.scalar(f64::from(parameter(0, f32::MIN)), datatype)?;
                let high = body.scalar(f64::from(parameter(1, f32::MAX)), datatype)?;
                body.op("Clip", &[&y, &low, &high])
            }
            other => bail!("activation {other} is unknown"),
        };
        Ok(vec![y])
    }
}

/// The sum of word, position and segment embeddings, normalized.
#[derive(Debug)]
pub(crate) struct EmbedLayerNormalization {
    epsilon: f32,
}

impl EmbedLayerNormalization {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        ensure!(
            node.get_attr_opt::<i64>("mask_index_type")?.unwrap_or(0) == 0
                || node.output.get(1).is_none_or(String::is_empty),
            "mask_index_type"
        );
        Ok(Self {
            epsilon: node.get_attr_opt("epsilon")?.unwrap_or(1e-12),
        })
    }
}

impl Body for EmbedLayerNormalization {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [
            ids,
            segments,
            words,
            positions,
            kinds,
            gamma,
            beta,
            mask,
            places,
        ] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        let name = Writer::input;
        let [batch, length] = inputs.need(ids)?.shape[..] else {
            bail!("input_ids of shape {:?}", inputs.need(ids)?.shape)
        };
        let mut sum = body.op("Gather", &[&name(words), &name(ids)]);
        let position = if inputs.get(places).is_some() {
            body.op("Gather", &[&name(positions), &name(places)])
        } else {
            body.slice(&name(positions), 0, 0, length)
        };
        sum = body.op("Add", &[&sum, &position]);
        if inputs.get(segments).is_some() && inputs.get(kinds).is_some() {
            let kind = body.op("Gather", &[&name(kinds), &name(segments)]);
            sum = body.op("Add", &[&sum, &kind]);
        }
        let attributes = vec![int("axis", -1), float("epsilon", self.epsilon)];
        let y = body.with(
            "LayerNormalization",
            &[&sum, &name(gamma), &name(beta)],
            attributes,
        );
        let lengths = if inputs.get(mask).is_some() {
            let axes = body.ints(&[1]);
            let counted = body.cast(&name(mask), DatumType::I32)?;
            body.with("ReduceSum", &[&counted, &axes], vec![int("keepdims", 0)])
        } else {
            body.constant(Tensor::zero_dt(DatumType::I32, &[batch])?)
        };
        Ok(vec![y, lengths, sum])
    }
}

/// `(x + skip + bias)`, normalized; the sum is the fourth output.
#[derive(Debug)]
pub(crate) struct SkipLayerNormalization {
    epsilon: f32,
}

impl SkipLayerNormalization {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        for place in [1, 2] {
            ensure!(
                node.output.get(place).is_none_or(String::is_empty),
                "mean and inverse deviation as outputs"
            );
        }
        Ok(Self {
            epsilon: node.get_attr_opt("epsilon")?.unwrap_or(1e-12),
        })
    }
}

impl Body for SkipLayerNormalization {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let name = Writer::input;
        let mut sum = body.op("Add", &[&name(0), &name(1)]);
        if inputs.get(4).is_some() {
            sum = body.op("Add", &[&sum, &name(4)]);
        }
        let mut read = vec![sum.clone(), name(2)];
        if inputs.get(3).is_some() {
            read.push(name(3));
        }
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        let attributes = vec![int("axis", -1), float("epsilon", self.epsilon)];
        let y = body.with("LayerNormalization", &read, attributes);
        Ok(vec![y, String::new(), String::new(), sum])
    }
}

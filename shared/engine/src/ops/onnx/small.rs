//! Operators that a few others of ONNX say.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{DatumType, Tensor, TractResult, ensure, tensor1};

use super::body::{Body, Writer, int, text};
use super::ports::{Given, Port};

/// `a · sigmoid(alpha · a) · b`.
#[derive(Debug)]
pub(crate) struct SwiGlu {
    alpha: f32,
}

impl SwiGlu {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
        })
    }
}

impl Body for SwiGlu {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let (a, b) = (inputs.need(0)?, inputs.need(1)?);
        ensure!(a.shape == b.shape, "shapes {:?} and {:?}", a.shape, b.shape);
        let [x, y] = [0, 1].map(Writer::input);
        let alpha = body.scalar(f64::from(self.alpha), a.datatype)?;
        let scaled = body.op("Mul", &[&x, &alpha]);
        let gate = body.op("Sigmoid", &[&scaled]);
        let swish = body.op("Mul", &[&x, &gate]);
        Ok(vec![body.op("Mul", &[&swish, &y])])
    }
}

/// A depthwise convolution over time whose left padding is the end of what came before.
#[derive(Debug)]
pub(crate) struct CausalConvWithState {
    swish: bool,
}

impl CausalConvWithState {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let activation = node.get_attr_opt::<String>("activation")?;
        let activation = activation.as_deref().unwrap_or("none");
        ensure!(
            ["none", "silu", "swish"].contains(&activation),
            "activation {activation} is unknown"
        );
        Ok(Self {
            swish: activation != "none",
        })
    }
}

impl Body for CausalConvWithState {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let (x, weight) = (inputs.need(0)?, inputs.need(1)?);
        ensure!(
            x.rank() == 3 && weight.rank() == 3 && weight.shape[2] > 0,
            "inputs of shape {:?} and {:?}",
            x.shape,
            weight.shape
        );
        let [batch, channels, length] = [x.shape[0], x.shape[1], x.shape[2]];
        let before = weight.shape[2] - 1;
        let past = match inputs.get(3) {
            Some(_) => Writer::input(3),
            None => body.constant(Tensor::zero_dt(x.datatype, &[batch, channels, before])?),
        };
        let padded = if before > 0 {
            body.concat(&[&past, &Writer::input(0)], 2)
        } else {
            Writer::input(0)
        };
        // float16 is summed in float32.
        let half = x.datatype == DatumType::F16;
        let datatype = if half { DatumType::F32 } else { x.datatype };
        let mut parts = vec![];
        for name in [padded.clone(), Writer::input(1)] {
            parts.push(body.cast(&name, datatype)?);
        }
        if inputs.get(2).is_some() {
            parts.push(body.cast(&Writer::input(2), datatype)?);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let mut y = body.with("Conv", &parts, vec![int("group", channels as i64)]);
        if self.swish {
            let gate = body.op("Sigmoid", &[&y]);
            y = body.op("Mul", &[&y, &gate]);
        }
        let y = body.cast(&y, x.datatype)?;
        let state = body.slice(&padded, 2, length, length + before);
        Ok(vec![y, state])
    }
}

/// 1 above the threshold, 0 elsewhere.
#[derive(Debug)]
pub(crate) struct Binarizer {
    threshold: f32,
}

impl Binarizer {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            threshold: node.get_attr_opt("threshold")?.unwrap_or(0.0),
        })
    }
}

impl Body for Binarizer {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let datatype = inputs.need(0)?.datatype;
        let threshold = body.scalar(f64::from(self.threshold), datatype)?;
        let above = body.op("Greater", &[&Writer::input(0), &threshold]);
        Ok(vec![body.cast(&above, datatype)?])
    }
}

/// What Resize was before opset 10.
#[derive(Debug)]
pub(crate) struct Upsample {
    mode: String,
    scales: Option<Vec<f32>>,
}

impl Upsample {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            mode: node
                .get_attr_opt::<String>("mode")?
                .unwrap_or_else(|| "nearest".into()),
            scales: node.get_attr_opt_vec("scales")?,
        })
    }
}

impl Body for Upsample {
    fn write(&self, body: &mut Writer, _: &Given<Port>) -> TractResult<Vec<String>> {
        let scales = match &self.scales {
            Some(scales) => body.constant(tensor1(scales)),
            None => Writer::input(1),
        };
        let mode = if self.mode == "nearest" {
            "nearest"
        } else {
            "linear"
        };
        let attributes = vec![
            text("mode", mode),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", "floor"),
        ];
        Ok(vec![body.with(
            "Resize",
            &[&Writer::input(0), "", &scales],
            attributes,
        )])
    }
}

/// `max(0, x) + min(0, alpha · (exp(x / alpha) − 1))`; tract's is wrong in float16.
#[derive(Debug)]
pub(crate) struct Celu {
    alpha: f32,
}

impl Celu {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
        })
    }
}

impl Body for Celu {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let half = inputs.need(0)?.datatype;
        let exact = half == DatumType::F64;
        let datatype = if exact { half } else { DatumType::F32 };
        let x = body.cast(&Writer::input(0), datatype)?;
        let [zero, one, alpha] =
            [0.0, 1.0, f64::from(self.alpha)].map(|value| body.scalar(value, datatype));
        let (zero, one, alpha) = (zero?, one?, alpha?);
        let positive = body.op("Max", &[&x, &zero]);
        let small = body.op("Div", &[&x, &alpha]);
        let small = body.op("Exp", &[&small]);
        let small = body.op("Sub", &[&small, &one]);
        let small = body.op("Mul", &[&small, &alpha]);
        let negative = body.op("Min", &[&small, &zero]);
        let y = body.op("Add", &[&positive, &negative]);
        Ok(vec![body.cast(&y, half)?])
    }
}

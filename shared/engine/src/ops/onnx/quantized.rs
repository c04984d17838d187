//! `QLinearConv`, and onnxruntime's quantized operators (domain com.microsoft) as `onnxruntime.quantization` writes
//! them: between `DequantizeLinear` and `QuantizeLinear`, or as integer products with their scale.

use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::{DatumType, TractError, TractResult, bail, ensure};

use super::body::{Body, Writer, int};
use super::ports::{Given, Port};

/// `(x − zero point) · scale`, the two at the places after `place`.
fn real(body: &mut Writer, inputs: &Given<Port>, place: usize) -> String {
    scaled(body, inputs, [place, place + 1, place + 2])
}

/// `(x − zero point) · scale` from these places; the zero point may be missing.
fn scaled(body: &mut Writer, inputs: &Given<Port>, [x, scale, zero]: [usize; 3]) -> String {
    let mut read = vec![Writer::input(x), Writer::input(scale)];
    if inputs.get(zero).is_some() {
        read.push(Writer::input(zero));
    }
    let read: Vec<&str> = read.iter().map(String::as_str).collect();
    body.op("DequantizeLinear", &read)
}

/// `x / scale + zero point`, rounded, with scale and zero point from these places.
fn quantized(
    body: &mut Writer,
    inputs: &Given<Port>,
    x: &str,
    [scale, zero]: [usize; 2],
) -> String {
    let mut read = vec![x.to_owned(), Writer::input(scale)];
    if inputs.get(zero).is_some() {
        read.push(Writer::input(zero));
    }
    let read: Vec<&str> = read.iter().map(String::as_str).collect();
    body.op("QuantizeLinear", &read)
}

/// An operator on quantized inputs, its result quantized: `QLinearAdd` and its like.
#[derive(Debug)]
pub(crate) struct QLinear {
    op: String,
    attributes: Vec<AttributeProto>,
    /// How many quantized inputs it has, each with scale and zero point.
    operands: usize,
    channels_last: bool,
}

impl QLinear {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let op = node.op_type.rsplit("QLinear").next().unwrap_or_default();
        Ok(Self {
            op: op.to_owned(),
            attributes: node
                .attribute
                .iter()
                .filter(|attribute| !matches!(attribute.name.as_str(), "channels_last" | "opset"))
                .cloned()
                .collect(),
            operands: if matches!(op, "Add" | "Mul") { 2 } else { 1 },
            channels_last: node.get_attr_opt::<i64>("channels_last")? == Some(1),
        })
    }
}

impl Body for QLinear {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let rank = inputs.need(0)?.rank();
        let mut read: Vec<String> = (0..self.operands)
            .map(|number| real(body, inputs, 3 * number))
            .collect();
        if self.channels_last {
            let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
            read[0] = body.transpose(&read[0], &order);
        }
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        let mut y = body.with(&self.op, &read, self.attributes.clone());
        if self.channels_last {
            let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
            y = body.transpose(&y, &order);
        }
        let at = 3 * self.operands;
        Ok(vec![quantized(body, inputs, &y, [at, at + 1])])
    }
}

/// A convolution on quantized tensors: the bias is in steps of both scales.
#[derive(Debug)]
pub(crate) struct QLinearConv {
    attributes: Vec<AttributeProto>,
}

impl QLinearConv {
    pub(crate) fn of(node: &NodeProto) -> Self {
        Self {
            attributes: node.attribute.clone(),
        }
    }
}

impl Body for QLinearConv {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [w, w_scale, w_zero, bias] = [3, 4, 5, 8];
        let x = real(body, inputs, 0);
        let read = [w, w_scale, w_zero].map(Writer::input);
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        // A scale for each output channel, or one for all.
        let weights = body.with("DequantizeLinear", &read, vec![int("axis", 0)]);
        let mut read = vec![x, weights];
        if inputs.get(bias).is_some() {
            let whole = body.cast(&Writer::input(bias), DatumType::F32)?;
            let scale = body.op("Mul", &[&Writer::input(1), &Writer::input(w_scale)]);
            read.push(body.op("Mul", &[&whole, &scale]));
        }
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        let y = body.with("Conv", &read, self.attributes.clone());
        Ok(vec![quantized(body, inputs, &y, [6, 7])])
    }
}

/// The parts end to end, each with a scale of its own.
#[derive(Debug)]
pub(crate) struct QLinearConcat {
    axis: i64,
}

impl QLinearConcat {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            axis: node.get_attr("axis")?,
        })
    }
}

impl Body for QLinearConcat {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let given = inputs.iter().count();
        ensure!(
            given >= 5 && (given - 2).is_multiple_of(3),
            "{given} inputs"
        );
        let parts: Vec<String> = (2..given)
            .step_by(3)
            .map(|place| real(body, inputs, place))
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let y = body.with("Concat", &parts, vec![int("axis", self.axis)]);
        Ok(vec![quantized(body, inputs, &y, [0, 1])])
    }
}

/// Gemm on quantized inputs; the result is quantized where it has a scale.
#[derive(Debug)]
pub(crate) struct QGemm {
    alpha: f32,
    turned: [bool; 2],
}

impl QGemm {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let set = |name: &str| Ok::<_, TractError>(node.get_attr_opt::<i64>(name)? == Some(1));
        Ok(Self {
            alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
            turned: [set("transA")?, set("transB")?],
        })
    }
}

impl Body for QGemm {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero] =
            [0, 1, 2, 3, 4, 5, 6, 7, 8];
        let mut sides = vec![];
        for (place, turned) in [(a, self.turned[0]), (b, self.turned[1])] {
            let name = Writer::input(place);
            sides.push(if turned {
                body.transpose(&name, &[1, 0])
            } else {
                name
            });
        }
        let mut read = sides.clone();
        for zero in [a_zero, b_zero] {
            read.push(
                inputs
                    .get(zero)
                    .map(|_| Writer::input(zero))
                    .unwrap_or_default(),
            );
        }
        let mut y = product(body, inputs, &read, [a, b], [a_zero, b_zero])?;
        if inputs.get(c).is_some() {
            y = body.op("Add", &[&y, &Writer::input(c)]);
        }
        let y = body.cast(&y, DatumType::F32)?;
        let scale = body.op("Mul", &[&Writer::input(a_scale), &Writer::input(b_scale)]);
        let alpha = body.scalar(f64::from(self.alpha), DatumType::F32)?;
        let scale = body.op("Mul", &[&scale, &alpha]);
        let y = body.op("Mul", &[&y, &scale]);
        if inputs.get(y_scale).is_some() {
            return Ok(vec![quantized(body, inputs, &y, [y_scale, y_zero])]);
        }
        Ok(vec![y])
    }
}

/// The integer product of `read[0]` and `read[1]` less their zero points, as int32.
fn product(
    body: &mut Writer,
    inputs: &Given<Port>,
    read: &[String],
    sides: [usize; 2],
    zeros: [usize; 2],
) -> TractResult<String> {
    let mut wide = vec![];
    for number in 0..2 {
        let side = inputs.need(sides[number])?;
        ensure!(
            matches!(side.datatype, DatumType::I8 | DatumType::U8),
            "an input of {:?}",
            side.datatype
        );
        let mut value = body.cast(&read[number], DatumType::I32)?;
        if inputs.get(zeros[number]).is_some() {
            let zero = body.cast(&Writer::input(zeros[number]), DatumType::I32)?;
            value = body.op("Sub", &[&value, &zero]);
        }
        wide.push(value);
    }
    Ok(body.op("MatMul", &[&wide[0], &wide[1]]))
}

/// `MatMulInteger` with the scales of both sides, and a bias.
#[derive(Debug)]
pub(crate) struct MatMulIntegerToFloat;

impl Body for MatMulIntegerToFloat {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [a, b, a_scale, b_scale, a_zero, b_zero, bias] = [0, 1, 2, 3, 4, 5, 6];
        let read = [Writer::input(a), Writer::input(b)];
        let y = product(body, inputs, &read, [a, b], [a_zero, b_zero])?;
        let y = body.cast(&y, DatumType::F32)?;
        let scale = body.op("Mul", &[&Writer::input(a_scale), &Writer::input(b_scale)]);
        let mut y = body.op("Mul", &[&y, &scale]);
        if inputs.get(bias).is_some() {
            y = body.op("Add", &[&y, &Writer::input(bias)]);
        }
        Ok(vec![y])
    }
}

/// A product whose left side is quantized as it comes.
#[derive(Debug)]
pub(crate) struct DynamicQuantizeMatMul;

impl Body for DynamicQuantizeMatMul {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [a, b, b_scale, b_zero, bias] = [0, 1, 2, 3, 4];
        let left = body.many("DynamicQuantizeLinear", &[&Writer::input(a)], vec![], 3);
        let mut sides = vec![];
        let whole = body.cast(&left[0], DatumType::I32)?;
        let zero = body.cast(&left[2], DatumType::I32)?;
        sides.push(body.op("Sub", &[&whole, &zero]));
        let mut right = body.cast(&Writer::input(b), DatumType::I32)?;
        if inputs.get(b_zero).is_some() {
            let zero = body.cast(&Writer::input(b_zero), DatumType::I32)?;
            right = body.op("Sub", &[&right, &zero]);
        }
        sides.push(right);
        let y = body.op("MatMul", &[&sides[0], &sides[1]]);
        let y = body.cast(&y, DatumType::F32)?;
        let scale = body.op("Mul", &[&left[1], &Writer::input(b_scale)]);
        let mut y = body.op("Mul", &[&y, &scale]);
        if inputs.get(bias).is_some() {
            y = body.op("Add", &[&y, &Writer::input(bias)]);
        }
        Ok(vec![y])
    }
}

/// An LSTM with quantized weights. onnxruntime rounds input and state to 8 bits at each step as
/// well; here they stay exact.
#[derive(Debug)]
pub(crate) struct DynamicQuantizeLstm {
    attributes: Vec<AttributeProto>,
}

impl DynamicQuantizeLstm {
    pub(crate) fn of(node: &NodeProto) -> Self {
        Self {
            attributes: node.attribute.clone(),
        }
    }
}

impl Body for DynamicQuantizeLstm {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [x, w, r, bias, peepholes] = [0, 1, 2, 3, 7];
        let mut weights = vec![];
        for (place, scale, zero) in [(w, 8, 9), (r, 10, 11)] {
            // Per direction, or per direction and column: `[directions, inputs, columns]`.
            let port = inputs.need(place)?;
            ensure!(port.rank() == 3, "weights of shape {:?}", port.shape);
            let spread = |part: &Port| -> TractResult<Vec<usize>> {
                match part.shape[..] {
                    [directions] => Ok(vec![directions, 1, 1]),
                    [directions, columns] => Ok(vec![directions, 1, columns]),
                    _ => bail!("a scale of shape {:?}", part.shape),
                }
            };
            let mut real = body.cast(&Writer::input(place), DatumType::F32)?;
            if let Some(port) = inputs.get(zero) {
                let zero = body.cast(&Writer::input(zero), DatumType::F32)?;
                let zero = body.reshape(&zero, &spread(port)?);
                real = body.op("Sub", &[&real, &zero]);
            }
            let shape = spread(inputs.need(scale)?)?;
            let scale = body.reshape(&Writer::input(scale), &shape);
            real = body.op("Mul", &[&real, &scale]);
            weights.push(body.transpose(&real, &[0, 2, 1]));
        }
        let mut read = vec![Writer::input(x), weights[0].clone(), weights[1].clone()];
        for place in bias..=peepholes {
            read.push(
                inputs
                    .get(place)
                    .map(|_| Writer::input(place))
                    .unwrap_or_default(),
            );
        }
        while read.last().is_some_and(String::is_empty) {
            read.pop();
        }
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        Ok(body.many("LSTM", &read, self.attributes.clone(), 3))
    }
}

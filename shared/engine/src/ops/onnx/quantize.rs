//! `QuantizeLinear`, `DequantizeLinear` and `QLinearMatMul` beyond what tract has of them: scales that are no constants, blocks,
//! 16 bits, float16.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{DatumType, TractErrorContext, TractResult, bail, ensure};

use super::body::{Body, Writer, int};
use super::ports::{Given, Port};

/// Quantization with scales that come as inputs, per axis or per block, to any integers.
#[derive(Debug)]
pub(crate) struct Quantize {
    axis: i64,
    block: usize,
    to: Option<DatumType>,
}

impl Quantize {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        use tract_onnx::pb::tensor_proto::DataType;
        let block = node.get_attr_opt::<i64>("block_size")?.unwrap_or(0);
        let to = node
            .get_attr_opt::<i64>("output_dtype")?
            .filter(|&to| to != 0);
        let to = to.map(|to| DatumType::try_from(DataType::try_from(to as i32)?));
        Ok(Self {
            axis: node.get_attr_opt("axis")?.unwrap_or(1),
            block: usize::try_from(block).context("a negative block_size")?,
            to: to.transpose()?,
        })
    }

    /// Scale or zero point as float32, of a shape that goes with `x`.
    fn spread(&self, body: &mut Writer, x: &Port, name: &str, port: &Port) -> TractResult<String> {
        let real = body.cast(name, DatumType::F32)?;
        if self.block > 0 {
            // One for each block along the axis.
            let axis = x.axis(self.axis)?;
            ensure!(port.rank() == x.rank(), "scales of shape {:?}", port.shape);
            let mut apart = port.shape.clone();
            apart.insert(axis + 1, 1);
            let apart = body.reshape(&real, &apart);
            let mut repeats = vec![1; x.rank() + 1];
            repeats[axis + 1] = self.block as i64;
            let repeats = body.ints(&repeats);
            let tiled = body.op("Tile", &[&apart, &repeats]);
            let mut shape = port.shape.clone();
            shape[axis] *= self.block;
            let whole = body.reshape(&tiled, &shape);
            return Ok(body.slice(&whole, axis, 0, x.shape[axis]));
        }
        if port.shape.iter().product::<usize>() == 1 {
            return Ok(body.reshape(&real, &[]));
        }
        let axis = x.axis(self.axis)?;
        ensure!(
            port.shape == [x.shape[axis]],
            "scales of shape {:?}",
            port.shape
        );
        let mut shape = vec![1; x.rank()];
        shape[axis] = x.shape[axis];
        Ok(body.reshape(&real, &shape))
    }
}

impl Body for Quantize {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let (x, scale, zero) = (inputs.need(0)?, inputs.need(1)?, inputs.get(2));
        let to = zero
            .map(|zero| zero.datatype)
            .or(self.to)
            .unwrap_or(DatumType::U8);
        let constant = |port: &Port| port.value.is_some();
        let plain = self.block == 0
            && x.datatype == DatumType::F32
            && scale.datatype == DatumType::F32
            && constant(scale)
            && zero.is_none_or(constant)
            && (zero.is_some() || self.to.is_none())
            && matches!(to, DatumType::U8 | DatumType::I8);
        if plain {
            let read: Vec<String> = inputs
                .iter()
                .map(|(place, _)| Writer::input(place))
                .collect();
            let read: Vec<&str> = read.iter().map(String::as_str).collect();
            return Ok(vec![body.with(
                "tract.QuantizeLinear",
                &read,
                vec![int("axis", self.axis)],
            )]);
        }
        let (low, high) = match to {
            DatumType::U8 => (0.0, f64::from(u8::MAX)),
            DatumType::I8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
            DatumType::U16 => (0.0, f64::from(u16::MAX)),
            DatumType::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
            other => bail!("quantization to {other:?}"),
        };
        let real = body.cast(&Writer::input(0), DatumType::F32)?;
        let scale = self.spread(body, x, &Writer::input(1), scale)?;
        let scaled = body.op("Div", &[&real, &scale]);
        let mut y = body.op("Round", &[&scaled]);
        if let Some(zero) = zero {
            let zero = self.spread(body, x, &Writer::input(2), zero)?;
            y = body.op("Add", &[&y, &zero]);
        }
        let (low, high) = (
            body.scalar(low, DatumType::F32)?,
            body.scalar(high, DatumType::F32)?,
        );
        let y = body.op("Max", &[&y, &low]);
        let y = body.op("Min", &[&y, &high]);
        Ok(vec![body.cast(&y, to)?])
    }
}

/// The way back: `(x − zero point) · scale`.
#[derive(Debug)]
pub(crate) struct Dequantize(Quantize);

impl Dequantize {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self(Quantize::parse(node)?))
    }
}

impl Body for Dequantize {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let (x, scale, zero) = (inputs.need(0)?, inputs.need(1)?, inputs.get(2));
        let constant = |port: &Port| port.value.is_some();
        let plain = self.0.block == 0
            && scale.datatype == DatumType::F32
            && constant(scale)
            && zero.is_none_or(constant)
            && matches!(x.datatype, DatumType::U8 | DatumType::I8 | DatumType::I32);
        if plain {
            let read: Vec<String> = inputs
                .iter()
                .map(|(place, _)| Writer::input(place))
                .collect();
            let read: Vec<&str> = read.iter().map(String::as_str).collect();
            return Ok(vec![body.with(
                "tract.DequantizeLinear",
                &read,
                vec![int("axis", self.0.axis)],
            )]);
        }
        let mut y = body.cast(&Writer::input(0), DatumType::F32)?;
        if let Some(zero) = zero {
            let zero = self.0.spread(body, x, &Writer::input(2), zero)?;
            y = body.op("Sub", &[&y, &zero]);
        }
        let spread = self.0.spread(body, x, &Writer::input(1), scale)?;
        let y = body.op("Mul", &[&y, &spread]);
        Ok(vec![body.cast(&y, self.0.to.unwrap_or(scale.datatype))?])
    }
}

/// `QLinearMatMul` whose scales are float16.
#[derive(Debug)]
pub(crate) struct QLinearMatMul;

impl Body for QLinearMatMul {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let mut read = vec![];
        for place in 0..8 {
            let name = Writer::input(place);
            let scale = matches!(place, 1 | 4 | 6);
            let half = inputs.need(place)?.datatype == DatumType::F16;
            read.push(if scale && half {
                body.cast(&name, DatumType::F32)?
            } else {
                name
            });
        }
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        Ok(vec![body.op("tract.QLinearMatMul", &read)])
    }
}

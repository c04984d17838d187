//! Operators that tract has in part: what it lacks is said in others, the rest is left to it,
//! under the name `tract.…`.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    DatumType, TractErrorContext, TractResult, ensure, tensor0, tensor1,
};

use super::body::{Body, Writer, int, text};
use super::ports::{Given, Port};

/// `x · sigmoid(alpha · x)`.
#[derive(Debug)]
pub(crate) struct Swish {
    alpha: f32,
}

impl Swish {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
        })
    }
}

impl Body for Swish {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let x = Writer::input(0);
        if (self.alpha - 1.0).abs() < f32::EPSILON {
            return Ok(vec![body.op("tract.Swish", &[&x])]);
        }
        let alpha = body.scalar(f64::from(self.alpha), inputs.need(0)?.datatype)?;
        let scaled = body.op("Mul", &[&x, &alpha]);
        let gate = body.op("Sigmoid", &[&scaled]);
        Ok(vec![body.op("Mul", &[&x, &gate])])
    }
}

/// `ReduceMax` and `ReduceMin`; tract's know no infinities and no truth values.
#[derive(Debug)]
pub(crate) struct Extreme {
    max: bool,
    axes: Option<Vec<i64>>,
    keep: i64,
    no_axes_is_none: bool,
}

impl Extreme {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            max: node.op_type == "ReduceMax",
            axes: node.get_attr_opt_vec("axes")?,
            keep: node.get_attr_opt("keepdims")?.unwrap_or(1),
            no_axes_is_none: node.get_attr_opt::<i64>("noop_with_empty_axes")? == Some(1),
        })
    }
}

impl Body for Extreme {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let x = inputs.need(0)?;
        let axes = match (&self.axes, inputs.get(1)) {
            (Some(axes), _) => axes.clone(),
            (None, Some(axes)) => axes.ints("axes")?,
            (None, None) => vec![],
        };
        if axes.is_empty() && self.no_axes_is_none {
            return Ok(vec![Writer::input(0)]);
        }
        let axes = if axes.is_empty() {
            (0..x.rank() as i64).collect()
        } else {
            axes
        };
        let axes = body.ints(&axes);
        let op = if self.max {
            "tract.ReduceMax"
        } else {
            "tract.ReduceMin"
        };
        let reduce = |body: &mut Writer, x: &str| {
            body.with(op, &[x, &axes], vec![int("keepdims", self.keep)])
        };
        if x.datatype == DatumType::Bool {
            let numbers = body.cast(&Writer::input(0), DatumType::U8)?;
            let reduced = reduce(body, &numbers);
            return Ok(vec![body.cast(&reduced, DatumType::Bool)?]);
        }
        let y = reduce(body, &Writer::input(0));
        let (end, infinity) = match x.datatype {
            DatumType::F32 => (f64::from(f32::MAX), f64::INFINITY),
            DatumType::F64 => (f64::MAX, f64::INFINITY),
            DatumType::F16 => (f64::from(half::f16::MAX), f64::INFINITY),
            _ => return Ok(vec![y]),
        };
        let sign = if self.max { -1.0 } else { 1.0 };
        // tract starts at the last finite number. Where it ends there, half of the values tells
        // whether that one was among them or all are infinite.
        let end = body.scalar(sign * end, x.datatype)?;
        let infinity = body.scalar(sign * infinity, x.datatype)?;
        let half = body.scalar(0.5, x.datatype)?;
        let halves = body.op("Mul", &[&Writer::input(0), &half]);
        let halves = reduce(body, &halves);
        let infinite = body.op("Equal", &[&halves, &end]);
        Ok(vec![body.op("Where", &[&infinite, &infinity, &y])])
    }
}

/// `OneHot` whose depth or indices are written as floats.
#[derive(Debug)]
pub(crate) struct OneHot {
    axis: i64,
}

impl OneHot {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            axis: node.get_attr_opt("axis")?.unwrap_or(-1),
        })
    }
}

impl Body for OneHot {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let depth = inputs.need(1)?.ints("depth")?;
        let depth = *depth.first().context("an empty depth")?;
        let rank = inputs.need(0)?.rank();
        let axis = if self.axis < 0 {
            self.axis + rank as i64 + 1
        } else {
            self.axis
        };
        ensure!(
            (0..=rank as i64).contains(&axis) && depth >= 0,
            "axis {axis}, depth {depth}"
        );
        // Each index against each class. A negative one counts from the end.
        let indices = body.cast(&Writer::input(0), DatumType::I64)?;
        let zero = body.constant(tensor0(0_i64));
        let count = body.constant(tensor0(depth));
        let negative = body.op("Less", &[&indices, &zero]);
        let turned = body.op("Add", &[&indices, &count]);
        let indices = body.op("Where", &[&negative, &turned, &indices]);
        let axis = axis as usize;
        let mut shape = inputs.need(0)?.shape.clone();
        shape.insert(axis, 1);
        let indices = body.reshape(&indices, &shape);
        let mut across = vec![1; rank + 1];
        across[axis] = depth as usize;
        let classes: Vec<i64> = (0..depth).collect();
        let classes = body.constant(tensor1(&classes).into_shape(&across)?);
        let hit = body.op("Equal", &[&indices, &classes]);
        let mut values = vec![];
        for number in 0..2 {
            let value = body.slice(&Writer::input(2), 0, number, number + 1);
            values.push(body.reshape(&value, &[]));
        }
        Ok(vec![body.op("Where", &[&hit, &values[1], &values[0]])])
    }
}

/// Padding by constants, which may be negative (they cut), with every mode of ONNX's.
#[derive(Debug)]
pub(crate) struct Pad {
    mode: String,
    /// Before opset 11 the sizes and the value are attributes.
    attributes: Option<(Vec<i64>, f32)>,
}

impl Pad {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let sizes = node.get_attr_opt_vec("pads")?;
        let value = node.get_attr_opt("value")?.unwrap_or(0.0);
        Ok(Self {
            mode: node
                .get_attr_opt::<String>("mode")?
                .unwrap_or_else(|| "constant".into()),
            attributes: sizes.map(|sizes| (sizes, value)),
        })
    }

    /// What is added before and after each axis.
    fn sizes(&self, inputs: &Given<Port>) -> TractResult<Vec<(i64, i64)>> {
        let x = inputs.need(0)?;
        let sizes = match &self.attributes {
            Some((sizes, _)) => sizes.clone(),
            None => inputs.need(1)?.ints("pads")?,
        };
        let axes = match inputs.get(3) {
            Some(axes) => axes.ints("axes")?,
            None => (0..x.rank() as i64).collect(),
        };
        ensure!(
            sizes.len() == 2 * axes.len(),
            "pads {sizes:?} for the axes {axes:?}"
        );
        let mut padded = vec![(0, 0); x.rank()];
        for (number, &axis) in axes.iter().enumerate() {
            padded[x.axis(axis)?] = (sizes[number], sizes[axes.len() + number]);
        }
        Ok(padded)
    }
}

impl Body for Pad {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let x = inputs.need(0)?;
        let mut sizes = self.sizes(inputs)?;
        let mut y = Writer::input(0);
        for (axis, (before, after)) in sizes.iter_mut().enumerate() {
            let dim = x.shape[axis] as i64;
            let (start, end) = ((-*before).max(0), dim - (-*after).max(0));
            ensure!(start <= end, "pads that cut more than axis {axis} has");
            if (start, end) != (0, dim) {
                y = body.slice(&y, axis, start as usize, end as usize);
            }
            (*before, *after) = ((*before).max(0), (*after).max(0));
            if self.mode == "wrap" && (*before, *after) != (0, 0) {
                let dim = end - start;
                ensure!(
                    *before <= dim && *after <= dim,
                    "wrapping round more than once"
                );
                let head = body.slice(&y, axis, (dim - *before) as usize, dim as usize);
                let tail = body.slice(&y, axis, 0, *after as usize);
                y = body.concat(&[&head, &y, &tail], axis);
                (*before, *after) = (0, 0);
            }
        }
        if sizes.iter().all(|&sizes| sizes == (0, 0)) {
            return Ok(vec![y]);
        }
        let sizes: Vec<i64> = sizes
            .iter()
            .map(|sizes| sizes.0)
            .chain(sizes.iter().map(|sizes| sizes.1))
            .collect();
        let sizes = body.ints(&sizes);
        let mut read = vec![y, sizes];
        if self.mode == "constant" {
            read.push(match (&self.attributes, inputs.get(2)) {
                (None, Some(value)) => {
                    let value = value
                        .value
                        .as_ref()
                        .context("the padding value must be a constant")?;
                    let value = value.cast_to_dt(x.datatype)?.into_owned();
                    body.constant(value.into_shape(&[])?)
                }
                (attributes, _) => {
                    let value = attributes
                        .as_ref()
                        .map_or(0.0, |(_, value)| f64::from(*value));
                    body.scalar(value, x.datatype)?
                }
            });
        }
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        Ok(vec![body.with(
            "tract.Pad",
            &read,
            vec![text("mode", &self.mode)],
        )])
    }
}

/// Range whose bounds are lists of one number.
#[derive(Debug)]
pub(crate) struct Range;

impl Body for Range {
    fn write(&self, body: &mut Writer, _: &Given<Port>) -> TractResult<Vec<String>> {
        let bounds = [0, 1, 2].map(|place| body.reshape(&Writer::input(place), &[]));
        Ok(vec![
            body.op("tract.Range", &[&bounds[0], &bounds[1], &bounds[2]]),
        ])
    }
}

/// Whether an optional value is there: a tensor always is, and no input never.
#[derive(Debug)]
pub(crate) struct OptionalHasElement;

impl Body for OptionalHasElement {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        Ok(vec![body.constant(tensor0(inputs.get(0).is_some()))])
    }
}

/// The value of an optional: a tensor is its own.
#[derive(Debug)]
pub(crate) struct OptionalGetElement;

impl Body for OptionalGetElement {
    fn write(&self, _: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        inputs.need(0)?;
        Ok(vec![Writer::input(0)])
    }
}

//! `LpPool`, `Col2Im` and `MaxUnpool`: sums over sliding windows, and the way back.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    DatumType, Tensor, TractErrorContext, TractResult, bail, ensure,
};

use super::kernel::Kernel;
use super::ports::{Given, Port, integers};
use super::values::{from_reals, gather, indices, ravel, reals, unravel};

/// How windows lie over the spatial axes.
#[derive(Debug, Clone)]
struct Windows {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Before and after each axis.
    pads: Vec<(i64, i64)>,
}

fn sizes(values: Option<Vec<i64>>, axes: usize, default: i64) -> TractResult<Vec<usize>> {
    let values = values.unwrap_or_else(|| vec![default; axes]);
    ensure!(values.len() == axes, "{values:?} for {axes} axes");
    values
        .into_iter()
        .map(|value| usize::try_from(value).context("a negative size"))
        .collect()
}

fn pads(values: Option<Vec<i64>>, axes: usize) -> TractResult<Vec<(i64, i64)>> {
    let values = values.unwrap_or_else(|| vec![0; 2 * axes]);
    ensure!(values.len() == 2 * axes, "pads {values:?} for {axes} axes");
    Ok((0..axes)
        .map(|axis| (values[axis], values[axes + axis]))
        .collect())
}

impl Windows {
    /// From the first place that a window covers to after the last.
    fn extent(&self, axis: usize) -> usize {
        self.dilations[axis] * self.kernel[axis].saturating_sub(1) + 1
    }

    /// Where the point `tap` of the window `window` lies, if inside `shape`.
    fn place(&self, window: &[usize], tap: &[usize], shape: &[usize]) -> Option<Vec<usize>> {
        (0..shape.len())
            .map(|axis| {
                let place = (window[axis] * self.strides[axis] + tap[axis] * self.dilations[axis])
                    as i64
                    - self.pads[axis].0;
                usize::try_from(place)
                    .ok()
                    .filter(|&place| place < shape[axis])
            })
            .collect()
    }
}

/// The p-norm of each window.
#[derive(Debug)]
pub(crate) struct LpPool {
    p: f64,
    windows: Windows,
    auto_pad: String,
    ceil: bool,
}

impl LpPool {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let kernel = node.get_attr_vec::<i64>("kernel_shape")?;
        let axes = kernel.len();
        // Opset 1 has p as a float.
        let p = match node.get_attr_opt::<i64>("p") {
            Ok(p) => p.unwrap_or(2) as f64,
            Err(_) => f64::from(node.get_attr::<f32>("p")?),
        };
        let windows = Windows {
            kernel: sizes(Some(kernel), axes, 1)?,
            strides: sizes(node.get_attr_opt_vec("strides")?, axes, 1)?,
            dilations: sizes(node.get_attr_opt_vec("dilations")?, axes, 1)?,
            pads: pads(node.get_attr_opt_vec("pads")?, axes)?,
        };
        ensure!(
            windows.strides.iter().all(|&stride| stride > 0),
            "a stride of 0"
        );
        Ok(Self {
            p,
            windows,
            auto_pad: node
                .get_attr_opt::<String>("auto_pad")?
                .unwrap_or_else(|| "NOTSET".into()),
            ceil: node.get_attr_opt::<i64>("ceil_mode")? == Some(1),
        })
    }

    /// The windows over a shape, and how many there are on each axis.
    fn over(&self, shape: &[usize]) -> TractResult<(Windows, Vec<usize>)> {
        let mut windows = self.windows.clone();
        ensure!(
            shape.len() == windows.kernel.len(),
            "{shape:?} has other axes than the kernel"
        );
        let mut counts = Vec::with_capacity(shape.len());
        for (axis, &dim) in shape.iter().enumerate() {
            let (stride, extent) = (windows.strides[axis], windows.extent(axis) as i64);
            let count = match self.auto_pad.as_str() {
                "SAME_UPPER" | "SAME_LOWER" => {
                    let count = dim.div_ceil(stride);
                    let total = ((count as i64 - 1) * stride as i64 + extent - dim as i64).max(0);
                    let (small, large) = (total / 2, total - total / 2);
                    windows.pads[axis] = if self.auto_pad == "SAME_UPPER" {
                        (small, large)
                    } else {
                        (large, small)
                    };
                    count
                }
                mode @ ("NOTSET" | "VALID" | "") => {
                    if mode == "VALID" {
                        windows.pads[axis] = (0, 0);
                    }
                    let (before, after) = windows.pads[axis];
                    let room = dim as i64 + before + after - extent;
                    ensure!(
                        room >= 0,
                        "the window is larger than axis {axis} of {shape:?}"
                    );
                    let room = room as usize;
                    let mut count = 1 + if self.ceil {
                        room.div_ceil(stride)
                    } else {
                        room / stride
                    };
                    // The last window must start inside the input or the padding before it.
                    if self.ceil && ((count - 1) * stride) as i64 >= dim as i64 + before {
                        count -= 1;
                    }
                    count
                }
                other => bail!("auto_pad {other} is unknown"),
            };
            counts.push(count);
        }
        Ok((windows, counts))
    }
}

impl Kernel for LpPool {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let x = inputs.need(0)?;
        ensure!(x.rank() > 2, "an input of shape {:?}", x.shape);
        let (_, counts) = self.over(&x.shape[2..])?;
        Ok(vec![(x.datatype, [&x.shape[..2], &counts].concat())])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let x = inputs.need(0)?;
        let space = &x.shape()[2..];
        let (windows, counts) = self.over(space)?;
        let values = reals(x)?;
        let planes: usize = x.shape()[..2].iter().product();
        let plane: usize = space.iter().product();
        let mut norms = Vec::with_capacity(planes * counts.iter().product::<usize>());
        for start in (0..planes).map(|index| index * plane) {
            for window in indices(&counts) {
                let taps = indices(&windows.kernel);
                let covered = taps.filter_map(|tap| windows.place(&window, &tap, space));
                let power = |at: Vec<usize>| values[start + ravel(&at, space)].abs().powf(self.p);
                norms.push(covered.map(power).sum::<f64>().powf(1.0 / self.p));
            }
        }
        let shape = [&x.shape()[..2], &counts].concat();
        Ok(vec![from_reals(&shape, &norms, x.datum_type())?])
    }
}

/// Columns of windows `[N, C·taps, windows]`, summed up where they came from: `[N, C, image…]`.
#[derive(Debug)]
pub(crate) struct Col2Im {
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
}

impl Col2Im {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            strides: node.get_attr_opt_vec("strides")?,
            dilations: node.get_attr_opt_vec("dilations")?,
            pads: node.get_attr_opt_vec("pads")?,
        })
    }

    /// Windows, image, and windows on each axis.
    fn over(&self, image: &[i64], block: &[i64]) -> TractResult<(Windows, Vec<usize>, Vec<usize>)> {
        let axes = image.len();
        let image = sizes(Some(image.to_vec()), axes, 0)?;
        let windows = Windows {
            kernel: sizes(Some(block.to_vec()), axes, 1)?,
            strides: sizes(self.strides.clone(), axes, 1)?,
            dilations: sizes(self.dilations.clone(), axes, 1)?,
            pads: pads(self.pads.clone(), axes)?,
        };
        let mut counts = Vec::with_capacity(axes);
        for (axis, &dim) in image.iter().enumerate() {
            let (before, after) = windows.pads[axis];
            let room = dim as i64 + before + after - windows.extent(axis) as i64;
            ensure!(
                room >= 0 && windows.strides[axis] > 0,
                "no window fits the image"
            );
            counts.push(room as usize / windows.strides[axis] + 1);
        }
        Ok((windows, image, counts))
    }
}

impl Kernel for Col2Im {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let x = inputs.need(0)?;
        let (image, block) = (
            inputs.need(1)?.ints("image_shape")?,
            inputs.need(2)?.ints("block_shape")?,
        );
        let (windows, image, counts) = self.over(&image, &block)?;
        let taps: usize = windows.kernel.iter().product();
        ensure!(
            x.rank() == 3
                && taps > 0
                && x.shape[1] % taps == 0
                && x.shape[2] == counts.iter().product::<usize>(),
            "columns of shape {:?} for {counts:?} windows of {taps}",
            x.shape
        );
        let shape = [&[x.shape[0], x.shape[1] / taps], &image[..]].concat();
        Ok(vec![(x.datatype, shape)])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let x = inputs.need(0)?;
        let (image, block) = (integers(inputs.need(1)?)?, integers(inputs.need(2)?)?);
        let (windows, image, counts) = self.over(&image, &block)?;
        let taps: usize = windows.kernel.iter().product();
        let plane: usize = image.iter().product();
        let planes = x.shape()[0] * x.shape()[1] / taps;
        let columns = reals(x)?;
        let mut sums = vec![0.0; planes * plane];
        let mut column = columns.iter();
        for index in 0..planes {
            for tap in indices(&windows.kernel) {
                for (window, &value) in indices(&counts).zip(column.by_ref()) {
                    if let Some(at) = windows.place(&window, &tap, &image) {
                        sums[index * plane + ravel(&at, &image)] += value;
                    }
                }
            }
        }
        let shape = [&[x.shape()[0], x.shape()[1] / taps], &image[..]].concat();
        Ok(vec![from_reals(&shape, &sums, x.datum_type())?])
    }
}

/// Values back to where `MaxPool` found them, zeros elsewhere.
#[derive(Debug)]
pub(crate) struct MaxUnpool {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    pads: Vec<(i64, i64)>,
}

impl MaxUnpool {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let kernel = node.get_attr_vec::<i64>("kernel_shape")?;
        let axes = kernel.len();
        Ok(Self {
            kernel: sizes(Some(kernel), axes, 1)?,
            strides: sizes(node.get_attr_opt_vec("strides")?, axes, 1)?,
            pads: pads(node.get_attr_opt_vec("pads")?, axes)?,
        })
    }

    /// The shape that `MaxPool` had as its input, unless another is asked for.
    fn inferred(&self, x: &[usize]) -> TractResult<Vec<usize>> {
        ensure!(x.len() == self.kernel.len() + 2, "an input of shape {x:?}");
        let mut shape = x[..2].to_vec();
        for (axis, &dim) in x[2..].iter().enumerate() {
            let (before, after) = self.pads[axis];
            let size = (dim.saturating_sub(1) * self.strides[axis] + self.kernel[axis]) as i64;
            shape.push(usize::try_from(size - before - after).context("too much padding")?);
        }
        Ok(shape)
    }

    fn shape(&self, x: &[usize], asked: Option<Vec<i64>>) -> TractResult<Vec<usize>> {
        match asked {
            Some(asked) => {
                let axes = asked.len();
                sizes(Some(asked), axes, 0)
            }
            None => self.inferred(x),
        }
    }
}

impl Kernel for MaxUnpool {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let x = inputs.need(0)?;
        ensure!(inputs.need(1)?.shape == x.shape, "one index a value");
        let asked = inputs.get(2).map(|shape| shape.ints("output_shape"));
        Ok(vec![(
            x.datatype,
            self.shape(&x.shape, asked.transpose()?)?,
        )])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (x, places) = (inputs.need(0)?, integers(inputs.need(1)?)?);
        let asked = inputs.get(2).map(|shape| integers(shape)).transpose()?;
        let shape = self.shape(x.shape(), asked)?;
        // The indices count in the shape that MaxPool's input had.
        let inferred = self.inferred(x.shape())?;
        let mut from = vec![None; shape.iter().product()];
        for (number, &place) in places.iter().enumerate() {
            let place = usize::try_from(place).context("a negative index")?;
            let index = unravel(place, &inferred);
            ensure!(
                place < inferred.iter().product()
                    && index.iter().zip(&shape).all(|(at, dim)| at < dim),
                "index {place} is outside"
            );
            from[ravel(&index, &shape)] = Some(number);
        }
        let zero = Tensor::zero_dt(x.datum_type(), &[1])?;
        let flat = Tensor::clone(x).into_shape(&[places.len()])?;
        let with_zero = Tensor::stack_tensors(0, &[flat, zero])?;
        let pick = |place: usize| from[place].unwrap_or(places.len());
        Ok(vec![gather(&with_zero, &shape, pick)?])
    }
}

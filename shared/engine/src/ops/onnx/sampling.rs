//! Operators that read pictures between their pixels: `AffineGrid`, `RoiAlign`, `DeformConv`.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    DatumType, Tensor, TractErrorContext, TractResult, bail, ensure,
};

use super::kernel::Kernel;
use super::ports::{Given, Port, integers};
use super::values::{from_reals, indices, reals};

/// The places that `GridSample` reads for affine maps `[N, 2, 3]` or `[N, 3, 4]`.
#[derive(Debug)]
pub(crate) struct AffineGrid {
    align_corners: bool,
}

impl AffineGrid {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            align_corners: node.get_attr_opt::<i64>("align_corners")? == Some(1),
        })
    }
}

fn grid(size: &[i64]) -> TractResult<(usize, Vec<usize>)> {
    ensure!(
        size.len() == 4 || size.len() == 5,
        "a size of {} dimensions",
        size.len()
    );
    let size = size
        .iter()
        .map(|&dim| usize::try_from(dim).context("a negative size"));
    let size = size.collect::<TractResult<Vec<usize>>>()?;
    Ok((size[0], size[2..].to_vec()))
}

impl Kernel for AffineGrid {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let theta = inputs.need(0)?;
        let (batch, space) = grid(&inputs.need(1)?.ints("size")?)?;
        let axes = space.len();
        ensure!(
            theta.shape == [batch, axes, axes + 1],
            "theta of shape {:?}",
            theta.shape
        );
        Ok(vec![(
            theta.datatype,
            [&[batch], &space[..], &[axes]].concat(),
        )])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let theta = inputs.need(0)?;
        let (batch, space) = grid(&integers(inputs.need(1)?)?)?;
        let axes = space.len();
        let maps = reals(theta)?;
        let coordinate = |at: usize, dim: usize| {
            let (at, dim) = (at as f64, dim as f64);
            if self.align_corners {
                -1.0 + 2.0 * at / (dim - 1.0)
            } else {
                -1.0 + (2.0 * at + 1.0) / dim
            }
        };
        let mut places = Vec::with_capacity(batch * space.iter().product::<usize>() * axes);
        for map in maps.chunks_exact(axes * (axes + 1)) {
            for index in indices(&space) {
                // x comes first, so the last axis does.
                let point: Vec<f64> = (0..axes)
                    .rev()
                    .map(|axis| coordinate(index[axis], space[axis]))
                    .collect();
                for row in map.chunks_exact(axes + 1) {
                    let sum: f64 = row.iter().zip(&point).map(|(a, b)| a * b).sum();
                    places.push(sum + row[axes]);
                }
            }
        }
        let shape = [&[batch], &space[..], &[axes]].concat();
        Ok(vec![from_reals(&shape, &places, theta.datum_type())?])
    }
}

/// The four pixels around a place, with their weights. `border` tells which places count as zero.
fn corners(y: f64, x: f64, height: usize, width: usize) -> [(usize, f64); 4] {
    let below = |value: f64, dim: usize| {
        let value = value.max(0.0);
        let low = value as usize;
        if low + 1 >= dim {
            (dim - 1, dim - 1, 0.0)
        } else {
            (low, low + 1, value - low as f64)
        }
    };
    let (top, bottom, down) = below(y, height);
    let (left, right, across) = below(x, width);
    [
        (top * width + left, (1.0 - down) * (1.0 - across)),
        (top * width + right, (1.0 - down) * across),
        (bottom * width + left, down * (1.0 - across)),
        (bottom * width + right, down * across),
    ]
}

/// The mean or the maximum over each bin of each region.
#[derive(Debug)]
pub(crate) struct RoiAlign {
    max: bool,
    size: [usize; 2],
    /// Samples on a bin's side; 0 where that follows from its size.
    samples: usize,
    scale: f64,
    offset: f64,
}

impl RoiAlign {
    pub(crate) fn parse(node: &NodeProto, opset: i64) -> TractResult<Self> {
        let size = |name: &str| {
            let size = node.get_attr_opt::<i64>(name)?.unwrap_or(1);
            usize::try_from(size).with_context(|| format!("{name} {size}"))
        };
        let mode = node.get_attr_opt::<String>("mode")?;
        let mode = mode.as_deref().unwrap_or("avg");
        ensure!(mode == "avg" || mode == "max", "mode {mode} is unknown");
        let coordinates = node.get_attr_opt::<String>("coordinate_transformation_mode")?;
        let half_pixel = match coordinates.as_deref() {
            Some("half_pixel") => true,
            Some("output_half_pixel") => false,
            None => opset >= 16,
            Some(other) => bail!("coordinate_transformation_mode {other} is unknown"),
        };
        let samples = node.get_attr_opt::<i64>("sampling_ratio")?.unwrap_or(0);
        Ok(Self {
            max: mode == "max",
            size: [size("output_height")?, size("output_width")?],
            samples: usize::try_from(samples).context("a negative sampling_ratio")?,
            scale: f64::from(node.get_attr_opt::<f32>("spatial_scale")?.unwrap_or(1.0)),
            offset: if half_pixel { 0.5 } else { 0.0 },
        })
    }

    /// The samples of one bin: for each, the pixels and their weights.
    fn bin(
        &self,
        region: &[f64],
        bin: [usize; 2],
        height: usize,
        width: usize,
    ) -> Vec<[(usize, f64); 4]> {
        let start = |place: usize| region[place] * self.scale - self.offset;
        // `x` before `y` in a region, `y` before `x` here.
        let starts = [start(1), start(0)];
        let sides = [start(3) - start(1), start(2) - start(0)];
        let mut sizes = [0.0; 2];
        let mut samples = [0; 2];
        for axis in 0..2 {
            let side = if self.offset > 0.0 {
                sides[axis]
            } else {
                sides[axis].max(1.0)
            };
            sizes[axis] = side / self.size[axis] as f64;
            samples[axis] = if self.samples > 0 {
                self.samples
            } else {
                sizes[axis].ceil().max(0.0) as usize
            };
        }
        let place = |axis: usize, number: usize| {
            let within = (number as f64 + 0.5) / samples[axis] as f64;
            starts[axis] + (bin[axis] as f64 + within) * sizes[axis]
        };
        let mut found = Vec::with_capacity(samples[0] * samples[1]);
        for row in 0..samples[0] {
            for column in 0..samples[1] {
                let (y, x) = (place(0, row), place(1, column));
                let outside = y < -1.0 || y > height as f64 || x < -1.0 || x > width as f64;
                found.push(if outside {
                    [(0, 0.0); 4]
                } else {
                    corners(y, x, height, width)
                });
            }
        }
        found
    }
}

impl Kernel for RoiAlign {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let (x, regions, batches) = (inputs.need(0)?, inputs.need(1)?, inputs.need(2)?);
        ensure!(
            x.rank() == 4
                && x.shape[2] * x.shape[3] > 0
                && regions.rank() == 2
                && regions.shape[1] == 4,
            "regions of shape {:?} in {:?}",
            regions.shape,
            x.shape
        );
        ensure!(
            batches.shape == regions.shape[..1],
            "one batch index a region"
        );
        let shape = vec![regions.shape[0], x.shape[1], self.size[0], self.size[1]];
        Ok(vec![(x.datatype, shape)])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let x = inputs.need(0)?;
        let &[batch, channels, height, width] = x.shape() else {
            bail!("a picture of shape {:?}", x.shape())
        };
        let (pixels, regions) = (reals(x)?, reals(inputs.need(1)?)?);
        let batches = integers(inputs.need(2)?)?;
        let mut pooled = Vec::new();
        for (region, &item) in regions.chunks_exact(4).zip(&batches) {
            let item = usize::try_from(item).ok().filter(|&item| item < batch);
            let item = item.context("a batch index outside")?;
            let limit = 1 << 24;
            let area = (region[2] - region[0]).abs() * (region[3] - region[1]).abs();
            ensure!(
                area * self.scale * self.scale < f64::from(limit),
                "a region too large"
            );
            let bins: Vec<_> = indices(&self.size)
                .map(|bin| self.bin(region, [bin[0], bin[1]], height, width))
                .collect();
            for channel in 0..channels {
                let plane =
                    &pixels[(item * channels + channel) * height * width..][..height * width];
                for bin in &bins {
                    let parts =
                        |sample: &[(usize, f64); 4]| sample.map(|(at, weight)| weight * plane[at]);
                    pooled.push(if self.max {
                        let most =
                            |parts: [f64; 4]| parts.into_iter().fold(f64::NEG_INFINITY, f64::max);
                        let all = bin.iter().map(|sample| most(parts(sample)));
                        all.reduce(f64::max).unwrap_or(0.0)
                    } else {
                        let sum: f64 = bin.iter().flat_map(parts).sum();
                        sum / bin.len().max(1) as f64
                    });
                }
            }
        }
        let shape = [batches.len(), channels, self.size[0], self.size[1]];
        Ok(vec![from_reals(&shape, &pooled, x.datum_type())?])
    }
}

/// A convolution that reads each tap where its offset says.
#[derive(Debug)]
pub(crate) struct DeformConv {
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
    groups: usize,
    offset_groups: usize,
}

impl DeformConv {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let groups = |name: &str| {
            let groups = node.get_attr_opt::<i64>(name)?.unwrap_or(1);
            ensure!(groups > 0, "{name} {groups}");
            Ok(groups as usize)
        };
        Ok(Self {
            strides: node.get_attr_opt_vec("strides")?,
            dilations: node.get_attr_opt_vec("dilations")?,
            pads: node.get_attr_opt_vec("pads")?,
            groups: groups("group")?,
            offset_groups: groups("offset_group")?,
        })
    }
}

impl Kernel for DeformConv {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let (x, w, offset) = (inputs.need(0)?, inputs.need(1)?, inputs.need(2)?);
        ensure!(
            x.rank() == 4 && w.rank() == 4 && offset.rank() == 4,
            "inputs of shape {:?}, {:?}, {:?}",
            x.shape,
            w.shape,
            offset.shape
        );
        let taps = w.shape[2] * w.shape[3];
        ensure!(
            x.shape[1] == w.shape[1] * self.groups
                && w.shape[0].is_multiple_of(self.groups)
                && x.shape[1].is_multiple_of(self.offset_groups)
                && offset.shape[0] == x.shape[0]
                && offset.shape[1] == 2 * taps * self.offset_groups
                && x.shape[2] * x.shape[3] > 0,
            "shapes {:?}, {:?}, {:?} do not go together",
            x.shape,
            w.shape,
            offset.shape
        );
        if let Some(mask) = inputs.get(4) {
            let mut shape = offset.shape.clone();
            shape[1] /= 2;
            ensure!(mask.shape == shape, "a mask of shape {:?}", mask.shape);
        }
        let shape = vec![x.shape[0], w.shape[0], offset.shape[2], offset.shape[3]];
        Ok(vec![(x.datatype, shape)])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (x, w, offset) = (inputs.need(0)?, inputs.need(1)?, inputs.need(2)?);
        let (&[batch, channels, height, width], &[filters, per_group, kh, kw]) =
            (x.shape(), w.shape())
        else {
            bail!("inputs of another rank")
        };
        let (rows, columns) = (offset.shape()[2], offset.shape()[3]);
        let (taps, plane, outputs) = (kh * kw, height * width, rows * columns);
        let attribute = |values: &Option<Vec<i64>>, place: usize, default: i64| {
            values
                .as_ref()
                .and_then(|values| values.get(place).copied())
                .unwrap_or(default) as f64
        };
        let (pixels, weights, offsets) = (reals(x)?, reals(w)?, reals(offset)?);
        let bias = inputs.get(3).map(|bias| reals(bias)).transpose()?;
        let mask = inputs.get(4).map(|mask| reals(mask)).transpose()?;
        let mut sums = vec![0.0; batch * filters * outputs];
        for (place, sum) in sums.iter_mut().enumerate() {
            let (at, filter, item) = (
                place % outputs,
                place / outputs % filters,
                place / outputs / filters,
            );
            let (row, column) = (at / columns, at % columns);
            *sum = bias.as_ref().map_or(0.0, |bias| bias[filter]);
            let group = filter / (filters / self.groups);
            for within in 0..per_group {
                let channel = group * per_group + within;
                let bent = channel / (channels / self.offset_groups);
                let picture = &pixels[(item * channels + channel) * plane..][..plane];
                for tap in 0..taps {
                    let start = (item * self.offset_groups + bent) * taps + tap;
                    let shift = |axis: usize| offsets[(2 * start + axis) * outputs + at];
                    let base = |axis: usize, out: usize, tap: usize| {
                        out as f64 * attribute(&self.strides, axis, 1)
                            + tap as f64 * attribute(&self.dilations, axis, 1)
                            - attribute(&self.pads, axis, 0)
                    };
                    let y = base(0, row, tap / kw) + shift(0);
                    let x = base(1, column, tap % kw) + shift(1);
                    let factor = mask.as_ref().map_or(1.0, |mask| mask[start * outputs + at]);
                    let weight = weights[(filter * per_group + within) * taps + tap];
                    *sum += weight * factor * pixel(picture, y, x, height, width);
                }
            }
        }
        Ok(vec![from_reals(
            &[batch, filters, rows, columns],
            &sums,
            x.datum_type(),
        )?])
    }
}

/// The picture at a place; zero around it.
fn pixel(picture: &[f64], y: f64, x: f64, height: usize, width: usize) -> f64 {
    let (top, left) = (y.floor(), x.floor());
    let mut sum = 0.0;
    for (row, down) in [(top, 1.0 - (y - top)), (top + 1.0, y - top)] {
        for (column, across) in [(left, 1.0 - (x - left)), (left + 1.0, x - left)] {
            let inside =
                row >= 0.0 && row < height as f64 && column >= 0.0 && column < width as f64;
            if inside {
                sum += down * across * picture[row as usize * width + column as usize];
            }
        }
    }
    sum
}

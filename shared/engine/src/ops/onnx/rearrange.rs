//! Operators that move elements, whatever they are: `ReverseSequence`, `TensorScatter`, `CenterCropPad`,
//! `BitCast`.

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::tract_hir::internal::{
    DatumType, Tensor, TractErrorContext, TractResult, bail, ensure,
};

use super::kernel::Kernel;
use super::ports::{Given, Port, integers};
use super::values::{gather, ravel, raw, unravel};

/// Turns the first `lengths[b]` steps of each batch item round.
#[derive(Debug)]
pub(crate) struct ReverseSequence {
    batch: usize,
    time: usize,
}

impl ReverseSequence {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let axis = |name: &str, default: i64| {
            let axis = node.get_attr_opt::<i64>(name)?.unwrap_or(default);
            ensure!(axis == 0 || axis == 1, "{name} {axis}");
            Ok(axis as usize)
        };
        let (batch, time) = (axis("batch_axis", 1)?, axis("time_axis", 0)?);
        ensure!(batch != time, "batch and time on one axis");
        Ok(Self { batch, time })
    }
}

impl Kernel for ReverseSequence {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let (x, lengths) = (inputs.need(0)?, inputs.need(1)?);
        ensure!(
            x.rank() >= 2 && lengths.shape == [x.shape[self.batch]],
            "lengths of shape {:?} for {:?}",
            lengths.shape,
            x.shape
        );
        Ok(vec![(x.datatype, x.shape.clone())])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (x, lengths) = (inputs.need(0)?, integers(inputs.need(1)?)?);
        let shape = x.shape();
        let steps = shape[self.time] as i64;
        if let Some(length) = lengths.iter().find(|length| !(0..=steps).contains(length)) {
            bail!("a length of {length} of {steps} steps");
        }
        let turned = gather(x, shape, |place| {
            let mut index = unravel(place, shape);
            let length = lengths[index[self.batch]] as usize;
            if index[self.time] < length {
                index[self.time] = length - 1 - index[self.time];
            }
            ravel(&index, shape)
        });
        Ok(vec![turned?])
    }
}

/// Writes new entries into a cache, for each batch item from a place of its own.
#[derive(Debug)]
pub(crate) struct TensorScatter {
    axis: i64,
    circular: bool,
}

impl TensorScatter {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let mode = node.get_attr_opt::<String>("mode")?;
        let mode = mode.as_deref().unwrap_or("linear");
        ensure!(
            mode == "linear" || mode == "circular",
            "mode {mode} is unknown"
        );
        Ok(Self {
            axis: node.get_attr_opt::<i64>("axis")?.unwrap_or(-2),
            circular: mode == "circular",
        })
    }
}

impl Kernel for TensorScatter {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let (cache, update) = (inputs.need(0)?, inputs.need(1)?);
        let axis = cache.axis(self.axis)?;
        ensure!(axis > 0, "the axis of the batch");
        let mut rest = cache.shape.clone();
        ensure!(
            update.rank() == cache.rank(),
            "an update of shape {:?}",
            update.shape
        );
        rest[axis] = update.shape[axis];
        ensure!(
            update.shape == rest && rest[axis] <= cache.shape[axis],
            "an update of shape {:?} for a cache of shape {:?}",
            update.shape,
            cache.shape
        );
        let starts = inputs.get(2);
        ensure!(
            starts.is_none_or(|starts| starts.shape == cache.shape[..1]),
            "one write index a batch item"
        );
        Ok(vec![(cache.datatype, cache.shape.clone())])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (cache, update) = (inputs.need(0)?, inputs.need(1)?);
        let shape = cache.shape();
        let rank = shape.len() as i64;
        let axis = if self.axis < 0 {
            self.axis + rank
        } else {
            self.axis
        } as usize;
        let (steps, new) = (shape[axis], update.shape()[axis]);
        let starts = match inputs.get(2) {
            Some(starts) => integers(starts)?,
            None => vec![0; shape[0]],
        };
        for &start in &starts {
            let last = usize::try_from(start)
                .ok()
                .and_then(|start| start.checked_add(new));
            ensure!(
                last.is_some_and(|last| self.circular || last <= steps),
                "a write at {start} of {new} entries into {steps}"
            );
        }
        // From the cache and, behind it, the update.
        let flat = |tensor: &Tensor| Tensor::clone(tensor).into_shape(&[tensor.len()]);
        let both = Tensor::stack_tensors(0, &[flat(cache)?, flat(update)?])?;
        let merged = gather(&both, shape, |place| {
            let mut index = unravel(place, shape);
            let start = starts[index[0]] as usize;
            let entry = if self.circular {
                (index[axis] + steps - start % steps) % steps
            } else {
                index[axis].wrapping_sub(start)
            };
            if entry >= new {
                return place;
            }
            index[axis] = entry;
            cache.len() + ravel(&index, update.shape())
        });
        Ok(vec![merged?])
    }
}

/// Cuts or fills the given axes to the given sizes, around their middle.
#[derive(Debug)]
pub(crate) struct CenterCropPad {
    axes: Option<Vec<i64>>,
}

impl CenterCropPad {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            axes: node.get_attr_opt_vec("axes")?,
        })
    }

    fn shape(&self, x: &[usize], sizes: &[i64]) -> TractResult<Vec<usize>> {
        let all: Vec<i64> = (0..x.len() as i64).collect();
        let axes = self.axes.as_ref().unwrap_or(&all);
        ensure!(axes.len() == sizes.len(), "{sizes:?} for the axes {axes:?}");
        let mut shape = x.to_vec();
        for (&axis, &size) in axes.iter().zip(sizes) {
            let axis = if axis < 0 {
                axis + x.len() as i64
            } else {
                axis
            };
            let slot = usize::try_from(axis)
                .ok()
                .and_then(|axis| shape.get_mut(axis));
            *slot.context("an axis outside")? = usize::try_from(size).context("a negative size")?;
        }
        Ok(shape)
    }
}

impl Kernel for CenterCropPad {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let x = inputs.need(0)?;
        let sizes = inputs.need(1)?.ints("shape")?;
        Ok(vec![(x.datatype, self.shape(&x.shape, &sizes)?)])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (x, sizes) = (inputs.need(0)?, integers(inputs.need(1)?)?);
        let from = x.shape();
        let shape = self.shape(from, &sizes)?;
        let zero = Tensor::zero_dt(x.datum_type(), &[1])?;
        let flat = Tensor::clone(x).into_shape(&[x.len()])?;
        let with_zero = Tensor::stack_tensors(0, &[flat, zero])?;
        let fitted = gather(&with_zero, &shape, |place| {
            let mut index = unravel(place, &shape);
            for (axis, at) in index.iter_mut().enumerate() {
                let (old, new) = (from[axis], shape[axis]);
                // Where the middles meet; an odd rest goes to the end.
                let source = if new <= old {
                    Some(*at + (old - new) / 2)
                } else {
                    at.checked_sub((new - old) / 2)
                        .filter(|&source| source < old)
                };
                match source {
                    Some(source) => *at = source,
                    None => return x.len(),
                }
            }
            ravel(&index, from)
        });
        Ok(vec![fitted?])
    }
}

/// The same bits as another datatype of the same width.
#[derive(Debug)]
pub(crate) struct BitCast {
    to: DatumType,
}

impl BitCast {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let to = DataType::try_from(node.get_attr::<i64>("to")? as i32)?;
        Ok(Self {
            to: DatumType::try_from(to)?,
        })
    }
}

impl Kernel for BitCast {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let x = inputs.need(0)?;
        let plain = |datatype: DatumType| datatype != DatumType::String;
        ensure!(
            plain(x.datatype) && plain(self.to) && x.datatype.size_of() == self.to.size_of(),
            "{:?} and {:?} have other widths",
            x.datatype,
            self.to
        );
        ensure!(
            self.to != DatumType::Bool || x.datatype == self.to,
            "bits that are no BOOL"
        );
        Ok(vec![(self.to, x.shape.clone())])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let x = inputs.need(0)?;
        Ok(vec![raw(self.to, x.shape(), x.as_bytes())?])
    }
}

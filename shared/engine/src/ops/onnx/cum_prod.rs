//! `CumProd`: the product of all elements before, along an axis.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    DatumType, Tensor, TractError, TractErrorContext, TractResult, ensure,
};

use super::kernel::Kernel;
use super::ports::{Given, Port, integers};
use super::values::{from_reals, reals, strides};

#[derive(Debug)]
pub(crate) struct CumProd {
    exclusive: bool,
    reverse: bool,
}

impl CumProd {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let set = |name: &str| Ok::<_, TractError>(node.get_attr_opt::<i64>(name)? == Some(1));
        Ok(Self {
            exclusive: set("exclusive")?,
            reverse: set("reverse")?,
        })
    }
}

impl Kernel for CumProd {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let x = inputs.need(0)?;
        ensure!(x.rank() > 0, "a scalar has no axis");
        // A double holds the products of these exactly as far as they are exact.
        ensure!(
            !matches!(x.datatype, DatumType::I64 | DatumType::U64),
            "64-bit integers"
        );
        Ok(vec![(x.datatype, x.shape.clone())])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (x, axis) = (inputs.need(0)?, integers(inputs.need(1)?)?);
        let rank = x.rank() as i64;
        let axis = *axis.first().context("an empty axis")?;
        let axis = if axis < 0 { axis + rank } else { axis };
        ensure!(
            (0..rank).contains(&axis),
            "axis {axis} of {rank} dimensions"
        );
        let (step, len) = (strides(x.shape())[axis as usize], x.shape()[axis as usize]);
        let mut values = reals(x)?;
        let starts = (0..values.len()).filter(|place| place / step % len == 0);
        for start in starts.collect::<Vec<_>>() {
            let mut product = 1.0;
            for number in 0..len {
                let number = if self.reverse {
                    len - 1 - number
                } else {
                    number
                };
                let value = &mut values[start + number * step];
                let next = product * *value;
                *value = if self.exclusive { product } else { next };
                product = next;
            }
        }
        Ok(vec![from_reals(x.shape(), &values, x.datum_type())?])
    }
}

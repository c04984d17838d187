//! Matrix products with what is fused into them.

mod step;
mod store;

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{TypedFact, TypedNode, TypedOp};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::matmul::ModePicker;
use tract_onnx::tract_core::ops::matmul::optimized::OptMatMul;

use super::refused;
use crate::error::{Error, Result};
use crate::ops::Pack;
use crate::plan_file::constants::{Constants, Writer};
use crate::plan_file::packed::{self, Format};
use crate::plan_file::record::{Fact, Number};
use step::{Place, Step};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum MatMul {
    Product(Product),
    /// An operand brought into the layout of a kernel, at run time.
    Pack {
        formats: Vec<Format>,
        k_axis: usize,
        mn_axis: usize,
    },
    EinSum {
        axes: String,
        operating: Number,
        quantized: Option<Number>,
    },
}

/// A product by the kernels' own names, and the steps that each tile of the result goes through.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct Product {
    result: Fact,
    kernels: Vec<String>,
    vector_and_matrix: bool,
    m_axis: Option<usize>,
    n_axis: Option<usize>,
    trivial_packing: bool,
    trivial_path: bool,
    steps: Vec<Step>,
}

impl MatMul {
    pub(super) fn of(node: &TypedNode, constants: &mut Writer) -> Option<Self> {
        if let Some(product) = node.op_as::<OptMatMul>() {
            return Product::of(product, constants).map(Self::Product);
        }
        if let Some(pack) = node.op_as::<Pack>() {
            let formats = pack.formats.iter().map(|format| Format::of(&**format));
            return Some(Self::Pack {
                formats: formats.collect::<Option<_>>()?,
                k_axis: pack.k_axis,
                mn_axis: pack.mn_axis,
            });
        }
        let einsum = node.op_as::<EinSum>()?;
        let quantized = Number::optional(einsum.q_params).ok()?;
        Some(Self::EinSum {
            axes: einsum.axes.to_string(),
            operating: Number::of(einsum.operating_dt)?,
            quantized,
        })
    }

    pub(super) fn build(
        &self,
        facts: &[&TypedFact],
        constants: &dyn Constants,
    ) -> Result<Box<dyn TypedOp>> {
        match self {
            Self::Product(product) => Ok(Box::new(product.build(facts, constants)?)),
            Self::Pack {
                formats,
                k_axis,
                mn_axis,
            } => Ok(Box::new(Pack {
                formats: formats.iter().map(Format::build).collect::<Result<_>>()?,
                k_axis: *k_axis,
                mn_axis: *mn_axis,
            })),
            Self::EinSum {
                axes,
                operating,
                quantized,
            } => {
                if !axes.is_ascii() || axes.contains("...") {
                    return Err(Error::invalid_model("no sound plan: strange axes"));
                }
                Ok(Box::new(EinSum {
                    axes: axes.parse().map_err(refused)?,
                    operating_dt: operating.build(),
                    q_params: quantized.map(Number::build),
                }))
            }
        }
    }
}

impl Product {
    fn of(op: &OptMatMul, constants: &mut Writer) -> Option<Self> {
        let steps = op.micro_ops.iter().map(|step| Step::of(step, constants));
        Some(Self {
            result: Fact::of(&op.c_fact)?,
            kernels: op.mmm.iter().map(|mmm| mmm.name().to_owned()).collect(),
            vector_and_matrix: matches!(op.mode_picker, ModePicker::VecVsMat),
            m_axis: op.c_m_axis,
            n_axis: op.c_n_axis,
            trivial_packing: op.trivial_packing,
            trivial_path: op.trivial_path,
            steps: steps.collect::<Option<_>>()?,
        })
    }

    fn build(&self, facts: &[&TypedFact], constants: &dyn Constants) -> Result<OptMatMul> {
        let broken = |what: &str| Error::invalid_model(format!("no sound plan: {what}"));
        let modes = 1 + usize::from(self.vector_and_matrix);
        if self.kernels.len() != modes {
            return Err(broken("a product has not the kernels that it needs"));
        }
        let kernels = self.kernels.iter().map(|name| packed::kernel(name));
        let kernels = kernels.collect::<Result<Vec<_>>>()?;
        let size = |axis: Option<usize>| match axis {
            Some(axis) => self.result.shape.get(axis).copied(),
            None => Some(1),
        };
        let (m, n) = size(self.m_axis)
            .zip(size(self.n_axis))
            .ok_or_else(|| broken("a product has no such axis"))?;
        let place = Place {
            result: &self.result,
            facts,
            kernels: &kernels,
            m,
            n,
            m_axis: self.m_axis,
            n_axis: self.n_axis,
        };
        let steps = self.steps.iter().map(|step| {
            step.check(&place)?;
            step.build(constants)
        });
        let steps = steps.collect::<Result<_>>()?;
        Ok(OptMatMul {
            micro_ops: steps,
            c_fact: self.result.build(),
            mmm: kernels,
            mode_picker: if self.vector_and_matrix {
                ModePicker::VecVsMat
            } else {
                ModePicker::Single
            },
            c_m_axis: self.m_axis,
            c_n_axis: self.n_axis,
            trivial_packing: self.trivial_packing,
            trivial_path: self.trivial_path,
        })
    }
}

//! The steps that a tile of a product goes through.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{TVec, TypedFact};
use tract_onnx::tract_core::internal::{DimLike, ExoticFact, ToDim};
use tract_onnx::tract_core::ops::matmul::optimized::{
    AddMatMulGeometry, MapOutputAxisToInput, MatMulOperand, ProtoFusedSpec,
};
use tract_onnx::tract_core::ops::matmul::pack::DynPackedExoticFact;
use tract_onnx::tract_core::tract_linalg::mmm::{
    MMMInputFormat, MatMatMul, PackedExoticFact, RoundingPolicy,
};
use tract_onnx::tract_core::tract_linalg::pack::PackedFormat;
use tract_onnx::tract_core::tract_linalg::{BinOp, MmmDispatch, Scaler};

use super::store::Stored;
use crate::error::{Error, Result};
use crate::plan_file::constants::{Constants, Writer};
use crate::plan_file::packed::Matrix;
use crate::plan_file::record::Fact;

/// The axes of the result that an operand is taken along: (result's, operand's).
pub(super) type Along = Vec<(usize, usize)>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Step {
    MatMul {
        k: usize,
        a: Operand,
        a_along: Along,
        b: Operand,
        b_along: Along,
        /// By mode: the kernel's packing, and the extractor of panels by name.
        packings: Vec<(usize, Option<String>)>,
    },
    Scalar(usize, Function),
    LeakyRelu(usize),
    PerRow(usize, Function, Along),
    PerColumn(usize, Function, Along),
    RowColumnProducts(usize, usize),
    Add(Stored, usize, Along),
    Scale {
        scale: f32,
        mult: Option<i32>,
        shift: isize,
        rounding: Rounding,
    },
    Store(Vec<Stored>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Operand {
    Input(usize),
    Constant(Matrix),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Function {
    Min,
    Max,
    Add,
    Mul,
    Sub,
    SubFlipped,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Rounding {
    Native,
    Zero,
    Away,
    MinusInf,
    PlusInf,
    Even,
    Odd,
}

/// What a step must fit: the result, the inputs of the product, and its size.
pub(super) struct Place<'a> {
    pub(super) result: &'a Fact,
    pub(super) facts: &'a [&'a TypedFact],
    pub(super) kernels: &'a [Box<dyn MatMatMul>],
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) m_axis: Option<usize>,
    pub(super) n_axis: Option<usize>,
}

impl Place<'_> {
    /// Whether an axis of the result counts products.
    fn is_batch(&self, axis: usize) -> bool {
        ![self.m_axis, self.n_axis].contains(&Some(axis))
    }
}

impl Step {
    pub(super) fn of(step: &ProtoFusedSpec, constants: &mut Writer) -> Option<Self> {
        Some(match step {
            ProtoFusedSpec::AddMatMul {
                geo,
                a,
                b,
                packings,
            } => Self::MatMul {
                k: geo.k.to_usize().ok()?,
                a: Operand::of(a, constants)?,
                a_along: along(&geo.c_to_a_axis_mapping),
                b: Operand::of(b, constants)?,
                b_along: along(&geo.c_to_b_axis_mapping),
                packings: packings
                    .iter()
                    .map(|(at, by)| (*at, by.as_ref().map(|by| by.name.clone())))
                    .collect(),
            },
            ProtoFusedSpec::BinScalar(input, op) => Self::Scalar(*input, Function::of(*op)),
            ProtoFusedSpec::LeakyRelu(input) => Self::LeakyRelu(*input),
            ProtoFusedSpec::BinPerRow(input, op, map) => {
                Self::PerRow(*input, Function::of(*op), along(map))
            }
            ProtoFusedSpec::BinPerCol(input, op, map) => {
                Self::PerColumn(*input, Function::of(*op), along(map))
            }
            ProtoFusedSpec::AddRowColProducts(row, column) => {
                Self::RowColumnProducts(*row, *column)
            }
            ProtoFusedSpec::AddUnicast(stored, input, map) => {
                Self::Add(Stored::of(stored), *input, along(map))
            }
            ProtoFusedSpec::Scaler(scaler) => Self::Scale {
                scale: scaler.scale,
                mult: scaler.mult,
                shift: scaler.shift,
                rounding: Rounding::of(scaler.policy),
            },
            ProtoFusedSpec::Store(stored) => Self::Store(stored.iter().map(Stored::of).collect()),
        })
    }

    /// Kernels read and write where they are told: all of it must lie inside.
    pub(super) fn check(&self, place: &Place<'_>) -> Result<()> {
        let broken = || Error::invalid_model("no sound plan: a step of a product doesn't fit it");
        let holds = |condition: bool| condition.then_some(()).ok_or_else(broken);
        let size = |input: usize| {
            let fact = place.facts.get(input)?;
            // Kernels read numbers of their own size.
            let one = fact.datum_type.size_of();
            let mut kernels = place.kernels.iter();
            let same = kernels.all(|kernel| kernel.internal_type().size_of() == one);
            let shape = fact
                .shape
                .as_concrete()
                .filter(|_| same && !fact.is_exotic())?;
            Some(shape.iter().product::<usize>())
        };
        let in_result = |along: &Along, input: usize| {
            let rank = place.facts.get(input).map_or(0, |fact| fact.rank());
            along.iter().all(|&(result, own)| {
                result < place.result.shape.len()
                    && own < rank
                    // Products begin at 0 of their own two axes.
                    && (!place.is_batch(result)
                        || place.facts[input].shape[own] == place.result.shape[result].to_dim())
            })
        };
        match self {
            Self::MatMul {
                k,
                a,
                a_along,
                b,
                b_along,
                packings,
            } => {
                holds(packings.len() == place.kernels.len())?;
                for (mode, (packing, extractor)) in packings.iter().enumerate() {
                    let layouts = place.kernels[mode].packings().get(*packing);
                    let (left, right) = layouts.ok_or_else(broken)?;
                    let extractor = extractor.as_deref().map(extractor_named).transpose()?;
                    let left = extractor.as_ref().map_or(left, |extractor| &extractor.from);
                    holds(a.fits(place, mode, &**left, [*k, place.m], a_along)?)?;
                    holds(b.fits(place, mode, &**right, [*k, place.n], b_along)?)?;
                }
                Ok(())
            }
            Self::Scalar(input, _) | Self::LeakyRelu(input) => holds(size(*input) == Some(1)),
            Self::PerRow(input, _, along) => {
                holds(size(*input).is_some_and(|size| size >= place.m) && in_result(along, *input))
            }
            Self::PerColumn(input, _, along) => {
                holds(size(*input).is_some_and(|size| size >= place.n) && in_result(along, *input))
            }
            Self::RowColumnProducts(row, column) => holds(
                size(*row).is_some_and(|size| size >= place.m)
                    && size(*column).is_some_and(|size| size >= place.n),
            ),
            Self::Add(stored, input, along) => {
                holds(size(*input).is_some() && in_result(along, *input))?;
                let shape = place.facts[*input].shape.as_concrete().unwrap_or(&[]);
                let batch = along.iter().filter(|(result, _)| place.is_batch(*result));
                let batch: Vec<usize> = batch.map(|&(_, own)| own).collect();
                let item = place.facts[*input].datum_type.size_of();
                let mut kernels = place.kernels.iter();
                holds(kernels.all(|kernel| stored.fits(place, &**kernel, shape, &batch, item)))
            }
            Self::Scale { .. } => Ok(()),
            Self::Store(stored) => {
                holds(stored.len() == place.kernels.len())?;
                let shape = &place.result.shape;
                let axes = 0..shape.len();
                let batch: Vec<usize> = axes.filter(|axis| place.is_batch(*axis)).collect();
                let item = place.result.datatype.build().size_of();
                let mut each = stored.iter().zip(place.kernels);
                holds(
                    each.all(|(stored, kernel)| stored.fits(place, &**kernel, shape, &batch, item)),
                )
            }
        }
    }

    pub(super) fn build(&self, constants: &dyn Constants) -> Result<ProtoFusedSpec> {
        Ok(match self {
            Self::MatMul {
                k,
                a,
                a_along,
                b,
                b_along,
                packings,
            } => {
                let extracted = packings.iter().any(|(_, by)| by.is_some());
                let packing = |(at, by): &(usize, Option<String>)| {
                    let by = by.as_deref().map(extractor_named).transpose()?;
                    Ok((*at, by))
                };
                ProtoFusedSpec::AddMatMul {
                    geo: AddMatMulGeometry {
                        k: k.to_dim(),
                        c_to_a_axis_mapping: map(a_along),
                        c_to_b_axis_mapping: map(b_along),
                    },
                    a: a.build(constants, extracted)?,
                    b: b.build(constants, false)?,
                    packings: packings.iter().map(packing).collect::<Result<_>>()?,
                }
            }
            Self::Scalar(input, op) => ProtoFusedSpec::BinScalar(*input, op.build()),
            Self::LeakyRelu(input) => ProtoFusedSpec::LeakyRelu(*input),
            Self::PerRow(input, op, along) => {
                ProtoFusedSpec::BinPerRow(*input, op.build(), map(along))
            }
            Self::PerColumn(input, op, along) => {
                ProtoFusedSpec::BinPerCol(*input, op.build(), map(along))
            }
            Self::RowColumnProducts(row, column) => {
                ProtoFusedSpec::AddRowColProducts(*row, *column)
            }
            Self::Add(stored, input, along) => {
                ProtoFusedSpec::AddUnicast(stored.build(), *input, map(along))
            }
            Self::Scale {
                scale,
                mult,
                shift,
                rounding,
            } => ProtoFusedSpec::Scaler(Scaler {
                scale: *scale,
                mult: *mult,
                shift: *shift,
                policy: rounding.build(),
            }),
            Self::Store(stored) => {
                ProtoFusedSpec::Store(stored.iter().map(|stored| stored.build()).collect())
            }
        })
    }
}

fn along(mapping: &MapOutputAxisToInput) -> Along {
    mapping.0.to_vec()
}

fn map(along: &Along) -> MapOutputAxisToInput {
    MapOutputAxisToInput(along.iter().copied().collect())
}

type Extractor = tract_onnx::tract_core::tract_linalg::mmm::PanelExtractor;

fn extractor_named(name: &str) -> Result<Extractor> {
    let known = MmmDispatch::native().panel_extractors().iter();
    let found = known
        .filter(|extractor| extractor.runnable())
        .find(|known| known.name == name);
    found.cloned().ok_or_else(|| {
        Error::unsupported(format!("this machine doesn't run the extractor \"{name}\""))
    })
}

impl Operand {
    fn of(operand: &MatMulOperand, constants: &mut Writer) -> Option<Self> {
        Some(match operand {
            MatMulOperand::Input(input) => Self::Input(*input),
            MatMulOperand::Const(value) => Self::Constant(Matrix::of(&**value, constants)?),
        })
    }

    /// Whether it is a matrix of this size in this layout, or a batch of such matrices.
    fn fits(
        &self,
        place: &Place<'_>,
        mode: usize,
        layout: &dyn MMMInputFormat,
        size: [usize; 2],
        along: &Along,
    ) -> Result<bool> {
        let input = match self {
            Self::Constant(matrix) => {
                return Ok(along.is_empty()
                    && matrix.is(size)
                    && suits(&*matrix.layout()?, layout));
            }
            Self::Input(input) => *input,
        };
        let exotic = place
            .facts
            .get(input)
            .and_then(|fact| fact.exotic_fact.as_deref());
        let inside = along
            .iter()
            .all(|&(result, _)| result < place.result.shape.len());
        Ok(inside && exotic.is_some_and(|exotic| is_packed(exotic, mode, layout, size)))
    }

    fn build(&self, constants: &dyn Constants, extracted: bool) -> Result<MatMulOperand> {
        Ok(match self {
            Self::Input(input) => MatMulOperand::Input(*input),
            Self::Constant(matrix) if extracted => {
                MatMulOperand::Const(Box::new(matrix.copy(constants)?))
            }
            Self::Constant(matrix) => MatMulOperand::Const(matrix.build(constants)?),
        })
    }
}

/// Whether a value between nodes is packed so, each matrix of a batch.
fn is_packed(
    exotic: &dyn ExoticFact,
    mode: usize,
    layout: &dyn MMMInputFormat,
    [k, mn]: [usize; 2],
) -> bool {
    if let Some(packed) = exotic.downcast_ref::<DynPackedExoticFact>() {
        let own = packed.packers.get(mode).or(packed.packers.first());
        return packed.k == k.to_dim()
            && packed.mn == mn.to_dim()
            && own.is_some_and(|own| suits(&**own, layout));
    }
    if let Some(packed) = exotic.downcast_ref::<PackedExoticFact>() {
        return packed.k == k && packed.mn == mn.to_dim() && suits(&*packed.format, layout);
    }
    let batch = exotic.downcast_ref::<TVec<Box<dyn ExoticFact>>>();
    batch.is_some_and(|batch| {
        batch
            .iter()
            .all(|one| is_packed(&**one, mode, layout, [k, mn]))
    })
}

/// Whether a kernel that wants one layout reads the other: panels of the same numbers.
fn suits(own: &dyn MMMInputFormat, wanted: &dyn MMMInputFormat) -> bool {
    let panels = |format: &dyn MMMInputFormat| {
        let packed = format.downcast_ref::<PackedFormat>()?;
        Some((packed.dt, packed.r))
    };
    own.dyn_eq(wanted) || panels(own).is_some_and(|own| panels(wanted) == Some(own))
}

impl Function {
    fn of(op: BinOp) -> Self {
        match op {
            BinOp::Min => Self::Min,
            BinOp::Max => Self::Max,
            BinOp::Add => Self::Add,
            BinOp::Mul => Self::Mul,
            BinOp::Sub => Self::Sub,
            BinOp::SubF => Self::SubFlipped,
        }
    }

    fn build(self) -> BinOp {
        match self {
            Self::Min => BinOp::Min,
            Self::Max => BinOp::Max,
            Self::Add => BinOp::Add,
            Self::Mul => BinOp::Mul,
            Self::Sub => BinOp::Sub,
            Self::SubFlipped => BinOp::SubF,
        }
    }
}

impl Rounding {
    fn of(policy: RoundingPolicy) -> Self {
        match policy {
            RoundingPolicy::Native => Self::Native,
            RoundingPolicy::Zero => Self::Zero,
            RoundingPolicy::Away => Self::Away,
            RoundingPolicy::MinusInf => Self::MinusInf,
            RoundingPolicy::PlusInf => Self::PlusInf,
            RoundingPolicy::Even => Self::Even,
            RoundingPolicy::Odd => Self::Odd,
        }
    }

    fn build(self) -> RoundingPolicy {
        match self {
            Self::Native => RoundingPolicy::Native,
            Self::Zero => RoundingPolicy::Zero,
            Self::Away => RoundingPolicy::Away,
            Self::MinusInf => RoundingPolicy::MinusInf,
            Self::PlusInf => RoundingPolicy::PlusInf,
            Self::Even => RoundingPolicy::Even,
            Self::Odd => RoundingPolicy::Odd,
        }
    }
}

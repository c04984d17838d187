//! Convolutions.
//!
//! tract makes several operators of one convolution, most of which nobody else can make or look
//! into. What is written down is the convolution, with the facts of its inputs, and which of its
//! operators is meant; reading asks tract for them again, without weights, which costs microseconds.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{SpecialOps, TypedFact, TypedModel, TypedNode, TypedOp};
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat};
use tract_onnx::tract_core::ops::scan::Scan;

use super::binary::sources;
use super::pools::Pooling;
use super::refused;
use crate::error::{Error, Result};
use crate::plan_file::record::{Fact, Number};

/// The convolutions that a graph had before code was generated for it.
#[derive(Debug, Default)]
pub(crate) struct Origins(Vec<Origin>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct Origin {
    convolution: Plain,
    inputs: Vec<Fact>,
}

/// A convolution as the graph has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Plain {
    pooling: Pooling,
    kernel: KernelOrder,
    groups: usize,
    quantized: Option<Number>,
    /// Of a transposed convolution: what is added to each spatial size of the result.
    adjustments: Option<Vec<usize>>,
}

/// The order of a kernel's axes: output and input channels, spatial axes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum KernelOrder {
    Oihw,
    Hwio,
    Ohwi,
}

/// The operator of this name that tract makes of a convolution.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct Convolution {
    origin: Origin,
    operator: String,
}

/// An operator that tract makes of a convolution, and the facts of its inputs.
struct Part {
    op: Box<dyn TypedOp>,
    inputs: Vec<TypedFact>,
}

impl Origins {
    /// Adds those of a decluttered graph and of the loops in it.
    pub(crate) fn add(&mut self, graph: &TypedModel) {
        for node in graph.nodes() {
            if let Some(scan) = node.op_as::<Scan>() {
                self.add(&scan.body);
            }
            let facts = graph.node_input_facts(node.id).ok();
            let inputs = facts.and_then(|facts| {
                facts
                    .into_iter()
                    .map(|fact| Fact::of(&fact.without_value()))
                    .collect()
            });
            if let Some((convolution, inputs)) = Plain::of(node.op()).zip(inputs) {
                let origin = Origin {
                    convolution,
                    inputs,
                };
                if !self.0.contains(&origin) {
                    self.0.push(origin);
                }
            }
        }
    }
}

impl Origin {
    /// The operators that tract makes of it, each with the facts of its inputs.
    fn parts(&self) -> Result<Vec<Part>> {
        let mut scratch = TypedModel::default();
        let facts: Vec<TypedFact> = self.inputs.iter().map(Fact::build).collect();
        let inputs = sources(&mut scratch, &facts.iter().collect::<Vec<_>>())?;
        let conv = self.convolution.build()?;
        let wired = scratch
            .wire_node("conv", conv.clone(), &inputs)
            .map_err(refused)?;
        scratch.select_output_outlets(&wired).map_err(refused)?;
        let node = scratch.node(wired[0].node);
        let patch = conv.codegen(&scratch, node).map_err(refused)?;
        let Some(patch) = patch else {
            return Ok(Vec::new());
        };
        let part = |node: &TypedNode| {
            let inputs = patch.node_input_facts(node.id).map_err(refused)?;
            Ok(Part {
                op: node.op.clone(),
                inputs: inputs.into_iter().map(TypedFact::without_value).collect(),
            })
        };
        patch.nodes().iter().map(part).collect()
    }
}

impl Plain {
    fn of(op: &dyn Op) -> Option<Self> {
        if let Some(conv) = op.downcast_ref::<Conv>() {
            let quantized = Number::optional(conv.q_params).ok()?;
            return Some(Self {
                pooling: Pooling::of(&conv.pool_spec),
                kernel: KernelOrder::of(conv.kernel_fmt),
                groups: conv.group,
                quantized,
                adjustments: None,
            });
        }
        let deconv = op.downcast_ref::<Deconv>()?;
        Some(Self {
            pooling: Pooling::of(&deconv.pool_spec),
            kernel: KernelOrder::of(deconv.kernel_format),
            groups: deconv.group,
            quantized: None,
            adjustments: Some(deconv.adjustments.to_vec()),
        })
    }

    fn build(&self) -> Result<Box<dyn TypedOp>> {
        if self.groups == 0 {
            return Err(Error::invalid_model(
                "no sound plan: a convolution of no groups",
            ));
        }
        let pool_spec = self.pooling.build()?;
        let kernel = self.kernel.build();
        Ok(match &self.adjustments {
            None => Box::new(Conv {
                pool_spec,
                kernel_fmt: kernel,
                group: self.groups,
                q_params: self.quantized.map(Number::build),
            }),
            Some(adjustments) => Box::new(Deconv {
                pool_spec,
                kernel_format: kernel,
                adjustments: adjustments.iter().copied().collect(),
                group: self.groups,
            }),
        })
    }
}

impl Convolution {
    pub(super) fn of(op: &dyn Op, origins: &Origins) -> Option<Self> {
        let is_it = |origin: &&Origin| {
            let parts = origin.parts().unwrap_or_default();
            // The first of that name is what reading takes.
            let first = parts.iter().find(|part| part.op.name() == op.name());
            first.is_some_and(|part| part.op.dyn_eq(op))
        };
        Some(Self {
            origin: origins.0.iter().find(is_it)?.clone(),
            operator: op.name().into_owned(),
        })
    }

    /// The operator, if its inputs are those of the convolution: it reads them as if they were.
    pub(super) fn build(&self, facts: &[&TypedFact]) -> Result<Box<dyn TypedOp>> {
        let operator = self.operator.as_str();
        let mut parts = self.origin.parts()?.into_iter();
        let part = parts.find(|part| part.op.name() == operator);
        let part = part.ok_or_else(|| {
            Error::invalid_model(format!(
                "no sound plan: no convolution has a part {operator}"
            ))
        })?;
        let same = |(own, given): (&TypedFact, &&TypedFact)| {
            (own.datum_type, &own.shape, &own.exotic_fact)
                == (given.datum_type, &given.shape, &given.exotic_fact)
        };
        // tract drops a last input that is not read: the padding where there is none.
        if facts.len() > part.inputs.len() || !part.inputs.iter().zip(facts).all(same) {
            return Err(Error::invalid_model(format!(
                "no sound plan: other inputs than {operator} has"
            )));
        }
        Ok(part.op)
    }
}

impl KernelOrder {
    fn of(format: KernelFormat) -> Self {
        match format {
            KernelFormat::OIHW => Self::Oihw,
            KernelFormat::HWIO => Self::Hwio,
            KernelFormat::OHWI => Self::Ohwi,
        }
    }

    fn build(self) -> KernelFormat {
        match self {
            Self::Oihw => KernelFormat::OIHW,
            Self::Hwio => KernelFormat::HWIO,
            Self::Ohwi => KernelFormat::OHWI,
        }
    }
}

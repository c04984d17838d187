//! How each operator is written down and made again: one file a family.
//!
//! A family is an enum of records, `of` that finds the record of an operator (none if the operator
//! is of another family), and `build` that makes the operator again. What `build` is given comes
//! from outside: it checks what the operator itself would not.

mod arrays;
mod axes;
mod binary;
mod blocked;
mod branches;
mod constant;
mod convolution;
mod elements;
mod matmul;
mod pools;
mod reductions;
mod resize;
mod scan;

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{TractError, TypedFact, TypedNode, TypedOp};
use tract_onnx::tract_core::internal::Op;

pub(crate) use convolution::Origins;

use super::constants::{Constants, Writer};
use crate::error::{Error, ErrorKind, Result};

/// An operator.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum OpRecord {
    Constant(constant::Constant),
    Array(arrays::Array),
    Axes(axes::Axes),
    Binary(binary::Binary),
    Blocked(blocked::Blocked),
    Convolution(convolution::Convolution),
    Elements(elements::Elements),
    MatMul(Box<matmul::MatMul>),
    Pool(pools::Pool),
    Reduction(reductions::Reduction),
    Resize(resize::Resizing),
    Scan(Box<scan::Scan>),
    Branches(Box<branches::Branches>),
    OnlyIf(branches::OnlyIf),
}

impl OpRecord {
    /// The record of a node's operator; none where there is no family for it.
    pub(super) fn of(
        node: &TypedNode,
        origins: &Origins,
        constants: &mut Writer,
    ) -> Result<Option<Self>> {
        let op = node.op();
        if let Some(scan) = scan::Scan::of(op, origins, constants)? {
            return Ok(Some(Self::Scan(Box::new(scan))));
        }
        if let Some(branches) = branches::Branches::of(op, origins, constants)? {
            return Ok(Some(Self::Branches(Box::new(branches))));
        }
        Ok(constant::Constant::of(op, constants)
            .map(Self::Constant)
            .or_else(|| arrays::Array::of(op, constants).map(Self::Array))
            .or_else(|| axes::Axes::of(op).map(Self::Axes))
            .or_else(|| binary::Binary::of(op).map(Self::Binary))
            .or_else(|| blocked::Blocked::of(op).map(Self::Blocked))
            .or_else(|| elements::Elements::of(op).map(Self::Elements))
            .or_else(|| {
                matmul::MatMul::of(node, constants).map(|matmul| Self::MatMul(Box::new(matmul)))
            })
            .or_else(|| pools::Pool::of(op).map(Self::Pool))
            .or_else(|| reductions::Reduction::of(op, constants).map(Self::Reduction))
            .or_else(|| resize::Resizing::of(op).map(Self::Resize))
            .or_else(|| branches::OnlyIf::of(op).map(Self::OnlyIf))
            .or_else(|| convolution::Convolution::of(op, origins).map(Self::Convolution)))
    }

    /// The record of a constant that its readers take where it lies.
    pub(super) fn in_place(op: &dyn Op, constants: &mut Writer) -> Option<Self> {
        constant::Constant::in_place(op, constants).map(Self::Constant)
    }

    /// The record of a constant that is looked up where it lies.
    pub(super) fn table(op: &dyn Op, constants: &mut Writer) -> Option<Self> {
        constant::Constant::table(op, constants).map(Self::Constant)
    }

    /// The operator, for inputs of these facts.
    pub(super) fn build(
        &self,
        facts: &[&TypedFact],
        constants: &dyn Constants,
    ) -> Result<Box<dyn TypedOp>> {
        match self {
            Self::Constant(record) => record.build(constants),
            Self::Array(record) => record.build(constants),
            Self::Axes(record) => record.build(),
            Self::Binary(record) => record.build(facts),
            Self::Blocked(record) => record.build(),
            Self::Convolution(record) => record.build(facts),
            Self::Elements(record) => record.build(),
            Self::MatMul(record) => record.build(facts, constants),
            Self::Pool(record) => record.build(facts),
            Self::Reduction(record) => record.build(constants),
            Self::Resize(record) => Ok(record.build()),
            Self::Scan(record) => record.build(facts, constants),
            Self::Branches(record) => record.build(constants),
            Self::OnlyIf(record) => Ok(record.build()),
        }
    }

    /// Whether the engine can compare such operators. Where it can't, the golden examples tell.
    pub(super) fn is_told_by_equality(&self) -> bool {
        !matches!(
            self,
            Self::MatMul(_) | Self::Scan(_) | Self::Branches(_) | Self::Constant(_)
        )
    }
}

fn refused(error: TractError) -> Error {
    Error::from_tract(ErrorKind::InvalidModel, "no sound plan", error)
}

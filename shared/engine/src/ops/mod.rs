//! Operators of our own: those of ONNX that tract lacks ([`onnx`]); and those on blocked channels (see
//! `dunlin_kernels`), with the pass that puts them into a graph.
//!
//! [`Pack`] stands in for an operator of tract's that can't be written down.
//!
//! Each operator is plain data beside constant inputs: a graph that holds them can be written down and read back with
//! nothing computed anew.

mod affine;
mod attention;
mod blank;
mod blocking;
mod branches;
mod chain;
mod convolution;
mod depthwise;
mod dynamic_quantize;
mod fake_quantize;
mod grid;
mod grouped_convolution;
mod identities;
mod in_place;
mod integer_convolution;
mod integer_depthwise;
mod integer_product;
mod lookup;
mod lowering;
mod matrix_product;
mod only_if;
pub(crate) mod onnx;
mod pack;
mod pages;
mod parts;
mod planes;
mod pooling;
mod products;
mod reorder;
mod spread;
mod steps;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use affine::Affine;
pub(crate) use attention::{Attention, Places, attend};
pub(crate) use blocking::block;
pub(crate) use branches::{Branch, Branches};
pub(crate) use convolution::Convolution;
pub(crate) use depthwise::DepthwiseConvolution;
pub(crate) use dynamic_quantize::DynamicQuantize;
pub(crate) use fake_quantize::FakeQuantize;
pub(crate) use grouped_convolution::GroupedConvolution;
pub(crate) use identities::drop_identities;
pub(crate) use in_place::{InPlace, reads_in_place};
pub(crate) use integer_convolution::IntegerConvolution;
pub(crate) use integer_depthwise::IntegerDepthwise;
pub(crate) use integer_product::IntegerProduct;
pub(crate) use lookup::{Lookup, look_up, reads_as_table};
pub(crate) use lowering::{Kind, Lowering, Stretch};
pub(crate) use matrix_product::MatrixProduct;
pub(crate) use only_if::OnlyIf;
pub(crate) use pack::{Pack, adopt};
pub(crate) use parts::has_shared_work;
pub(crate) use pooling::BlockedPool;
pub(crate) use products::multiply;
pub(crate) use reorder::{FromBlocked, ToBlocked};
pub(crate) use spread::{Spread, spread};
pub(crate) use steps::{FromBytes, SumOfBytes, ToBytes};

use dunlin_kernels::Isa;
use tract_onnx::prelude::{TractResult, TypedFact, TypedNode};
use tract_onnx::tract_core::internal::{TVec, format_err};

/// Whose vectors the blocks of a node are, if it is a convolution of ours.
pub(crate) fn blocks(node: &TypedNode) -> Option<Isa> {
    let op = node.op();
    let dense = op.downcast_ref::<Convolution>().map(|op| op.isa);
    let depthwise = || Some(op.downcast_ref::<DepthwiseConvolution>()?.isa);
    let dense_bytes = || Some(op.downcast_ref::<IntegerConvolution>()?.isa);
    let depthwise_bytes = || Some(op.downcast_ref::<IntegerDepthwise>()?.isa);
    let grouped = || Some(op.downcast_ref::<GroupedConvolution>()?.isa);
    dense
        .or_else(grouped)
        .or_else(depthwise)
        .or_else(dense_bytes)
        .or_else(depthwise_bytes)
}

/// The shape of a tensor of these operators: they are made for one.
fn concrete(fact: &TypedFact) -> TractResult<TVec<usize>> {
    let shape = fact.shape.as_concrete();
    shape
        .map(Into::into)
        .ok_or_else(|| format_err!("{fact:?} has no concrete shape"))
}

//! Operators of two tensors, element by element.
//!
//! Their fast forms hold a kernel that only tract's own code generation puts there: what is
//! written down is the operator, and which form of it; reading asks tract for that form.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{
    DatumType, OutletId, SpecialOps, TVec, TypedFact, TypedModel, TypedNode, TypedOp, tvec,
};
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::binary::{
    BinMiniOp, OptBinByScalar, OptBinChain, OptBinUnicast, TypedBinOp,
};
use tract_onnx::tract_core::ops::logic::{
    And, BitAnd, BitOr, BitXor, CompEq, CompGT, CompGTE, CompLT, CompLTE, CompNE, Iff, Or, Xor,
};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::quant::Scale;

use super::refused;
use crate::error::{Error, Result};
use crate::ops::Spread;
use crate::plan_file::record::Number;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Binary {
    /// Any shapes that broadcast.
    Broadcast(String, Option<Number>),
    /// The second tensor has one element for each block of the first.
    ByScalar(String),
    /// Both tensors have the same inner dimensions.
    Unicast(String),
    /// Several of the two above in one pass over the first tensor: function, and whether it is
    /// by scalar.
    Chain(Vec<(String, bool)>),
    /// A choice by a boolean.
    Where,
    /// Ours, where one tensor is spread over the other.
    Spread(Spread),
}

macro_rules! functions {
    ($($name:literal => $function:path),* $(,)?) => {
        fn name_of(op: &dyn BinMiniOp) -> Option<String> {
            $(if op.is::<$function>() { return Some($name.to_owned()); })*
            None
        }

        fn by_name(name: &str) -> Result<Box<dyn BinMiniOp>> {
            match name {
                $($name => Ok(Box::new($function)),)*
                _ => Err(Error::invalid_model(format!(
                    "no sound plan: no function of two tensors is called \"{name}\""
                ))),
            }
        }
    };
}

functions! {
    "add" => math::Add, "and" => And, "bitand" => BitAnd, "bitor" => BitOr, "bitxor" => BitXor,
    "div" => math::Div, "eq" => CompEq, "gt" => CompGT, "gte" => CompGTE, "lt" => CompLT,
    "lte" => CompLTE, "max" => math::Max, "min" => math::Min, "mul" => math::Mul, "ne" => CompNE,
    "or" => Or, "pow" => math::Pow, "rem" => math::Rem, "scale" => Scale,
    "shiftleft" => math::ShiftLeft, "shiftright" => math::ShiftRight, "sub" => math::Sub,
    "subf" => math::SubF, "xor" => Xor,
}

impl Binary {
    pub(super) fn of(op: &dyn Op) -> Option<Self> {
        if op.is::<Iff>() {
            return Some(Self::Where);
        }
        if let Some(spread) = op.downcast_ref::<Spread>() {
            return Some(Self::Spread(*spread));
        }
        if let Some(TypedBinOp(function, datatype)) = op.downcast_ref() {
            let datatype = Number::optional(*datatype).ok()?;
            return Some(Self::Broadcast(name_of(&**function)?, datatype));
        }
        if let Some(op) = op.downcast_ref::<OptBinByScalar>() {
            return Some(Self::ByScalar(name_of(&*op.binop)?));
        }
        if let Some(op) = op.downcast_ref::<OptBinUnicast>() {
            return Some(Self::Unicast(name_of(&*op.binop)?));
        }
        let chain = op.downcast_ref::<OptBinChain>()?.steps.iter();
        let steps = chain.map(|step| {
            let by_scalar = format!("{:?}", step.share) == "PerBlock";
            Some((name_of(&*step.binop)?, by_scalar))
        });
        Some(Self::Chain(steps.collect::<Option<_>>()?))
    }

    pub(super) fn build(&self, facts: &[&TypedFact]) -> Result<Box<dyn TypedOp>> {
        match self {
            Self::Where => Ok(Box::new(Iff)),
            Self::Spread(spread) => Ok(Box::new(*spread)),
            Self::Broadcast(function, datatype) => {
                let datatype = datatype.map(Number::build);
                Ok(Box::new(TypedBinOp(by_name(function)?, datatype)))
            }
            Self::ByScalar(function) => fast(function, true, facts),
            Self::Unicast(function) => fast(function, false, facts),
            Self::Chain(steps) => chain(steps, facts),
        }
    }
}

/// A fast form by its function, whether it is by scalar, and the datatypes that it is for.
type Form = (String, bool, [DatumType; 2]);

/// The fast form of a function for these inputs. It is one for all shapes, and refuses those that don't fit it when its
/// node is made; so it is made once, for a load may need dozens, and tract takes some 50 µs for each at first.
fn fast(function: &str, by_scalar: bool, facts: &[&TypedFact]) -> Result<Box<dyn TypedOp>> {
    static MADE: LazyLock<Mutex<HashMap<Form, Box<dyn TypedOp>>>> = LazyLock::new(Mutex::default);
    let [one, other] = facts else {
        return Err(Error::invalid_model(
            "no sound plan: a function of two tensors has not two inputs",
        ));
    };
    // Of the datatypes that there are finitely many of.
    let plain = |fact: &TypedFact| !fact.datum_type.is_quantized() && !fact.is_exotic();
    if !plain(one) || !plain(other) {
        return make_fast(function, by_scalar, facts);
    }
    let form = (
        function.to_owned(),
        by_scalar,
        [one.datum_type, other.datum_type],
    );
    let made = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(op) = made().get(&form) {
        return Ok(op.clone());
    }
    let op = make_fast(function, by_scalar, facts)?;
    made().insert(form, op.clone());
    Ok(op)
}

fn make_fast(function: &str, by_scalar: bool, facts: &[&TypedFact]) -> Result<Box<dyn TypedOp>> {
    let mut scratch = TypedModel::default();
    let inputs = sources(&mut scratch, facts)?;
    let op = TypedBinOp(by_name(function)?, None);
    let wired = scratch
        .wire_node("op", op.clone(), &inputs)
        .map_err(refused)?;
    scratch.select_output_outlets(&wired).map_err(refused)?;
    let node = scratch.node(wired[0].node);
    let patch = op.codegen(&scratch, node).map_err(refused)?;
    let is_it = |node: &&TypedNode| {
        if by_scalar {
            node.op_is::<OptBinByScalar>()
        } else {
            node.op_is::<OptBinUnicast>()
        }
    };
    let found = patch
        .as_ref()
        .and_then(|patch| patch.nodes().iter().find(is_it));
    let found = found.filter(|node| node.inputs.len() == 2 && node.inputs[0] != node.inputs[1]);
    found.map(|node| node.op.clone()).ok_or_else(|| {
        Error::invalid_model(format!(
            "no sound plan: \"{function}\" has no fast form here"
        ))
    })
}

/// The fast forms of several functions, fused by tract.
fn chain(steps: &[(String, bool)], facts: &[&TypedFact]) -> Result<Box<dyn TypedOp>> {
    let broken = || Error::invalid_model("no sound plan: a chain of functions can't be fused");
    let (first, others) = facts.split_first().ok_or_else(broken)?;
    if others.len() != steps.len() || steps.len() < 2 {
        return Err(broken());
    }
    let mut scratch = TypedModel::default();
    let inputs = sources(&mut scratch, facts)?;
    let mut wire = inputs[0];
    for (at, (function, by_scalar)) in steps.iter().enumerate() {
        let op = fast(function, *by_scalar, &[first, others[at]])?;
        let wired = scratch.wire_node(format!("step {at}"), op, &[wire, inputs[at + 1]]);
        wire = wired.map_err(refused)?[0];
    }
    scratch.select_output_outlets(&[wire]).map_err(refused)?;
    let head = facts.len();
    let node = scratch.nodes.get(head).ok_or_else(broken)?;
    let patch = node
        .op
        .fuse(&scratch, node)
        .map_err(refused)?
        .ok_or_else(broken)?;
    let fused = patch
        .nodes()
        .iter()
        .find_map(|node| node.op_as::<OptBinChain>());
    let fused = fused
        .filter(|fused| fused.steps.len() == steps.len())
        .ok_or_else(broken)?;
    Ok(Box::new(fused.clone()))
}

/// Inputs of these facts, whatever their values.
pub(super) fn sources(scratch: &mut TypedModel, facts: &[&TypedFact]) -> Result<TVec<OutletId>> {
    let mut outlets = tvec![];
    for (at, fact) in facts.iter().enumerate() {
        let source = scratch.add_source(format!("input {at}"), fact.without_value());
        outlets.push(source.map_err(refused)?);
    }
    Ok(outlets)
}

//! What the records of a plan file hold, beside the operators.

use std::cell::Cell;

use dunlin_protocol::{Datatype, TensorMetadata};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tract_onnx::prelude::{DatumType, DatumTypeExt, QParams, TypedFact};

use super::ops::OpRecord;
use crate::Limits;
use crate::error::{Error, Result};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) engine: String,
    pub(super) target: String,
    pub(super) inputs: Vec<TensorRecord>,
    pub(super) outputs: Vec<TensorRecord>,
    pub(super) batches: Batches,
    pub(super) plans: Vec<PlanRecord>,
}

/// How a batch larger than those planned is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Batches {
    /// The model has no batch dimension, or nothing was found out about it.
    Unknown,
    /// In parts of this size, and the rest in smaller powers of two.
    Parts(u32),
    /// Whole: its items see one another.
    Whole,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TensorRecord {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanRecord {
    /// Of all inputs, in the graph's order.
    pub(super) shapes: Vec<Vec<usize>>,
    pub(super) graph: GraphRecord,
}

/// A graph; its nodes in an order in which each comes after those that it reads.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GraphRecord {
    pub(super) nodes: Vec<NodeRecord>,
    pub(super) inputs: Vec<Outlet>,
    pub(super) outputs: Vec<Outlet>,
}

thread_local! {
    /// How many graphs the one that is read on this thread lies in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Reads a graph within a graph. Each takes its part of the stack, so they are counted before.
pub(super) fn nested<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<GraphRecord, D::Error> {
    let limit = Limits::default().subgraph_depth;
    if DEPTH.get() >= limit {
        return Err(D::Error::custom(format!("graphs nest deeper than {limit}")));
    }
    DEPTH.set(DEPTH.get() + 1);
    let graph = GraphRecord::deserialize(deserializer);
    DEPTH.set(DEPTH.get() - 1);
    graph
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    pub(super) name: String,
    pub(super) op: OpRecord,
    pub(super) inputs: Vec<Outlet>,
}

/// An output of a node: the node's place in the graph, and which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outlet {
    pub(super) node: u32,
    pub(super) slot: u32,
}

/// Datatype and shape of a value between nodes. Plans are for concrete shapes alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fact {
    pub(super) datatype: Number,
    pub(super) shape: Vec<usize>,
}

impl Fact {
    pub(super) fn of(fact: &TypedFact) -> Option<Self> {
        if fact.is_exotic() {
            return None;
        }
        Some(Self {
            datatype: Number::of(fact.datum_type)?,
            shape: fact.shape.as_concrete()?.to_vec(),
        })
    }

    pub(super) fn build(&self) -> TypedFact {
        self.datatype.build().fact(&self.shape)
    }
}

/// A datatype of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Number {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
    String,
    Dimension,
    /// Eight signed bits with zero point and scale.
    QI8(i32, f32),
    QU8(i32, f32),
    QI32(i32, f32),
}

/// What was asked for can't be written down.
pub(super) struct NoRecord;

impl Number {
    pub(super) fn of(datum: DatumType) -> Option<Self> {
        let quantized = |params: QParams| params.zp_scale();
        Some(match datum {
            DatumType::Bool => Self::Bool,
            DatumType::U8 => Self::U8,
            DatumType::U16 => Self::U16,
            DatumType::U32 => Self::U32,
            DatumType::U64 => Self::U64,
            DatumType::I8 => Self::I8,
            DatumType::I16 => Self::I16,
            DatumType::I32 => Self::I32,
            DatumType::I64 => Self::I64,
            DatumType::F16 => Self::F16,
            DatumType::F32 => Self::F32,
            DatumType::F64 => Self::F64,
            DatumType::String => Self::String,
            DatumType::TDim => Self::Dimension,
            DatumType::QI8(params) => {
                let (zero_point, scale) = quantized(params);
                Self::QI8(zero_point, scale)
            }
            DatumType::QU8(params) => {
                let (zero_point, scale) = quantized(params);
                Self::QU8(zero_point, scale)
            }
            DatumType::QI32(params) => {
                let (zero_point, scale) = quantized(params);
                Self::QI32(zero_point, scale)
            }
            DatumType::Blob => return None,
        })
    }

    /// The same for a datatype that may be missing; an error where there is one without a record.
    pub(super) fn optional(datum: Option<DatumType>) -> Result<Option<Self>, NoRecord> {
        datum
            .map(|datum| Self::of(datum).ok_or(NoRecord))
            .transpose()
    }

    pub(super) fn build(self) -> DatumType {
        let params = |zero_point, scale| QParams::ZpScale { zero_point, scale };
        match self {
            Self::Bool => DatumType::Bool,
            Self::U8 => DatumType::U8,
            Self::U16 => DatumType::U16,
            Self::U32 => DatumType::U32,
            Self::U64 => DatumType::U64,
            Self::I8 => DatumType::I8,
            Self::I16 => DatumType::I16,
            Self::I32 => DatumType::I32,
            Self::I64 => DatumType::I64,
            Self::F16 => DatumType::F16,
            Self::F32 => DatumType::F32,
            Self::F64 => DatumType::F64,
            Self::String => DatumType::String,
            Self::Dimension => DatumType::TDim,
            Self::QI8(zero_point, scale) => DatumType::QI8(params(zero_point, scale)),
            Self::QU8(zero_point, scale) => DatumType::QU8(params(zero_point, scale)),
            Self::QI32(zero_point, scale) => DatumType::QI32(params(zero_point, scale)),
        }
    }
}

pub(super) fn tensors(tensors: &[TensorMetadata]) -> Vec<TensorRecord> {
    let record = |tensor: &TensorMetadata| TensorRecord {
        name: tensor.name.clone(),
        datatype: tensor.datatype.to_string(),
        shape: tensor.shape.clone(),
    };
    tensors.iter().map(record).collect()
}

pub(super) fn metadata(records: &[TensorRecord]) -> Result<Vec<TensorMetadata>> {
    let tensor = |record: &TensorRecord| {
        let datatype: Datatype = record.datatype.parse().map_err(|error| {
            Error::invalid_model(format!("no sound plan: \"{}\"", record.name)).caused_by(error)
        })?;
        Ok(TensorMetadata {
            name: record.name.clone(),
            datatype,
            shape: record.shape.clone(),
        })
    };
    records.iter().map(tensor).collect()
}

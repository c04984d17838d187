//! Branches on data: two graphs within a graph, or one and the condition that it needs.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::TypedOp;
use tract_onnx::tract_core::internal::Op;

use super::{Origins, refused};
use crate::Limits;
use crate::error::Result;
use crate::ops;
use crate::plan_file::constants::{Constants, Writer};
use crate::plan_file::graph;
use crate::plan_file::record::{GraphRecord, nested};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct Branches {
    yes: Branch,
    no: Branch,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Branch {
    #[serde(deserialize_with = "nested")]
    graph: GraphRecord,
    inputs: Vec<usize>,
}

impl Branches {
    pub(super) fn of(
        op: &dyn Op,
        origins: &Origins,
        constants: &mut Writer,
    ) -> Result<Option<Self>> {
        let Some(op) = op.downcast_ref::<ops::Branches>() else {
            return Ok(None);
        };
        let mut branch = |branch: &ops::Branch| {
            let (graph, inputs) = branch.parts();
            Ok(Branch {
                graph: graph::write(graph, origins, constants)?,
                inputs: inputs.to_vec(),
            })
        };
        Ok(Some(Self {
            yes: branch(&op.yes)?,
            no: branch(&op.no)?,
        }))
    }

    pub(super) fn build(&self, constants: &dyn Constants) -> Result<Box<dyn TypedOp>> {
        let branch = |branch: &Branch| {
            let graph = graph::read(&branch.graph, constants, &Limits::default())?;
            ops::Branch::new(graph, branch.inputs.clone()).map_err(refused)
        };
        Ok(Box::new(ops::Branches {
            yes: branch(&self.yes)?,
            no: branch(&self.no)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_file::ops::OpRecord;
    use crate::plan_file::record::NodeRecord;

    fn graph(op: Option<Branches>) -> GraphRecord {
        let node = |op| NodeRecord {
            name: String::new(),
            op: OpRecord::Branches(Box::new(op)),
            inputs: vec![],
        };
        GraphRecord {
            nodes: op.into_iter().map(node).collect(),
            inputs: vec![],
            outputs: vec![],
        }
    }

    fn nested_in(depth: usize) -> GraphRecord {
        (0..depth).fold(graph(None), |inner, _| {
            let branch = |graph| Branch {
                graph,
                inputs: vec![],
            };
            self::graph(Some(Branches {
                yes: branch(inner),
                no: branch(graph(None)),
            }))
        })
    }

    #[test]
    fn graphs_nest_as_deep_as_the_limit_and_no_deeper() {
        let limit = Limits::default().subgraph_depth;
        for (depth, fits) in [(0, true), (limit, true), (limit + 1, false), (1000, false)] {
            let bytes = postcard::to_allocvec(&nested_in(depth)).expect("bytes");
            let read: postcard::Result<GraphRecord> = postcard::from_bytes(&bytes);
            assert_eq!(read.is_ok(), fits, "{depth}");
        }
    }
}

/// A value, and the condition that it needs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct OnlyIf {
    wanted: bool,
    otherwise: String,
}

impl OnlyIf {
    pub(super) fn of(op: &dyn Op) -> Option<Self> {
        let op = op.downcast_ref::<ops::OnlyIf>()?;
        Some(Self {
            wanted: op.wanted,
            otherwise: op.otherwise.clone(),
        })
    }

    pub(super) fn build(&self) -> Box<dyn TypedOp> {
        Box::new(ops::OnlyIf {
            wanted: self.wanted,
            otherwise: self.otherwise.clone(),
        })
    }
}

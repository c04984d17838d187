//! Bounds on what a model or an input may ask of this process.

use crate::Threads;

/// Bounds checked before the work: passing one is [`crate::ErrorKind::TooLarge`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a model file. Protobuf itself ends at 2 GiB.
    pub model_bytes: usize,
    /// Nodes of a graph, those of its subgraphs included. Optimization is quadratic in them.
    pub nodes: usize,
    /// Subgraphs (of `If`, `Loop`, `Scan`) within subgraphs.
    pub subgraph_depth: usize,
    /// Length-delimited protobuf fields: each costs up to some hundred bytes once decoded.
    pub fields: usize,
    /// Elements of one tensor: an input, a weight, or a value between two nodes.
    pub tensor_elements: usize,
    /// Dimensions of one tensor.
    pub rank: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_bytes: (1 << 31) - 1,
            nodes: 20_000,
            subgraph_depth: 8,
            fields: 2_000_000,
            tensor_elements: 1 << 29,
            rank: 16,
        }
    }
}

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Bounds on the model and on the inputs of its runs.
    pub limits: Limits,
    /// Plans kept, one an input shape; the least recently used one goes. At least 1.
    pub plans: usize,
    /// Whether a batch may run in smaller parts, where that gives the same answer faster.
    pub split_batches: bool,
    /// What shares the large nodes of a run.
    pub threads: Threads,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            plans: 8,
            split_batches: true,
            threads: Threads::default(),
        }
    }
}

//! The training job: a recipe is trained on data, evaluated on data that it has never seen, and
//! published with what it has proven.
//!
//! ```text
//! Source ─ gather ─▶ Dataset ─ fit ─▶ Fitted ─ export ─▶ ONNX ─ evaluate ─▶ Report ─ gates ─▶ published
//! ```
//!
//! - [`data`]: labelled pictures and texts, and series, in the forms that people have, checked and split.
//! - [`recipes`]: the networks, and the hyperparameters that they train well with.
//! - [`fit`]: the training loop; a run that was killed goes on from its last checkpoint.
//! - [`export`]: a network becomes an ONNX graph.
//! - [`evaluate`]: the exported graph, run by the engine that will serve it, on the test part.
//! - [`package`]: the folder that `dunlin push` takes.
//! - [`job`]: all of it, in order.
//! - [`sagemaker`]: the same, where Amazon `SageMaker` starts it.
//!
//! The network is trained with [Burn](https://burn.dev) on a device that is chosen at run time;
//! examples are read by `dunlin-transforms`, as serving reads them.

mod auto;
pub mod cli;
pub mod data;
pub mod device;
mod error;
pub mod evaluate;
pub mod export;
pub mod fit;
pub mod job;
mod machine;
mod mistakes;
mod network;
pub mod package;
mod production;
pub mod recipes;
pub mod sagemaker;
mod served;

pub use error::{Error, ErrorKind, Result};

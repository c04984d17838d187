//! The engine: ONNX bytes in, answers out. The only room that names tract.
//!
//! ```no_run
//! use dunlin_engine::{LoadOptions, Model};
//! use dunlin_protocol::{NamedTensor, Tensor};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let onnx = std::fs::read("model.onnx")?.into();
//! let model = Model::load("digits", onnx, &LoadOptions::default())?;
//! let image = Tensor::from_vec(vec![1, 1, 28, 28], vec![0.0_f32; 784])?;
//! let outputs = model.run(vec![NamedTensor::new("image", image)])?;
//! println!("{:?}", outputs[0].tensor.to_vec::<f32>()?);
//! # Ok(())
//! # }
//! ```
//!
//! All is synchronous; a [`Model`] may be run from many threads at once, and a run is its caller's
//! thread's alone, unless [`LoadOptions::threads`] are to share it. Errors are [`Error`]: a kind to match on, and a message that names the model, the node,
//! its operator and the cure.

mod batch;
mod border;
mod check;
mod error;
mod framework;
mod import;
mod inspect;
mod limits;
mod model;
mod ops;
mod plan;
mod plan_file;
mod plans;
mod portable;
pub mod precision;
mod proto;
mod report;
mod signature;
mod source;
mod tensor;
mod threads;
mod tune;
mod wire;

pub use error::{Error, ErrorKind, Result};
pub use inspect::inspect;
pub use limits::{Limits, LoadOptions};
pub use model::{Model, NodeTime};
pub use plan_file::{ENGINE, PLAN_FORMAT, Target, is_plan};
pub use portable::OnnxSource;
pub use report::Report;
pub use threads::Threads;

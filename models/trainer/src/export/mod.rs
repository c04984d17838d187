//! ONNX export: a network draws itself, layer by layer, into a [`Graph`].
//!
//! ```
//! use burn::nn::LinearConfig;
//! use burn::tensor::Device;
//! use dunlin_trainer::export::Graph;
//!
//! let linear = LinearConfig::new(8, 3).init(&Device::default());
//! let mut graph = Graph::new("little");
//! let x = graph.input("x", &[8]);
//! let y = graph.linear(&x, &linear);
//! let y = graph.relu(&y);
//! let onnx = graph.finish(&[("y", &y, &[3])]);
//! assert!(dunlin_engine::Model::load("little", onnx.into(), &Default::default()).is_ok());
//! ```

mod graph;
mod layers;
mod sequence;

pub use graph::{Graph, OPSET, Value};
pub use sequence::States;

//! Raw bytes to tensors, and tensors to answers, as a model's manifest declares.
//!
//! A model is published with a declaration ([`Spec`]), not with code:
//!
//! ```toml
//! [input]
//! kind = "image"        # the body of a request is a picture
//! size = [224, 224]     # height, width
//!
//! [output]
//! kind = "classification"
//! activation = "softmax"
//! ```
//!
//! [`Pipeline::new`] holds it against the model's own inputs and outputs and finds every
//! contradiction there and then. After that, [`Pipeline::decode`] turns the body of a request
//! into the model's inputs, and [`Pipeline::encode`] its outputs into a [`Prediction`]:
//!
//! ```
//! use bytes::Bytes;
//! use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};
//! use dunlin_transforms::{InputKind, InputSpec, Limits, Pipeline, Size, Spec};
//!
//! let pixels = TensorMetadata {
//!     name: "pixels".into(),
//!     datatype: Datatype::Fp32,
//!     shape: vec![-1, 3, -1, -1],
//! };
//! let spec = Spec {
//!     input: Some(InputSpec {
//!         kind: InputKind::Image,
//!         size: Some(Size::Exact([224, 224])),
//!         ..InputSpec::default()
//!     }),
//!     output: None,
//! };
//! let pipeline = Pipeline::new(&spec, &[pixels], &[], Vec::new(), Limits::default())?;
//!
//! let error = pipeline.decode(&Bytes::from_static(b"hello"), Some("image/png")).unwrap_err();
//! assert!(error.to_string().contains("JPEG, PNG, WebP, GIF, BMP"));
//! # Ok::<(), dunlin_transforms::Error>(())
//! ```
//!
//! Pictures come out as Pillow and numpy would make them; `docs/transforms.md` has each option
//! beside the Pillow call it equals.

mod error;
mod image;
mod labels;
mod limits;
mod output;
mod pipeline;
mod spec;

pub use error::{Error, ErrorKind, Result};
pub use labels::parse_labels;
pub use limits::Limits;
pub use output::{Class, Prediction, classify};
pub use pipeline::Pipeline;
pub use spec::{
    Activation, Color, Fit, InputKind, InputSpec, Layout, OutputKind, OutputSpec, PerChannel,
    Resample, Size, Spec,
};

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
//! use dunlin_transforms::{Files, ImageSpec, InputSpec, Limits, Pipeline, Size, Spec};
//!
//! let pixels = TensorMetadata {
//!     name: "pixels".into(),
//!     datatype: Datatype::Fp32,
//!     shape: vec![-1, 3, -1, -1],
//! };
//! let spec = Spec {
//!     input: Some(InputSpec::Image(ImageSpec {
//!         size: Some(Size::Exact([224, 224])),
//!         ..ImageSpec::default()
//!     })),
//!     output: None,
//! };
//! let pipeline = Pipeline::new(&spec, &[pixels], &[], Files::default(), Limits::default())?;
//!
//! let error = pipeline.decode(&Bytes::from_static(b"hello"), Some("image/png")).unwrap_err();
//! assert!(error.to_string().contains("JPEG, PNG, WebP, GIF, BMP"));
//! # Ok::<(), dunlin_transforms::Error>(())
//! ```
//!
//! Pictures come out as Pillow and numpy would make them, and texts as Hugging Face's tokenizers
//! would; `docs/transforms.md` has each option beside the call it equals.

mod body;
mod error;
mod image;
mod labels;
mod limits;
mod output;
mod pipeline;
mod scaling;
mod series;
mod spec;
mod text;

pub use error::{Error, ErrorKind, Result};
pub use labels::parse_labels;
pub use limits::Limits;
pub use output::{Class, Prediction, Steps, classify};
pub use pipeline::{Asked, Decoded, Files, Pipeline};
pub use spec::{
    Activation, ClassificationSpec, Color, EmbeddingSpec, Fit, ForecastSpec, ImageSpec, InputSpec,
    Layout, OutputSpec, PerChannel, Pooling, Resample, SeriesSpec, Size, Spec, TextSpec,
};
pub use text::Tokenizer;

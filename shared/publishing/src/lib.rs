//! The publish road: from a model's file to a version that every host may serve.
//!
//! Each stage is a type, and each step takes the stage before it, so that nothing is published
//! unproven:
//!
//! ```text
//! model.onnx, model.toml ─ read ─▶ Candidate ─ compile ─▶ Compiled ─ prove ─▶ Verified ─ publish ─▶ Published
//! ```
//!
//! - [`Candidate::read`] takes an ONNX file, or a folder with a `model.toml`, and reads from the
//!   graph what nobody declared. [`Candidate::notes`] says what that was.
//! - [`Candidate::compile`] loads the graph and checks that the declared transforms fit it.
//! - [`Compiled::prove`] runs the examples: every one must run, give its label first, and give
//!   the same when it is replayed; the plan is written, loaded as hosts will load it, and must give
//!   the same answers. Latency, load time and memory of both are measured.
//! - [`Candidate::weigh`] does both at other precisions, too, and chooses between them.
//! - [`Verified::publish`] stores it: blobs, then the manifest.
//!
//! [`Upload::publish`] walks the road for an object that somebody has put under `uploads/`.
//!
//! Reading, compiling and proving block, and use the processor for as long as they need; an
//! asynchronous caller gives them a thread of their own.
//!
//! # model.toml
//! ```toml
//! name = "digits"                       # all of these are optional
//! task = "image-classification"
//! description = "Handwritten digits"
//! license = "MIT"
//! tags = ["vision"]
//! model = "model.onnx"
//! labels = "labels.txt"                 # one a line
//! precision = "auto"                    # see Candidate::weigh
//!
//! [input]                               # see dunlin_transforms::InputSpec
//! kind = "image"
//!
//! [output]                              # see dunlin_transforms::OutputSpec
//! kind = "classification"
//!
//! [[examples]]                          # bodies of POST /predict/digits, and what must come first
//! file = "examples/7.png"
//! label = "7"
//!
//! [metrics]                             # into the manifest as they are
//! accuracy = 0.983
//!
//! [provenance]
//! dataset = "mnist"
//! ```

mod archive;
mod ask;
mod candidate;
mod compile;
mod description;
mod error;
mod guess;
mod plan;
mod precision;
mod prove;
mod publish;
mod seeded;
mod source;
mod tensors;
mod upload;

pub use candidate::{Candidate, GivenExample};
pub use compile::{CompileOptions, Compiled};
pub use description::{Description, ExampleEntry, Label};
pub use error::{Error, ErrorKind, Result};
pub use plan::ProvenPlan;
pub use precision::{Choice, Evaluation, Fate, Precision, Trial, WeighOptions, Weighed};
pub use prove::{ProveOptions, Verified};
pub use publish::Published;
pub use seeded::inputs as seeded_inputs;
pub use upload::{Upload, UploadOptions, UploadReport};

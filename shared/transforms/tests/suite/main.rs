//! The room through its public doors: declarations, pictures, texts and series good and bad, answers.

mod answers;
mod bad_pictures;
mod declaration;
mod embeddings;
mod golden;
mod series;
mod texts;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_transforms::{Files, Limits, Pipeline, Spec};

/// The folder of golden files.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// One of the sample pictures.
fn sample(name: &str) -> Bytes {
    std::fs::read(data().join("samples").join(name))
        .unwrap()
        .into()
}

/// A tensor that a model declares.
fn metadata(name: &str, datatype: Datatype, shape: &[i64]) -> TensorMetadata {
    TensorMetadata {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
    }
}

/// A pipeline for pictures of 8×8, RGB.
fn small_pictures(limits: Limits) -> Pipeline {
    let spec: Spec = toml::from_str("input = { kind = 'image', size = [8, 8] }").unwrap();
    let input = metadata("pixels", Datatype::Fp32, &[-1, 3, -1, -1]);
    Pipeline::new(&spec, &[input], &[], Files::default(), limits).unwrap()
}

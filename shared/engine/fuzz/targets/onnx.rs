//! Any bytes as an ONNX file: refused, or a model that answers or says why not.

#![no_main]

mod probe;

use bytes::Bytes;
use dunlin_engine::{Model, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let onnx = Bytes::copy_from_slice(data);
    let _ = inspect("fuzzed", &onnx, &probe::options().limits);
    if let Ok(model) = Model::load("fuzzed", onnx, &probe::options()) {
        probe::run(&model);
    }
});

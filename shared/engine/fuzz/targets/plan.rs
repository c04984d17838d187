//! Any bytes as a compiled plan: refused, or a model that answers or says why not.

#![no_main]

mod probe;

use bytes::Bytes;
use dunlin_engine::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let plan = Bytes::copy_from_slice(data);
    if let Ok(model) = Model::load_plan("fuzzed", &plan, None, &probe::options()) {
        probe::run(&model);
    }
});

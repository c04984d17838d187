//! What the suites share: the cases that `data/make.py` wrote.

// Each suite compiles this file for itself and uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};

use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{Datatype, NamedTensor, Tensor};
use half::{bf16, f16};
use serde_json::Value;

/// The folder of the cases.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Every case of the folder, by name.
pub fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).expect("the folder");
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let path = file.expect("an entry").path();
            (path.extension()? == "onnx").then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
        .collect();
    names.sort();
    names
}

/// A model of this repository, by its path below `folder`.
pub fn load(path: &Path) -> Model {
    let onnx = std::fs::read(path).expect("the model is there").into();
    Model::load("test", onnx, &LoadOptions::default())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The inputs and the wanted outputs of a case.
pub fn case(name: &str) -> (Vec<NamedTensor>, Vec<NamedTensor>) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("a case");
    let case: Value = serde_json::from_str(&text).expect("JSON");
    (tensors(&case["inputs"]), tensors(&case["outputs"]))
}

fn tensors(list: &Value) -> Vec<NamedTensor> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(tensor)
        .collect()
}

fn tensor(value: &Value) -> NamedTensor {
    let list = value["data"].as_array().expect("data");
    let shape: Vec<usize> = serde_json::from_value(value["shape"].clone()).expect("a shape");
    let datatype: Datatype = value["datatype"]
        .as_str()
        .expect("text")
        .parse()
        .expect("known");
    macro_rules! numbers {
        ($type:ty, $as:ident) => {{
            let number = |value: &Value| value.$as().expect("a number") as $type;
            Tensor::from_vec(shape, list.iter().map(number).collect::<Vec<$type>>())
        }};
    }
    let tensor = match datatype {
        Datatype::Bool => {
            let yes = |value: &Value| value.as_bool().expect("a bool");
            Tensor::from_vec(shape, list.iter().map(yes).collect::<Vec<bool>>())
        }
        Datatype::Fp16 => {
            let half = |value: &Value| f16::from_bits(value.as_u64().expect("bits") as u16);
            Tensor::from_vec(shape, list.iter().map(half).collect::<Vec<f16>>())
        }
        Datatype::Uint8 => numbers!(u8, as_u64),
        Datatype::Uint16 => numbers!(u16, as_u64),
        Datatype::Uint32 => numbers!(u32, as_u64),
        Datatype::Uint64 => numbers!(u64, as_u64),
        Datatype::Int8 => numbers!(i8, as_i64),
        Datatype::Int16 => numbers!(i16, as_i64),
        Datatype::Int32 => numbers!(i32, as_i64),
        Datatype::Int64 => numbers!(i64, as_i64),
        Datatype::Fp32 => numbers!(f32, as_f64),
        Datatype::Fp64 => numbers!(f64, as_f64),
        Datatype::Bytes => {
            Tensor::from_strings(shape, list.iter().map(|text| text.as_str().expect("text")))
        }
        Datatype::Bf16 => {
            let brain = |value: &Value| bf16::from_bits(value.as_u64().expect("bits") as u16);
            Tensor::from_vec(shape, list.iter().map(brain).collect::<Vec<bf16>>())
        }
    };
    NamedTensor::new(
        value["name"].as_str().expect("a name"),
        tensor.expect("a sound tensor"),
    )
}

/// How `got` differs from `wanted`, if it does: beyond 1e-5 for floats, at all for others.
pub fn difference(got: &[NamedTensor], wanted: &[NamedTensor]) -> Option<String> {
    if got.len() != wanted.len() {
        return Some(format!("{} outputs instead of {}", got.len(), wanted.len()));
    }
    got.iter().zip(wanted).find_map(|(got, wanted)| {
        let kind = |named: &NamedTensor| {
            (
                named.name.clone(),
                named.tensor.datatype(),
                named.tensor.shape().to_vec(),
            )
        };
        if kind(got) != kind(wanted) {
            return Some(format!("{:?} instead of {:?}", kind(got), kind(wanted)));
        }
        if wanted.tensor.datatype() != Datatype::Fp32 {
            return (got != wanted).then(|| format!("{got:?} instead of {wanted:?}"));
        }
        let values = |named: &NamedTensor| named.tensor.to_vec::<f32>().expect("FP32");
        let (got, wanted) = (values(got), values(wanted));
        let far = |(got, wanted): (&f32, &f32)| (got - wanted).abs() > 1e-5 * wanted.abs().max(1.0);
        got.iter()
            .zip(&wanted)
            .any(far)
            .then(|| format!("{got:?} instead of {wanted:?}"))
    })
}

//! Tensors of every datatype and any content pass through a model unchanged.

mod cases;

use cases::{folder, load};
use dunlin_protocol::{Element, NamedTensor, Tensor};
use half::f16;
use proptest::collection::vec;
use proptest::prelude::*;

/// Through the model that transposes `[n, 3]`, and back by hand.
fn passes<T: Element>(case: &str, values: &[T]) {
    let model = load(&folder().join(format!("transpose_{case}.onnx")));
    let rows = values.len() / 3;
    let values = &values[..rows * 3];
    let tensor = Tensor::from_vec(vec![rows, 3], values.to_vec()).expect("sound");
    let x = NamedTensor::new("x", tensor.clone());
    let outputs = model.run(vec![x]).expect("a run");
    assert_eq!(outputs[0].tensor.shape(), [3, rows]);
    let turned = outputs[0].tensor.to_vec::<T>().expect("the same datatype");
    let back: Vec<T> = (0..rows * 3)
        .map(|at| turned[at % 3 * rows + at / 3])
        .collect();
    let back = Tensor::from_vec(vec![rows, 3], back).expect("sound");
    // Bytes, so that a NaN equals itself.
    assert_eq!(back.data(), tensor.data());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn integers(
        u8s in vec(any::<u8>(), 3..40), u16s in vec(any::<u16>(), 3..40),
        u32s in vec(any::<u32>(), 3..40), u64s in vec(any::<u64>(), 3..40),
        i8s in vec(any::<i8>(), 3..40), i16s in vec(any::<i16>(), 3..40),
        i32s in vec(any::<i32>(), 3..40), i64s in vec(any::<i64>(), 3..40),
        bools in vec(any::<bool>(), 3..40),
    ) {
        passes("uint8", &u8s);
        passes("uint16", &u16s);
        passes("uint32", &u32s);
        passes("uint64", &u64s);
        passes("int8", &i8s);
        passes("int16", &i16s);
        passes("int32", &i32s);
        passes("int64", &i64s);
        passes("bool", &bools);
    }

    #[test]
    fn floats(halves in vec(any::<u16>(), 3..40), singles in vec(any::<u32>(), 3..40), doubles in vec(any::<u64>(), 3..40)) {
        passes("float16", &halves.into_iter().map(f16::from_bits).collect::<Vec<_>>());
        passes("float32", &singles.into_iter().map(f32::from_bits).collect::<Vec<_>>());
        passes("float64", &doubles.into_iter().map(f64::from_bits).collect::<Vec<_>>());
    }
}

/// Data that lies askew in a request's body is as good as aligned data.
#[test]
fn unaligned_bytes() {
    let model = load(&folder().join("transpose_float64.onnx"));
    let mut body = vec![0xaa];
    body.extend((0..6).flat_map(|value| f64::from(value).to_le_bytes()));
    let data = bytes::Bytes::from(body).slice(1..);
    let tensor = Tensor::new(dunlin_protocol::Datatype::Fp64, vec![2, 3], data).expect("sound");
    let outputs = model
        .run(vec![NamedTensor::new("x", tensor)])
        .expect("a run");
    let values = outputs[0].tensor.to_vec::<f64>().expect("FP64");
    assert_eq!(values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

//! The built-in sample, on the handwriting it comes with.

mod cases;

use std::path::Path;

use cases::load;
use dunlin_protocol::{NamedTensor, Tensor};

#[test]
fn digits_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/digits");
    let model = load(&folder.join("model.onnx"));
    let [input] = model.inputs() else {
        panic!("{:?}", model.inputs())
    };
    assert_eq!(input.shape[1..], [1, 28, 28], "{input:?}");
    let mut batch = Vec::new();
    let mut singles = Vec::new();
    for digit in 0..10 {
        let pixels = picture(&folder.join(format!("examples/{digit}.png")));
        let tensor = Tensor::from_vec(vec![1, 1, 28, 28], pixels.clone()).expect("a picture");
        let outputs = model
            .run(vec![NamedTensor::new(input.name.clone(), tensor)])
            .expect("a run");
        let scores = outputs[0].tensor.to_vec::<f32>().expect("FP32");
        assert_eq!(largest(&scores), digit, "{scores:?}");
        batch.extend(pixels);
        singles.extend(scores);
    }
    let tensor = Tensor::from_vec(vec![10, 1, 28, 28], batch).expect("ten pictures");
    let outputs = model
        .run(vec![NamedTensor::new(input.name.clone(), tensor)])
        .expect("a run");
    assert_eq!(outputs[0].tensor.shape()[0], 10);
    let scores = outputs[0].tensor.to_vec::<f32>().expect("FP32");
    let apart = scores
        .iter()
        .zip(&singles)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(apart < 1e-4, "{apart}");
}

fn largest(scores: &[f32]) -> usize {
    let scores = scores.iter().enumerate();
    scores.max_by(|a, b| a.1.total_cmp(b.1)).expect("scores").0
}

/// The grey pixels of a PNG, as the model takes them: 0 to 1.
fn picture(path: &Path) -> Vec<f32> {
    let picture = image::open(path).expect("a picture").into_luma8();
    assert_eq!(picture.dimensions(), (28, 28));
    picture
        .into_raw()
        .into_iter()
        .map(|pixel| f32::from(pixel) / 255.0)
        .collect()
}

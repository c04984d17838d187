//! Vectors out.

use bytes::Bytes;
use dunlin_protocol::{Datatype, NamedTensor, Tensor};
use dunlin_transforms::{Asked, ErrorKind, Files, Limits, Pipeline, Prediction, Result, Spec};
use serde_json::json;

use super::metadata;
use super::texts::{bert, tokenizer};

fn pipeline(options: &str, shape: &[i64]) -> Result<Pipeline> {
    let text = format!("input = {{ kind = 'text' }}\n[output]\nkind = 'embedding'\n{options}");
    let spec: Spec = toml::from_str(&text).unwrap();
    let outputs = [metadata("states", Datatype::Fp32, shape)];
    let files = Files {
        labels: Vec::new(),
        tokenizer: Some(tokenizer("bpe")),
    };
    Pipeline::new(&spec, &bert(-1), &outputs, files, Limits::default())
}

fn states(shape: &[usize], values: Vec<f32>) -> Vec<NamedTensor> {
    vec![NamedTensor::new(
        "states",
        Tensor::from_vec(shape.to_vec(), values).unwrap(),
    )]
}

/// What was asked, and states of two values a token: padding is far off.
fn asked(pipeline: &Pipeline, texts: &[&str]) -> (Asked, Vec<NamedTensor>) {
    let body = Bytes::from(json!({"texts": texts}).to_string());
    let decoded = pipeline.decode(&body, None).unwrap();
    let mask = decoded
        .inputs
        .iter()
        .find(|input| input.name == "attention_mask");
    let mask = &mask.unwrap().tensor;
    let shape = [mask.shape(), &[2]].concat();
    let ids = decoded.inputs[0].tensor.to_vec::<i64>().unwrap();
    let mask = mask.to_vec::<i64>().unwrap();
    let state = |(&id, &real): (&i64, &i64)| match real {
        1 => [id as f32, 1.0],
        _ => [1e6, -1e6],
    };
    let values = ids.iter().zip(&mask).flat_map(state).collect();
    (decoded.asked, states(&shape, values))
}

fn vectors(pipeline: &Pipeline, texts: &[&str]) -> Vec<Vec<f32>> {
    let (asked, outputs) = asked(pipeline, texts);
    match pipeline.encode(&asked, &outputs).unwrap() {
        Prediction::Embeddings { embeddings } => embeddings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_means_the_same_alone_and_among_others() {
    for options in ["", "pooling = 'mean'\nnormalize = false", "pooling = 'cls'"] {
        let pipeline = pipeline(options, &[-1, -1, 2]).unwrap();
        let texts = ["a bird", "The dunlin flies over the mudflats.", ""];
        let together = vectors(&pipeline, &texts);
        for (text, vector) in texts.iter().zip(&together) {
            assert_eq!(
                &vectors(&pipeline, &[text])[0],
                vector,
                "{options} {text:?}"
            );
        }
        // The first token is the same of all texts here.
        assert_eq!(together[0] == together[1], options.contains("cls"));
    }
}

#[test]
fn vectors_are_pooled_and_one_long() {
    let states = states(&[1, 2, 2], vec![3.0, 8.0, 3.0, 0.0]);
    let cases = [
        ("", json!([0.6, 0.8])),
        ("normalize = false", json!([3.0, 4.0])),
        ("pooling = 'cls'\nnormalize = false", json!([3.0, 8.0])),
    ];
    for (options, want) in cases {
        let pipeline = pipeline(options, &[-1, -1, 2]).unwrap();
        // No mask came: all tokens are the text's own.
        let asked = pipeline.of_tensors(Vec::new()).asked;
        let answer = pipeline.encode(&asked, &states).unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        let got: Vec<f32> = serde_json::from_value(answer["embeddings"][0].clone()).unwrap();
        let want: Vec<f32> = serde_json::from_value(want).unwrap();
        assert_eq!(got, want, "{options}");
    }
    let pooled = pipeline("", &[-1, 2]).unwrap();
    let answer = pooled.encode(
        &Asked::default(),
        &self::states(&[2, 2], vec![0.0, 2.0, 0.0, 0.0]),
    );
    assert_eq!(
        serde_json::to_value(answer.unwrap()).unwrap(),
        json!({"embeddings": [[0.0, 1.0], [0.0, 0.0]]})
    );
    let one = pooled
        .decode(&Bytes::from_static(b"a bird"), None)
        .unwrap()
        .asked;
    let answer = pooled
        .encode(&one, &self::states(&[1, 2], vec![0.0, 2.0]))
        .unwrap();
    assert_eq!(
        serde_json::to_value(answer).unwrap(),
        json!({"embedding": [0.0, 1.0]})
    );
}

#[test]
fn outputs_that_hold_no_vectors_are_refused() {
    for (options, shape) in [
        ("pooling = 'none'", &[-1, -1, 2][..]),
        ("pooling = 'mean'", &[-1, 2]),
        ("", &[-1]),
    ] {
        let error = pipeline(options, shape).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec, "{error}");
        assert!(
            error.to_string().contains("an embedding with pooling"),
            "{error}"
        );
    }
    let pipeline = pipeline("", &[-1, -1, 2]).unwrap();
    let (asked, _) = asked(&pipeline, &["a bird"]);
    for (outputs, says) in [
        (states(&[1, 1, 2], vec![1.0; 2]), "one vector for each of"),
        (states(&[1, 2], vec![1.0; 2]), "shape [1, 2]"),
        (Vec::new(), "no output \"states\""),
    ] {
        let error = pipeline.encode(&asked, &outputs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOutput);
        assert!(error.to_string().contains(says), "{error}");
    }
    let nan = pipeline.encode(&Asked::default(), &states(&[1, 1, 2], vec![f32::NAN, 0.0]));
    assert!(nan.unwrap_err().to_string().contains("is NaN"));
}

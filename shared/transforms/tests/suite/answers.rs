//! Outputs to answers.

use bytes::Bytes;
use dunlin_protocol::{Datatype, NamedTensor, Tensor};
use dunlin_transforms::{Asked, ErrorKind, Files, Limits, Pipeline, Prediction, Spec, classify};
use half::f16;

use super::{metadata, sample};

fn pipeline(input: &str, output: &str, labels: &[&str]) -> Pipeline {
    let spec: Spec = toml::from_str(&format!("{input}\n[output]\n{output}")).unwrap();
    let inputs = [metadata("pixels", Datatype::Fp32, &[-1, 3, 8, 8])];
    let outputs = [metadata("logits", Datatype::Fp32, &[-1, -1])];
    let labels = labels.iter().map(ToString::to_string).collect();
    let files = Files {
        labels,
        tokenizer: None,
    };
    Pipeline::new(&spec, &inputs, &outputs, files, Limits::default()).unwrap()
}

/// What is asked with one picture.
fn one_picture() -> Asked {
    let any = pipeline(PICTURE, "kind = 'classification'", &[]);
    any.decode(&sample("rgb.png"), None).unwrap().asked
}

fn logits(shape: &[usize], values: &[f32]) -> Vec<NamedTensor> {
    let tensor = Tensor::from_vec(shape.to_vec(), values.to_vec()).unwrap();
    vec![NamedTensor::new("logits", tensor)]
}

const PICTURE: &str = "[input]\nkind = 'image'";

#[test]
fn classes_come_best_first() {
    struct Case {
        output: &'static str,
        labels: &'static [&'static str],
        scores: &'static [f32],
        want: &'static [(usize, f32)],
    }
    let case = |output, labels, scores, want| Case {
        output,
        labels,
        scores,
        want,
    };
    let abc = &["a", "b", "c"];
    let cases = [
        case("", abc, &[1.0, 3.0, 2.0], &[(1, 3.0), (2, 2.0), (0, 1.0)]),
        case("top_k = 1", &[], &[-5.0, -3.0, -4.0], &[(1, -3.0)]),
        case("top_k = 9", &[], &[0.5, 1.0], &[(1, 1.0), (0, 0.5)]),
        case("", abc, &[2.0, 2.0, 2.0], &[(0, 2.0), (1, 2.0), (2, 2.0)]),
        case(
            "threshold = 1.5",
            abc,
            &[1.0, 3.0, 2.0],
            &[(1, 3.0), (2, 2.0)],
        ),
        case(
            "activation = 'softmax'",
            abc,
            &[1000.0, 1000.0, f32::NEG_INFINITY],
            &[(0, 0.5), (1, 0.5), (2, 0.0)],
        ),
        case(
            "activation = 'softmax'\ntop_k = 1",
            abc,
            &[1.0, 2.0, 3.0],
            &[(2, 0.665_240_94)],
        ),
        case(
            "activation = 'sigmoid'",
            abc,
            &[-1.0, 0.0, 2.0],
            &[(2, 0.880_797_1), (1, 0.5)],
        ),
        case("activation = 'sigmoid'", abc, &[-100.0, -2.0, -1.0], &[]),
        case(
            "activation = 'sigmoid'\nthreshold = 0\ntop_k = 2",
            abc,
            &[-1000.0, 1000.0, 0.0],
            &[(1, 1.0), (2, 0.5)],
        ),
    ];
    for case in cases {
        let output = format!("kind = 'classification'\n{}", case.output);
        let pipeline = pipeline(PICTURE, &output, case.labels);
        let outputs = logits(&[1, case.scores.len()], case.scores);
        let Prediction::Classes { predictions } =
            pipeline.encode(&one_picture(), &outputs).unwrap()
        else {
            panic!("{output}: a picture is answered with classes")
        };
        let got: Vec<usize> = predictions.iter().map(|class| class.index).collect();
        let want: Vec<usize> = case.want.iter().map(|&(index, _)| index).collect();
        assert_eq!(got, want, "{output} {:?}", case.scores);
        for (class, &(index, score)) in predictions.iter().zip(case.want) {
            assert!(
                (class.score - score).abs() < 1e-6,
                "{output}: {class:?}, not {score}"
            );
            assert_eq!(class.label.as_deref(), case.labels.get(index).copied());
        }
    }
}

#[test]
fn the_answer_is_small_json() {
    let output = "kind = 'classification'\nactivation = 'softmax'\ntop_k = 1";
    let picture = pipeline(PICTURE, output, &["cat", "dog"]);
    let answer = picture.encode(&one_picture(), &logits(&[1, 2], &[0.0, 0.0]));
    let answer = answer.unwrap();
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"predictions":[{"label":"cat","index":0,"score":0.5}]}"#
    );
    assert_eq!(answer.top().unwrap().label.as_deref(), Some("cat"));

    let tensors = pipeline("", output, &[]);
    let answer = tensors
        .encode(&Asked::default(), &logits(&[2, 2], &[0.0, 0.0, 0.0, 200.0]))
        .unwrap();
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"predictions":[[{"index":0,"score":0.5}],[{"index":1,"score":1.0}]]}"#
    );
}

#[test]
fn tensors_pass_as_they_are() {
    let spec = Spec::default();
    let pipeline = Pipeline::new(&spec, &[], &[], Files::default(), Limits::default()).unwrap();
    let body = br#"{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1.5,-2]}]}"#;
    let body = Bytes::from_static(body);
    for content_type in [None, Some("application/json; charset=utf-8")] {
        let inputs = pipeline.decode(&body, content_type).unwrap().inputs;
        assert_eq!(inputs[0].name, "x");
        assert_eq!(inputs[0].tensor.to_vec::<f32>().unwrap(), [1.5, -2.0]);
    }
    let error = pipeline.decode(&body, Some("image/png")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedMedia);
    assert!(error.to_string().contains("application/json"), "{error}");

    let answer = pipeline.encode(&Asked::default(), &logits(&[1, 2], &[0.5, 2.0]));
    let answer = answer.unwrap();
    let answer: serde_json::Value =
        serde_json::from_str(&serde_json::to_string(&answer).unwrap()).unwrap();
    assert_eq!(answer["outputs"][0]["name"], "logits");
    assert_eq!(answer["outputs"][0]["data"], serde_json::json!([0.5, 2.0]));
}

#[test]
fn outputs_that_break_the_promise_are_errors() {
    let output = "kind = 'classification'\nactivation = 'softmax'";
    let pipeline = pipeline(PICTURE, output, &["a", "b"]);
    let named = |name: &str, tensor: Tensor| vec![NamedTensor::new(name, tensor)];
    let floats = |shape: &[usize]| {
        Tensor::from_vec(shape.to_vec(), vec![0_f32; shape.iter().product()]).unwrap()
    };
    let cases = [
        (named("other", floats(&[1, 2])), "no output \"logits\""),
        (
            named("logits", floats(&[1, 2, 2])),
            "more than one dimension",
        ),
        (
            named("logits", floats(&[1, 3])),
            "3 classes, and there are 2 labels",
        ),
        (logits(&[1, 2], &[f32::NAN, 0.0]), "no number"),
        (logits(&[1, 2], &[f32::INFINITY, 0.0]), "no number"),
        (
            named(
                "logits",
                Tensor::from_strings(vec![1, 2], ["x", "y"]).unwrap(),
            ),
            "BYTES",
        ),
    ];
    for (outputs, says) in cases {
        let error = pipeline.encode(&Asked::default(), &outputs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOutput, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn classification_strings_are_those_of_triton() {
    struct Case<'a> {
        tensor: &'a Tensor,
        count: usize,
        labels: &'a [String],
        shape: &'a [usize],
        want: &'a [&'a str],
    }
    let labels = ["cat".to_owned(), "dog".to_owned(), "emu".to_owned()];
    let floats = Tensor::from_vec(vec![2, 3], vec![0.1_f32, 0.7, 0.2, 3.0, 1.0, 2.0]).unwrap();
    let halves = Tensor::from_vec(vec![3], [1.0, 0.5, 2.0].map(f16::from_f32).to_vec()).unwrap();
    let squeezed = Tensor::from_vec(vec![1, 3, 1, 1], vec![3_u8, 200, 7]).unwrap();
    let case = |tensor, count, labels, shape, want| Case {
        tensor,
        count,
        labels,
        shape,
        want,
    };
    let best_two = ["0.700000:1", "0.200000:2", "3.000000:0", "2.000000:2"];
    let all = ["2.000000:2", "1.000000:0", "0.500000:1"];
    let cases = [
        case(
            &floats,
            1,
            &labels[..],
            &[2, 1][..],
            &["0.700000:1:dog", "3.000000:0:cat"][..],
        ),
        case(&floats, 2, &[], &[2, 2], &best_two),
        case(&halves, 1, &labels, &[1], &["2.000000:2:emu"]),
        case(&halves, 99, &[], &[3], &all),
        case(&squeezed, 2, &labels, &[1, 2], &["200:1:dog", "7:2:emu"]),
    ];
    for case in cases {
        let classes = classify(case.tensor, case.count, case.labels).unwrap();
        assert_eq!(classes.shape(), case.shape);
        let strings = classes.strings().unwrap();
        let strings: Vec<&[u8]> = strings.iter().map(AsRef::as_ref).collect();
        let want: Vec<&[u8]> = case.want.iter().map(|want| want.as_bytes()).collect();
        assert_eq!(strings, want);
    }
}

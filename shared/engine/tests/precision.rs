//! Models at other precisions: as good as they can be, smaller, and with a plan.

mod cases;

use bytes::Bytes;
use cases::{case, folder};
use dunlin_engine::{ErrorKind, Limits, LoadOptions, Model, inspect, precision};
use dunlin_protocol::NamedTensor;

const CASES: [&str; 3] = [
    "precision_pictures_10",
    "precision_pictures_17",
    "precision_text",
];

fn onnx(name: &str) -> Bytes {
    let path = folder().join(format!("{name}.onnx"));
    std::fs::read(path).expect("a case").into()
}

/// The distance of the first output from the wanted one, by the length of the wanted one.
fn error(got: &[NamedTensor], wanted: &[NamedTensor]) -> f32 {
    let values = |named: &[NamedTensor]| named[0].tensor.to_vec::<f32>().expect("FP32");
    let (got, wanted) = (values(got), values(wanted));
    assert_eq!(got.len(), wanted.len());
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let apart = length(&mut got.iter().zip(&wanted).map(|(a, b)| a - b));
    apart / length(&mut wanted.iter().copied())
}

/// Runs a rewritten model and its plan; gives the error of both.
fn errors(name: &str, onnx: &Bytes) -> [f32; 2] {
    let (inputs, wanted) = case(name);
    let options = LoadOptions::default();
    let model = Model::load(name, onnx.clone(), &options).expect("a model");
    let graph = model.run(inputs.clone()).expect("a run");
    let plan = model.compile().expect("a plan");
    let plan = Model::load_plan(name, &plan, None, &options).expect("its plan");
    let planned = plan.run(inputs).expect("a run");
    [error(&graph, &wanted), error(&planned, &wanted)]
}

#[test]
fn half_precision_halves_the_file() {
    for name in CASES {
        let source = onnx(name);
        let half = precision::half(name, &source, &Limits::default()).expect("half precision");
        assert!(half.len() * 10 < source.len() * 6, "{name}: {}", half.len());
        for error in errors(name, &half) {
            assert!(error < 1e-3, "{name}: {error}");
        }
    }
}

#[test]
fn half_precision_halves_the_plan() {
    for name in CASES {
        let plan = |onnx: Bytes| {
            let model = Model::load(name, onnx, &LoadOptions::default()).expect("a model");
            model.run(case(name).0).expect("a run");
            model.compile().expect("a plan").len()
        };
        let half = precision::half(name, &onnx(name), &Limits::default()).expect("half precision");
        let (whole, half) = (plan(onnx(name)), plan(half));
        assert!(half * 10 < whole * 7, "{name}: {half} of {whole}");
    }
}

#[test]
fn eight_bits_are_a_third_of_the_file() {
    for name in CASES {
        let source = onnx(name);
        let examples = [case(name).0];
        let int8 = precision::int8(name, &source, &examples, &Limits::default()).expect("int8");
        assert!(int8.len() * 5 < source.len() * 2, "{name}: {}", int8.len());
        for error in errors(name, &int8) {
            assert!(error < 0.03, "{name}: {error}");
        }
    }
}

#[test]
fn normalization_goes_into_the_weights() {
    for name in &CASES[..2] {
        let examples = [case(name).0];
        let int8 = precision::int8(name, &onnx(name), &examples, &Limits::default()).expect("int8");
        let report = inspect(name, &int8, &Limits::default()).expect("a report");
        assert!(
            !report.ops.contains_key("BatchNormalization"),
            "{:?}",
            report.ops
        );
        assert_eq!(report.ops["QuantizeLinear"], 2, "{:?}", report.ops);
        assert_eq!(report.ops["MatMulInteger"], 1, "{:?}", report.ops);
    }
}

#[test]
fn convolutions_want_examples() {
    let name = CASES[1];
    let int8 = precision::int8(name, &onnx(name), &[], &Limits::default()).expect("int8");
    let report = inspect(name, &int8, &Limits::default()).expect("a report");
    assert!(
        !report.ops.contains_key("QuantizeLinear"),
        "{:?}",
        report.ops
    );
    assert_eq!(report.ops["MatMulInteger"], 1, "{:?}", report.ops);
}

#[test]
fn a_model_without_weights_stays_as_it_is() {
    let name = "transpose_float32";
    let source = onnx(name);
    let limits = Limits::default();
    let half = precision::half(name, &source, &limits).expect_err("nothing to do");
    let int8 = precision::int8(name, &source, &[case(name).0], &limits).expect_err("nothing to do");
    for error in [half, int8] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("no weights"), "{error}");
    }
}

#[test]
fn hostile_files_are_refused() {
    let limits = Limits::default();
    for file in std::fs::read_dir(folder().join("unfit")).expect("the folder") {
        let path = file.expect("an entry").path();
        let onnx: Bytes = std::fs::read(&path).expect("a file").into();
        // Some are sound files that the engine lacks an operator for: those may be rewritten.
        let _ = precision::half("hostile", &onnx, &limits);
        let _ = precision::int8("hostile", &onnx, &[], &limits);
        let cut = onnx.slice(..onnx.len() / 2);
        assert!(
            precision::half("hostile", &cut, &limits).is_err(),
            "{}",
            path.display()
        );
        assert!(
            precision::int8("hostile", &cut, &[], &limits).is_err(),
            "{}",
            path.display()
        );
    }
}

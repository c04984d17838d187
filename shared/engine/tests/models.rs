//! Small models against answers known to be right: see `data/make.py`.

mod cases;

use std::sync::Arc;

use cases::{case, difference, folder, load, names};
use dunlin_engine::{ErrorKind, Limits, LoadOptions, Model, inspect};
use dunlin_protocol::{NamedTensor, Tensor};

#[test]
fn every_case_gives_the_right_answer() {
    let mut failures = Vec::new();
    let names = names();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let (inputs, wanted) = case(&name);
        let onnx = std::fs::read(folder().join(format!("{name}.onnx")))
            .expect("a model")
            .into();
        let model = match Model::load(&name, onnx, &LoadOptions::default()) {
            Ok(model) => model,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        // Twice: what a first run sets up must not change the second.
        for round in 1..=2 {
            match model.run(inputs.clone()) {
                Ok(got) => failures.extend(
                    difference(&got, &wanted).map(|text| format!("{name} {round}: {text}")),
                ),
                Err(error) => failures.push(error.to_string()),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs a case's rows `0..len` for batches of different sizes, in an order that makes batches grow
/// and shrink.
#[test]
fn batches_of_all_sizes_give_the_right_rows() {
    let (inputs, wanted) = case("batch_of_items");
    let model = load(&folder().join("batch_of_items.onnx"));
    for len in [1, 7, 2, 3, 5, 4, 6, 7] {
        let got = model.run(vec![rows(&inputs[0], len)]).expect("a run");
        assert_eq!(
            difference(&got, &[rows(&wanted[0], len)]),
            None,
            "{len} rows"
        );
    }
}

/// A batch whose items see each other, or whose outputs are no rows of it, runs whole.
#[test]
fn a_batch_is_split_only_where_that_is_right() {
    for name in ["batch_as_one", "batch_summed"] {
        let (inputs, wanted) = case(name);
        let model = load(&folder().join(format!("{name}.onnx")));
        for _ in 0..3 {
            let got = model.run(inputs.clone()).expect("a run");
            assert_eq!(difference(&got, &wanted), None, "{name}");
        }
    }
}

fn rows(whole: &NamedTensor, len: usize) -> NamedTensor {
    let width = whole.tensor.shape()[1];
    let data = whole.tensor.data().slice(..len * width * 4);
    let tensor = Tensor::new(whole.tensor.datatype(), vec![len, width], data).expect("rows");
    NamedTensor::new(whole.name.clone(), tensor)
}

#[test]
fn threads_share_a_model() {
    let (inputs, wanted) = case("batch_of_items");
    let model = Arc::new(load(&folder().join("batch_of_items.onnx")));
    let threads: Vec<_> = (0..4_usize)
        .map(|thread| {
            let (model, inputs, wanted) = (Arc::clone(&model), inputs.clone(), wanted.clone());
            std::thread::spawn(move || {
                for round in 0..25 {
                    let len = 1 + (thread + round) % 7;
                    let got = model.run(vec![rows(&inputs[0], len)]).expect("a run");
                    assert_eq!(difference(&got, &[rows(&wanted[0], len)]), None);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

#[test]
fn inputs_that_do_not_fit_are_told_apart() {
    let model = load(&folder().join("two_inputs.onnx"));
    assert_eq!(
        model.outputs()[0].shape,
        [-1, 4],
        "inferred, the file tells none"
    );
    let x = |name: &str, shape: &[usize]| {
        let len = shape.iter().product();
        NamedTensor::new(
            name,
            Tensor::from_vec(shape.to_vec(), vec![1_f32; len]).expect("sound"),
        )
    };
    let (a, b) = (x("a", &[2, 4]), x("b", &[2, 4]));
    let ints = NamedTensor::new(
        "b",
        Tensor::from_vec(vec![2, 4], vec![1_i32; 8]).expect("sound"),
    );
    let cases = [
        ("missing", vec![a.clone()], "input \"b\" is missing"),
        (
            "unknown",
            vec![a.clone(), b.clone(), x("c", &[1])],
            "no input \"c\"",
        ),
        ("twice", vec![a.clone(), a.clone()], "given twice"),
        (
            "datatype",
            vec![a.clone(), ints],
            "is INT32; the model takes FP32",
        ),
        (
            "shape",
            vec![a.clone(), x("b", &[2, 5])],
            "shape [2, 5]; the model takes [-1, 4]",
        ),
        ("rank", vec![a.clone(), x("b", &[8])], "shape [8]"),
        (
            "contradiction",
            vec![a.clone(), x("b", &[3, 4])],
            "[[2, 4], [3, 4]]",
        ),
    ];
    for (name, inputs, says) in cases {
        let error = model.run(inputs).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert_eq!(error.model(), "test", "{name}");
    }
    // The order of inputs doesn't matter, and a failed run spoils nothing.
    assert!(model.run(vec![b, a]).is_ok());
}

#[test]
fn the_limit_on_elements_holds_for_inputs() {
    let onnx = std::fs::read(folder().join("batch_of_items.onnx"))
        .expect("a model")
        .into();
    let mut options = LoadOptions::default();
    options.limits.tensor_elements = 64;
    let model = Model::load("small", onnx, &options).expect("a model");
    let x = |rows: usize| {
        let tensor = Tensor::from_vec(vec![rows, 8], vec![0_f32; 8 * rows]).expect("sound");
        vec![NamedTensor::new("x", tensor)]
    };
    assert!(model.run(x(8)).is_ok());
    assert_eq!(
        model.run(x(9)).expect_err("too many").kind(),
        ErrorKind::TooLarge
    );
}

#[test]
fn a_profile_names_nodes() {
    let (inputs, _) = case("batch_of_items");
    let model = load(&folder().join("batch_of_items.onnx"));
    let profile = model.profile(inputs).expect("a profile");
    assert!(
        profile
            .iter()
            .any(|time| time.op == "MatrixProduct" && time.runs > 0),
        "{profile:?}"
    );
    assert!(profile.iter().all(|time| time.micros >= 0.0));
}

#[test]
fn memory_follows_the_plans() {
    let (inputs, _) = case("batch_as_one");
    let model = load(&folder().join("batch_as_one.onnx"));
    let before = model.memory_bytes();
    assert!(before > 0);
    model.run(inputs).expect("a run");
    assert!(model.memory_bytes() > before);
}

#[test]
fn a_report_tells_what_is_in_the_file() {
    let onnx = std::fs::read(folder().join("lstm_reverse.onnx"))
        .expect("a model")
        .into();
    let report = inspect("lstm", &onnx, &Limits::default()).expect("a report");
    assert_eq!(
        report.ops.iter().collect::<Vec<_>>(),
        [(&"LSTM".to_owned(), &1)]
    );
    assert_eq!((report.nodes, report.opset, report.ir_version), (1, 17, 8));
    assert_eq!(report.producer, "make.py");
    assert_eq!(report.parameters, 16 * 3 + 16 * 4 + 32 + 2 * 4 + 2 * 4);
    assert_eq!(report.inputs[0].shape, [5, 2, 3]);
    assert_eq!(report.outputs.len(), 3);
    assert_eq!(report.size, onnx.len() as u64);
    assert_eq!(report.problems, Vec::<String>::new());
}

/// What a model runs, by operator, in its order.
fn operators(name: &str) -> Vec<String> {
    let (inputs, _) = case(name);
    let model = load(&folder().join(format!("{name}.onnx")));
    let nodes = model.profile(inputs).expect("a run");
    nodes.into_iter().map(|node| node.op).collect()
}

#[test]
fn quantized_networks_run_on_bytes() {
    // Each with how many of its operators work on bytes at least: narrow blocks take the first layer too.
    for (name, operator, count) in [
        ("qdq_network", "IntegerConvolution", 5),
        ("qdq_network", "IntegerDepthwise", 1),
        ("qdq_network", "SumOfBytes", 2),
        ("qdq_network", "IntegerProduct", 1),
        ("qlinearconv", "IntegerConvolution", 2),
        ("matmul_of_bytes", "IntegerProduct", 1),
    ] {
        let operators = operators(name);
        let found = operators.iter().filter(|found| *found == operator).count();
        assert!(found >= count, "{name}: {operators:?}");
        let float = |found: &String| *found == "OptMatMul";
        assert!(!operators.iter().any(float), "{operators:?}");
    }
}

#[test]
fn the_branch_that_does_not_fit_is_told() {
    let name = "if_one_branch_fits_3";
    let model = load(&folder().join(format!("{name}.onnx")));
    let (mut inputs, _) = case(name);
    let rate = inputs.iter_mut().find(|input| input.name == "rate");
    let five = Tensor::from_vec(vec![], vec![5_i64]).expect("sound");
    rate.expect("an input").tensor = five;
    let error = model
        .run(inputs)
        .expect_err("three numbers by five")
        .to_string();
    assert!(error.contains("can't run on their shapes"), "{error}");
}

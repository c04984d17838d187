//! Plans on disk: what was written down and read again is the model it was.

mod cases;

use std::time::Duration;

use bytes::Bytes;
use cases::{case, difference, folder, load, names};
use dunlin_engine::{ENGINE, ErrorKind, LoadOptions, Model};
use dunlin_protocol::{NamedTensor, Tensor};

/// Operators that no plan has a record for yet, by case. One that is mended must leave the list.
const WITHOUT_PLAN: [&str; 8] = [
    "contrib_qlinearleakyrelu",
    "contrib_qlinearsigmoid",
    "gru_lengths_bidirectional",
    "gru_lengths_reverse",
    "lstm_lengths_bidirectional",
    "lstm_lengths_reverse",
    "rnn_lengths_bidirectional",
    "rnn_lengths_reverse",
];

fn read(name: &str, plan: &Bytes) -> Result<Model, dunlin_engine::Error> {
    Model::load_plan(name, plan, None, &LoadOptions::default())
}

#[test]
fn a_plan_gives_the_same_answers_as_its_graph() {
    let mut failures = Vec::new();
    for name in names() {
        let (inputs, wanted) = case(&name);
        let model = load(&folder().join(format!("{name}.onnx")));
        model.run(inputs.clone()).expect("a run");
        let listed = WITHOUT_PLAN.contains(&name.as_str());
        let plan = match model.compile() {
            Ok(plan) if !listed => plan,
            Ok(_) => {
                failures.push(format!("{name}: has a plan now; take it off the list"));
                continue;
            }
            Err(_) if listed => continue,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let again = match read(&name, &plan) {
            Ok(again) => again,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        assert_eq!(again.inputs(), model.inputs(), "{name}");
        assert_eq!(again.outputs(), model.outputs(), "{name}");
        for round in 1..=2 {
            match again.run(inputs.clone()) {
                Ok(got) => failures.extend(
                    difference(&got, &wanted).map(|text| format!("{name} {round}: {text}")),
                ),
                Err(error) => failures.push(error.to_string()),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_was_measured_is_written_down() {
    let path = folder().join("../../../../models/digits/model.onnx");
    let model = load(&path);
    let pixels = (0..784).map(|at| (at * 37 % 101) as f32 / 101.0).collect();
    let tensor = Tensor::from_vec(vec![1, 1, 28, 28], pixels).expect("a picture");
    let image = vec![NamedTensor::new("image", tensor)];
    let wanted = model.run(image.clone()).expect("a run");
    let onnx = std::fs::read(path).expect("a file").into();
    model
        .tune(Some(&onnx), vec![image.clone()], Duration::from_millis(100))
        .expect("a choice");
    let tuned = model.run(image.clone()).expect("a run");
    let plan = read("digits", &model.compile().expect("a plan")).expect("sound");
    let got = plan.run(image).expect("a run");
    assert_eq!(got, tuned, "a plan runs the kernels that were chosen");
    assert_eq!(difference(&got, &wanted), None);
}

fn rows(len: usize) -> Vec<NamedTensor> {
    let values = (0..len * 8).map(|value| value as f32 / 7.0).collect();
    let tensor = Tensor::from_vec(vec![len, 8], values).expect("sound");
    vec![NamedTensor::new("x", tensor)]
}

fn small_plan() -> Bytes {
    let model = load(&folder().join("batch_of_items.onnx"));
    model.run(rows(4)).expect("a run");
    model.compile().expect("a plan")
}

#[test]
fn another_shape_needs_the_onnx_file() {
    let path = folder().join("batch_as_one.onnx");
    let onnx = Bytes::from(std::fs::read(&path).expect("a model"));
    let model = load(&path);
    let wanted = model.run(rows(3)).expect("a run");
    let plan = model.compile().expect("a plan");

    let alone = read("alone", &plan).expect("a model");
    let error = alone.run(rows(5)).expect_err("no plan for it");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("[3, 8]"), "{error}");

    let source = Box::new(move || Ok(onnx.clone()));
    let whole = Model::load_plan("whole", &plan, Some(source), &LoadOptions::default());
    let whole = whole.expect("a model");
    let before = whole.memory_bytes();
    assert_eq!(whole.run(rows(3)).expect("planned"), wanted);
    assert_eq!(whole.memory_bytes(), before, "the file was not needed");
    assert_eq!(
        whole.run(rows(5)).expect("from the file"),
        model.run(rows(5)).expect("a run")
    );
    assert!(whole.memory_bytes() > before);
}

#[test]
fn what_batches_need_is_in_the_plan() {
    let model = load(&folder().join("batch_of_items.onnx"));
    let wanted = model.run(rows(7)).expect("a run");
    let plan = model.compile().expect("a plan");
    let again = read("again", &plan).expect("a model");
    assert_eq!(
        difference(&again.run(rows(7)).expect("a run"), &wanted),
        None
    );
    assert_eq!(again.run(rows(1)).expect("a run").len(), 1);
}

/// Cut anywhere, or with any byte of its records changed, a plan is refused or gives an answer:
/// nothing panics, nothing reads what isn't there.
#[test]
fn damaged_plans_are_refused() {
    let plan = small_plan();
    for len in (0..plan.len()).step_by(7) {
        let error = read("cut", &plan.slice(..len)).expect_err("a part of a plan");
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{len}: {error}");
    }
    for at in 0..plan.len().min(2000) {
        let mut damaged = plan.to_vec();
        damaged[at] ^= 0x55;
        if let Ok(model) = read("damaged", &damaged.into()) {
            let _ = model.run(rows(4));
        }
    }
}

#[test]
fn a_plan_of_another_engine_or_machine_is_refused() {
    let plan = small_plan();
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = plan
            .windows(from.len())
            .position(|window| window == from.as_bytes());
        let at = at.expect("it is there");
        let mut other = plan.to_vec();
        other[at..at + from.len()].copy_from_slice(to.as_bytes());
        Bytes::from(other)
    };
    let (_, revision) = ENGINE.split_once('+').expect("a revision");
    let (revision, _) = revision.split_once(',').expect("and tract's version");
    let other = "z".repeat(revision.len());
    for (from, to) in [("tract 0.23.9", "tract 0.23.8"), (revision, &other)] {
        let engine = read("old", &replaced(from, to)).expect_err("refused");
        assert_eq!(engine.kind(), ErrorKind::Unsupported, "{to}");
        assert!(engine.to_string().contains("compile it again"), "{engine}");
    }
    let mut later = plan.to_vec();
    later[8] = 9;
    let version = read("later", &later.into()).expect_err("refused");
    assert_eq!(version.kind(), ErrorKind::Unsupported);
    assert!(
        version.to_string().contains("format version 9"),
        "{version}"
    );
}

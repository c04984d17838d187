//! Files that must be refused: with the right kind, the place, and in no time.

mod cases;

use cases::folder;
use dunlin_engine::{ErrorKind, Limits, LoadOptions, Model, inspect};

use ErrorKind::{InvalidModel, TooLarge, Unsupported};

#[test]
fn unfit_models_are_refused() {
    // File of `data/unfit`, kind, and what the message says.
    let cases = [
        ("cycle", InvalidModel, "cycle"),
        ("function_in_itself", TooLarge, "functions within functions"),
        ("functions_explode", TooLarge, "more than 20000 nodes"),
        (
            "gives_nothing",
            InvalidModel,
            "nothing gives the output \"y\"",
        ),
        ("grows_by_doubling", TooLarge, "(Concat)"),
        (
            "grows_from_a_constant",
            TooLarge,
            "\"n\" (ConstantOfShape): 1099511627776 elements",
        ),
        ("grows_from_an_input", TooLarge, "1099511627776 elements"),
        (
            "input_huge",
            TooLarge,
            "\"x\" (input): too many elements to count",
        ),
        ("input_twice", InvalidModel, "input \"x\" is given twice"),
        ("loop_too_long", Unsupported, "the limit is 1048576"),
        ("nested_deep", TooLarge, "subgraphs nest deeper than 8"),
        ("no_opset", InvalidModel, "operator set"),
        ("no_output", InvalidModel, "has no output"),
        ("other_domain", Unsupported, "domain \"com.example\""),
        (
            "reads_nothing",
            InvalidModel,
            "\"n\" (Add): it reads \"ghost\"",
        ),
        ("rnn_activation", Unsupported, "\"n\" (RNN): activations"),
        ("rnn_clip", Unsupported, "clip"),
        ("rnn_reverse_opset_9", Unsupported, "convert_version"),
        ("shapes_disagree", Unsupported, "\"n\" (Add)"),
        ("gather_without_indices", Unsupported, "(Gather)"),
        ("product_of_nothing", Unsupported, "(MatMul"),
        ("unknown_op", Unsupported, "\"n\" (ImageDecoder)"),
        ("value_twice", InvalidModel, "value \"y\" is given twice"),
        ("weight_float8", Unsupported, "FLOAT8E4M3FN"),
        ("weight_huge", TooLarge, "\"w\" (initializer)"),
        ("weight_negative", InvalidModel, "dimension -2 is negative"),
        ("weight_odd", InvalidModel, "7 bytes of 4-byte elements"),
        ("weight_outside", Unsupported, "merge all into one file"),
        (
            "weight_too_short",
            InvalidModel,
            "5 elements of raw data; shape [2, 3] takes 6",
        ),
        (
            "weight_twice",
            InvalidModel,
            "initializer \"w\" is given twice",
        ),
        ("weight_unknown_datatype", InvalidModel, "datatype 99"),
    ];
    let files = std::fs::read_dir(folder().join("unfit"))
        .expect("the folder")
        .count();
    assert_eq!(cases.len(), files, "each file is a case");
    let mut failures = Vec::new();
    for (name, kind, says) in cases {
        let path = folder().join(format!("unfit/{name}.onnx"));
        let onnx = std::fs::read(path).expect("a model").into();
        match Model::load(name, onnx, &LoadOptions::default()) {
            Ok(_) => failures.push(format!("{name}: loaded")),
            Err(error) => {
                let text = error.to_string();
                let sound = error.kind() == kind
                    && text.contains(says)
                    && text.starts_with(&format!("model {name}: "))
                    && text.len() < 700;
                if !sound {
                    failures.push(format!("{name}: {:?} {text}", error.kind()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_report_tells_what_the_engine_lacks() {
    let onnx = std::fs::read(folder().join("unfit/unknown_op.onnx"))
        .expect("a model")
        .into();
    let report = inspect("unknown_op", &onnx, &Limits::default()).expect("a report");
    assert_eq!(report.ops["ImageDecoder"], 1);
    assert_eq!(report.problems.len(), 1);
    assert!(
        report.problems[0].contains("(ImageDecoder)"),
        "{:?}",
        report.problems
    );
}

/// Cut anywhere, a model is refused, or still loads where only a tail of no consequence is gone;
/// it never panics and never aborts.
#[test]
fn a_truncated_file_is_refused() {
    let whole = std::fs::read(folder().join("batch_of_items.onnx")).expect("a model");
    let limits = Limits::default();
    for len in 0..whole.len() {
        let cut = whole[..len].to_vec().into();
        if let Err(error) = inspect("cut", &cut, &limits) {
            assert_eq!(error.kind(), InvalidModel, "{len} bytes: {error}");
        }
    }
    for garbage in [
        &b""[..],
        b"PK\x03\x04",
        b"{\"a\": 1}",
        &[0xff; 64],
        &[0; 64],
    ] {
        let error = inspect("garbage", &garbage.to_vec().into(), &limits).expect_err("garbage");
        assert_eq!(error.kind(), InvalidModel, "{error}");
    }
}

/// One byte changed anywhere: an error or a model, but no panic, no abort, no hang.
#[test]
fn a_damaged_file_does_no_harm() {
    for name in ["batch_of_items", "lstm_reverse_last"] {
        let whole = std::fs::read(folder().join(format!("{name}.onnx"))).expect("a model");
        for at in (0..whole.len()).step_by(5) {
            for flip in [0x01, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let _ = Model::load("damaged", damaged.into(), &LoadOptions::default());
            }
        }
    }
}

#[test]
fn the_limit_on_bytes_comes_first() {
    let onnx = std::fs::read(folder().join("batch_of_items.onnx"))
        .expect("a model")
        .into();
    let mut limits = Limits::default();
    limits.model_bytes = 10;
    let error = inspect("big", &onnx, &limits).expect_err("too big");
    assert_eq!(error.kind(), TooLarge);
    assert!(error.to_string().ends_with("the limit is 10"), "{error}");
}

//! Commands that come to an end: what they print, and their exit codes.

use std::fs;

use serde_json::Value;

use crate::exit::{INVALID, NOT_FOUND, OK, USAGE};
use crate::process::{Dunlin, digits};

#[test]
fn help_teaches_with_examples_and_every_command_has_its_own() {
    let dunlin = Dunlin::new();
    let help = dunlin.run(&["--help"], OK);
    for wanted in [
        "Examples:",
        "dunlin push resnet.onnx",
        "Exit codes:",
        "DUNLIN_STORE",
        "s3://",
    ] {
        assert!(help.out.contains(wanted), "{wanted}: {}", help.out);
    }
    for command in [
        "serve",
        "run",
        "batch",
        "push",
        "show",
        "rm",
        "gc",
        "key",
        "sign",
        "verify",
        "promote",
        "canary",
        "rollback",
        "alias",
        "inspect",
        "bench",
        "deploy",
        "doctor",
        "cost",
        "completions",
    ] {
        let help = dunlin.run(&[command, "--help"], OK);
        assert!(help.out.contains("Examples:"), "{command}: {}", help.out);
    }
    assert!(
        dunlin
            .run(&["completions", "bash"], OK)
            .out
            .contains("_dunlin")
    );
    let version = dunlin.run(&["version", "--json"], OK).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_model_is_pushed_listed_shown_and_deleted() {
    let dunlin = Dunlin::new();
    assert!(
        dunlin.run(&["ls"], OK).out.contains("dunlin push"),
        "an empty store says what to do"
    );
    assert_eq!(
        dunlin.run(&["ls", "--json"], OK).json(),
        serde_json::json!([])
    );

    let folder = digits("");
    let pushed = dunlin
        .run(&["push", &folder, "--alias", "production", "--json"], OK)
        .json();
    assert_eq!(
        (&pushed["model"], &pushed["version"]),
        (&"digits".into(), &1.into())
    );
    assert_eq!(
        dunlin.run(&["push", &folder, "--json"], OK).json()["version"],
        2
    );
    // A bare file is published under its own name, proven on inputs of our own.
    let copy = dunlin.folder.path().join("Plain Net.onnx");
    fs::copy(digits("model.onnx"), &copy).expect("a copy");
    let plain = dunlin
        .run(&["push", &copy.to_string_lossy(), "--json"], OK)
        .json();
    assert!(
        !plain["notes"].as_array().expect("notes").is_empty(),
        "{plain}"
    );
    let plain = plain["model"].as_str().expect("a name").to_owned();

    let list = dunlin.run(&["ls"], OK).out;
    assert!(
        list.contains("digits") && list.contains(&plain) && list.contains("production"),
        "{list}"
    );
    let shown = dunlin.run(&["show", "digits", "--json"], OK).json();
    assert_eq!(shown["versions"], serde_json::json!([1, 2]));
    assert_eq!(shown["aliases"]["production"]["1"], 1);
    assert_eq!(
        shown["manifest"]["version"], 1,
        "the bare name means production"
    );
    assert!(
        dunlin
            .run(&["show", "digits@2"], OK)
            .out
            .contains("FP32 [?, 1, 28, 28]")
    );

    dunlin.run(&["rm", "digits"], USAGE);
    dunlin.run(&["rm", "digits@production"], USAGE);
    let removed = dunlin.run(&["rm", "digits@1", "--json"], OK).json();
    assert_eq!(removed["aliases"], serde_json::json!(["production"]));
    dunlin.run(&["show", "digits@1"], NOT_FOUND);
    dunlin.run(&["rm", "digits"], OK);
    dunlin.run(&["rm", &plain, "--all"], OK);
    assert_eq!(
        dunlin.run(&["ls", "--json"], OK).json(),
        serde_json::json!([])
    );
}

#[test]
fn a_picture_from_a_file_or_a_pipe_is_answered_with_its_label() {
    let dunlin = Dunlin::new();
    dunlin.run(&["push", &digits(""), "--alias", "production"], OK);
    for digit in 0..10 {
        let picture = digits(&format!("examples/{digit}.png"));
        let answer = dunlin
            .run(&["run", "digits@production", &picture, "--json"], OK)
            .json();
        assert_eq!(
            answer["predictions"][0]["label"],
            digit.to_string(),
            "{answer}"
        );
    }
    let picture = digits("examples/3.png");
    let command = ["run", "digits", &picture, "--timing", "--json"];
    let times = dunlin.run(&command, OK).json()["timing_ms"].clone();
    for phase in ["resolve", "load", "decode", "infer", "encode"] {
        assert!(times[phase].is_f64(), "{phase}: {times}");
    }
    let table = dunlin.run(&command[..4], OK).out;
    assert!(table.contains("infer"), "{table}");
    let three = fs::read(picture).expect("a picture");
    let answer = dunlin.run_with(&["run", "digits", "-"], &three, OK).out;
    assert_eq!(
        answer
            .lines()
            .nth(1)
            .and_then(|line| line.split_whitespace().last()),
        Some("3"),
        "{answer}"
    );
}

#[test]
fn a_model_is_measured_and_looked_into() {
    let dunlin = Dunlin::new();
    dunlin.run(&["push", &digits("")], OK);
    let bench = [
        "bench",
        "digits",
        "--runs",
        "5",
        "--threads",
        "2",
        "--parallel",
        "3",
        "--profile",
        "--json",
    ];
    let measured = dunlin.run(&bench, OK).json();
    assert_eq!(
        (
            &measured["runs"],
            &measured["threads"],
            &measured["parallel"]
        ),
        (&15.into(), &2.into(), &3.into())
    );
    assert!(measured["median_ms"].as_f64().expect("a time") > 0.0);
    assert!(measured["min_ms"].as_f64() <= measured["p95_ms"].as_f64());
    assert!(!measured["profile"].as_array().expect("nodes").is_empty());
    let report = dunlin
        .run(&["inspect", &digits("model.onnx"), "--json"], OK)
        .json();
    assert_eq!(
        (&report["inputs"][0]["name"], &report["opset"]),
        (&"image".into(), &18.into())
    );
}

#[test]
fn mistakes_have_an_exit_code_and_one_line_that_names_them() {
    let dunlin = Dunlin::new();
    let at = |name: &str| {
        dunlin
            .folder
            .path()
            .join(name)
            .to_string_lossy()
            .into_owned()
    };
    fs::write(at("text.onnx"), "this is no model").expect("written");
    let onnx = fs::read(digits("model.onnx")).expect("the sample");
    fs::write(at("cut.onnx"), &onnx[..onnx.len() / 2]).expect("written");
    fs::write(at("text.npz"), "this is no archive").expect("written");
    fs::write(at("notes.txt"), "this is no picture").expect("written");
    fs::create_dir(at("empty")).expect("made");
    dunlin.run(&["push", &digits("")], OK);

    let (text, cut, archive, notes, empty) = (
        at("text.onnx"),
        at("cut.onnx"),
        at("text.npz"),
        at("notes.txt"),
        at("empty"),
    );
    let missing = at("missing.onnx");
    let model = digits("model.onnx");
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["frobnicate"], USAGE, "frobnicate"),
        (vec!["push"], USAGE, "PATH"),
        (vec!["show", "../etc/passwd"], USAGE, "'/'"),
        (vec!["show", "nothing"], NOT_FOUND, "nothing"),
        (vec!["show", "digits@7"], NOT_FOUND, "7"),
        (vec!["show", "digits@canary"], NOT_FOUND, "canary"),
        (
            vec!["run", "digits", "missing.png"],
            NOT_FOUND,
            "missing.png",
        ),
        (vec!["run", "digits", &notes], INVALID, "JPEG, PNG"),
        (vec!["run", "nothing", &notes], NOT_FOUND, "nothing"),
        (vec!["push", &missing], NOT_FOUND, "missing.onnx"),
        (vec!["push", &empty], NOT_FOUND, "model.toml"),
        (vec!["push", &text], INVALID, "text"),
        (vec!["push", &cut], INVALID, "cut"),
        (vec!["push", &model, "--name", "a/b"], INVALID, "a/b"),
        (vec!["inspect", &text], INVALID, "text"),
        (vec!["bench", &missing], NOT_FOUND, "missing.onnx"),
        (
            vec!["bench", "digits", "--inputs", &archive],
            INVALID,
            "text.npz",
        ),
        (
            vec!["bench", "digits", "--shape", "pixels=1,1,28,28"],
            USAGE,
            "image",
        ),
        (
            vec!["bench", "digits", "--shape", "image=1,3,28,28"],
            INVALID,
            "image",
        ),
        (vec!["ls", "--log", "=;="], USAGE, "log filter"),
        (vec!["ls", "--store", "ftp://host/models"], USAGE, "ftp"),
    ];
    let mut wrong = Vec::new();
    for (arguments, code, wanted) in cases {
        let ended = dunlin.end(&arguments, b"");
        let lines = ended
            .err
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count();
        if ended.code != code || !ended.err.contains(wanted) || lines != 1 {
            wrong.push(format!(
                "{arguments:?}: want {code} and '{wanted}', got {}: {}",
                ended.code, ended.err
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn with_json_an_error_is_an_object() {
    let dunlin = Dunlin::new();
    for (arguments, code, kind) in [
        (vec!["show", "nothing", "--json"], NOT_FOUND, "not_found"),
        (vec!["frobnicate", "--json"], USAGE, "usage"),
    ] {
        let ended = dunlin.run(&arguments, code);
        let error: Value = serde_json::from_str(&ended.err).expect("one JSON object");
        assert_eq!(error["kind"], kind);
        assert!(!error["error"].as_str().expect("a message").is_empty());
        assert!(ended.out.is_empty(), "{}", ended.out);
    }
}

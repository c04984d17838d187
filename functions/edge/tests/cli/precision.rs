//! `--precision`: the table, what is published, and what is refused.

use std::fs;
use std::path::Path;

use crate::exit::{INVALID, NOT_FOUND, OK, USAGE};
use crate::process::{Dunlin, digits};

#[test]
fn precisions_are_compared_and_the_graph_is_kept() {
    let dunlin = Dunlin::new();
    let graph = dunlin.store_folder().with_file_name("digits-int8.onnx");
    let graph = graph.to_str().expect("UTF-8");
    let compile = [
        "compile",
        &digits(""),
        "--precision",
        "int8",
        "--output",
        graph,
    ];
    let told = dunlin.run(&compile, OK);
    for wanted in [
        "source",
        "int8",
        "accuracy",
        "chosen",
        "compared on 10 inputs",
        graph,
    ] {
        assert!(told.out.contains(wanted), "{wanted}: {}", told.out);
    }
    let report = dunlin.run(&["inspect", graph, "--json"], OK).json();
    assert!(
        report["ops"]["QuantizeLinear"].as_u64() >= Some(1),
        "{report}"
    );
    let source = fs::metadata(digits("model.onnx"))
        .expect("the sample")
        .len();
    assert!(fs::metadata(graph).expect("the graph").len() * 2 < source);
}

#[test]
fn what_was_chosen_is_published_and_answers() {
    let dunlin = Dunlin::new();
    let push = ["push", &digits(""), "--precision", "int8", "--json"];
    let pushed = dunlin.run(&push, OK).json();
    assert_eq!(pushed["precisions"][1]["fate"], "chosen", "{pushed}");
    assert_eq!(pushed["manifest"]["artifacts"][0]["precision"], "int8");
    let seven = dunlin
        .run(&["run", "digits", &digits("examples/7.png"), "--json"], OK)
        .json();
    assert_eq!(seven["predictions"][0]["label"], "7", "{seven}");
}

#[test]
fn an_evaluation_set_decides() {
    let dunlin = Dunlin::new();
    let folder = dunlin.store_folder().with_file_name("test");
    for digit in 0..10 {
        fs::create_dir_all(folder.join(digit.to_string())).expect("a folder");
        let file = folder.join(format!("{digit}/first.png"));
        fs::copy(digits(&format!("examples/{digit}.png")), file).expect("a picture");
    }
    let compile = |folder: &Path, code| {
        let folder = folder.to_str().expect("UTF-8");
        dunlin.run(
            &[
                "compile",
                &digits(""),
                "--precision",
                "auto",
                "--evaluate",
                folder,
            ],
            code,
        )
    };
    let told = compile(&folder, OK).out;
    assert!(
        told.contains("1.0000") && told.contains("compared on 10 inputs"),
        "{told}"
    );
    // No picture: an input that can't be answered proves nothing.
    fs::write(folder.join("3/second.png"), "no picture").expect("a file");
    let told = compile(&folder, INVALID).err;
    assert!(told.contains("3/second.png"), "{told}");
    let told = compile(&folder.join("nowhere"), NOT_FOUND).err;
    assert!(told.contains("nowhere"), "{told}");
}

#[test]
fn what_cannot_be_asked_for() {
    let dunlin = Dunlin::new();
    for (option, value, told) in [
        ("--precision", "int3", "source, f16, int8 or auto"),
        ("--max-loss", "2", "from 0 to 1"),
        ("--max-loss", "some", "a number"),
    ] {
        let ended = dunlin.run(&["push", &digits(""), option, value], USAGE);
        assert!(ended.err.contains(told), "{}", ended.err);
    }
}

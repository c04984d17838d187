//! Texts in their forms, what is wrong with them, and the road from them to a published model.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dunlin_trainer::data::{Beside, Dataset, GatherOptions, Part, TextOptions, Words};
use dunlin_trainer::{ErrorKind, Result};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::{options, source};
use crate::parquet::{self, Column};
use crate::trainer::Trainer;

const WORDS: [[&str; 6]; 2] = [
    ["meeting", "tuesday", "patch", "thanks", "report", "review"],
    ["free", "winner", "money", "offer", "click", "pills"],
];

/// Texts of two kinds, some words of which are common to both.
pub(crate) fn texts(count: usize) -> Vec<(String, &'static str)> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let text = |number: usize| {
        let kind = number % 2;
        let mut text = format!("note {number}");
        for _ in 0..random.random_range(3..12) {
            let words = if random.random_bool(0.6) {
                &WORDS[kind]
            } else {
                &["the", "and", "of", "to", "in", "it"]
            };
            let _ = write!(text, " {}", words.choose(&mut random).unwrap());
        }
        (text, ["ham", "spam"][kind])
    };
    (0..count).map(text).collect()
}

pub(crate) fn csv(texts: &[(String, &str)]) -> String {
    let rows = texts
        .iter()
        .map(|(text, label)| format!("{label},\"{text}\"\n"));
    format!("label,text\n{}", rows.collect::<String>())
}

fn text_options() -> TextOptions {
    TextOptions {
        text: "text".to_owned(),
        beside: Beside::Label("label".to_owned()),
        max_tokens: 16,
        words: Words::Learned(340),
    }
}

fn gather(folder: &Path, options: &GatherOptions) -> Result<Dataset> {
    Dataset::texts(source(folder)?, options, &text_options())
}

#[test]
fn all_forms_hold_the_same() {
    let texts = texts(120);
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for name in ["csv", "json", "parquet", "folders"] {
        fs::create_dir(place(name)).unwrap();
    }
    fs::write(place("csv/all.csv"), csv(&texts)).unwrap();
    let lines = texts
        .iter()
        .map(|(text, label)| serde_json::json!({ "text": text, "label": label }));
    let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
    fs::write(place("json/all.jsonl"), lines.join("\n")).unwrap();
    let column = |of: fn(&(String, &str)) -> String| Column::Texts(texts.iter().map(of).collect());
    // A column that nobody asked for stands first.
    let columns = [
        ("number", Column::Numbers(vec![0.5; texts.len()])),
        ("label", column(|(_, label)| (*label).to_owned())),
        ("text", column(|(text, _)| text.clone())),
    ];
    parquet::write(&place("parquet/all.parquet"), &columns);
    for (number, (text, label)) in texts.iter().enumerate() {
        let class = place("folders").join(label);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(format!("{number:03}.txt")), text).unwrap();
    }
    let parted = ["csv/all.csv", "json", "parquet", "folders"].map(|name| {
        let data = gather(&place(name), &options()).unwrap();
        assert_eq!(data.labels, ["ham", "spam"], "{name}");
        assert_eq!(data.census.parts.iter().sum::<usize>(), 120, "{name}");
        let test = data.part(Part::Test).iter();
        let mut digests: Vec<String> = test.map(|example| example.digest.hex()).collect();
        digests.sort_unstable();
        assert!(digests.len() > 12, "{name}");
        digests
    });
    assert!(parted.iter().all(|part| *part == parted[0]));

    // The same texts make the same tokens, and so the same digest.
    let tokens = || gather(&place("csv"), &options()).unwrap();
    let (one, other) = (tokens(), tokens());
    assert_eq!(one.files, other.files);
    assert_eq!(one.census.digest, other.census.digest);
    let inputs = one.decoder.inputs(&one.part(Part::Test)[0]).unwrap();
    assert_eq!(inputs[0].name, "input_ids");
    assert!(inputs[0].tensor.shape()[1] <= 16);
}

#[test]
fn copies_that_differ_in_case_and_white_space_are_copies() {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(80);
    fs::write(folder.path().join("train.csv"), csv(&texts)).unwrap();
    let shouted: Vec<_> = texts[..10]
        .iter()
        .map(|(text, label)| (text.to_uppercase().replace(' ', "  "), *label))
        .collect();
    fs::write(folder.path().join("test.csv"), csv(&shouted)).unwrap();
    let data = gather(folder.path(), &options()).unwrap();
    assert_eq!(data.census.leaks, 10);
    assert_eq!(data.part(Part::Test).len(), 10);
}

#[test]
fn damaged_rows_are_counted_listed_and_limited() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = csv(&texts(60)).into_bytes();
    file.extend(b"spam,caf\xe9 in another encoding\nham\n,a text without a label\n");
    let place = folder.path().join("all.csv");
    fs::write(&place, &file).unwrap();
    let data = gather(folder.path(), &options()).unwrap();
    assert_eq!(data.census.damaged, 3);
    let listed = data.census.damaged_files.join("\n");
    for why in [
        "all.csv:62: it is not UTF-8, at byte 3",
        "it has 1 fields, not 2",
        "its label is empty",
    ] {
        assert!(listed.contains(why), "{why}: {listed}");
    }
    file.extend(b"ham,\n");
    fs::write(&place, &file).unwrap();
    let error = gather(folder.path(), &options()).unwrap_err().to_string();
    assert!(
        error.contains("4 of 64 texts are damaged, at most 3 may be"),
        "{error}"
    );

    let lines = "{\"text\": \"a\", \"label\": 1}\n[]\n{\"text\": 5}\nno json\n";
    fs::remove_file(place).unwrap();
    fs::write(folder.path().join("all.jsonl"), lines).unwrap();
    let error = gather(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.contains("one class, \"1\""), "{error}");
}

#[test]
fn data_that_teaches_nothing_is_refused_with_the_reason() {
    let texts = texts(60);
    let one: Vec<_> = texts
        .iter()
        .filter(|(_, label)| *label == "ham")
        .cloned()
        .collect();
    let numbered = csv(&texts).replace("spam,", "1,").replace("ham,", "0,");
    let few = csv(&texts[..1]) + "spam,only one of these\n";
    let cases = [
        ("all.csv", csv(&one), "one class, \"ham\""),
        ("all.csv", few, "is empty: no text of it is left to"),
        (
            "all.csv",
            "body,kind\na,b\n".to_owned(),
            "no column \"text\", only body, kind: --text names another",
        ),
        (
            "all.csv",
            "text,label\n".to_owned(),
            "no row with a \"text\" and a \"label\"",
        ),
        (
            "labels.txt",
            "ham\n".to_owned(),
            "label \"1\" is out of range: labels.txt has no such name, and numbers are 0 to 0",
        ),
    ];
    for (name, file, want) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("all.csv"), &numbered).unwrap();
        fs::write(folder.path().join(name), file).unwrap();
        let error = gather(folder.path(), &options()).expect_err(want);
        assert_eq!(error.kind(), ErrorKind::Data, "{want}: {error}");
        assert!(error.to_string().contains(want), "{want}: {error}");
    }
}

#[test]
fn a_model_of_texts_is_trained_and_published() {
    for recipe in [
        &["transformer"][..],
        &["rnn", "--task", "text-classification", "--cell", "gru"],
    ] {
        train_and_publish(recipe);
    }
}

fn train_and_publish(recipe: &[&str]) {
    let trainer = Trainer::with_file("all.csv", &csv(&texts(400)));
    let training = [
        "--epochs",
        "4",
        "--width",
        "16",
        "--max-tokens",
        "16",
        "--vocabulary",
        "400",
    ];
    let options = [
        recipe,
        &training,
        &[
            "--publish",
            "mails",
            "--store",
            "file:store",
            "--require",
            "f1>=0.9",
        ],
    ]
    .concat();
    let output = trainer.run(&options, 0);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("published mails@1"), "{text}");
    let folder = trainer.path("runs/mails/model");
    for name in [
        "model.onnx",
        "tokenizer.json",
        "labels.txt",
        "examples/spam.txt",
        "report.html",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let toml = fs::read_to_string(folder.join("model.toml")).unwrap();
    for line in [
        "task = \"text-classification\"",
        "kind = \"text\"",
        "max_tokens = 16",
        "test_texts = ",
    ] {
        assert!(toml.contains(line), "{line}: {toml}");
    }
}

/// Three words, and the same in another language and another order; no two are alike.
pub(crate) fn pairs(count: usize) -> String {
    let colors = [
        "red rot",
        "green grün",
        "blue blau",
        "white weiß",
        "black schwarz",
        "grey grau",
    ];
    let things = [
        "house haus",
        "tree baum",
        "car auto",
        "dog hund",
        "cat katze",
        "river fluss",
    ];
    let ends = [
        "runs rennt",
        "falls fällt",
        "sings singt",
        "waits wartet",
        "grows wächst",
        "stands steht",
    ];
    let line = |at: usize| {
        let words = [colors[at % 6], things[at / 6 % 6], ends[at / 36 % 6]];
        let [color, thing, end] = words.map(|words| words.split_once(' ').unwrap());
        let question = format!("the {} {} {} {}", color.0, thing.0, end.0, at / 216);
        let answer = format!("{} ist das und {} {} {}", color.1, end.1, thing.1, at / 216);
        serde_json::json!({ "question": question, "answer": answer }).to_string() + "\n"
    };
    (0..count).map(line).collect()
}

#[test]
fn meanings_are_learned_and_published() {
    let trainer = Trainer::with_file("all.jsonl", &pairs(432));
    let training = [
        "embed",
        "--text",
        "question",
        "--pair",
        "answer",
        "--epochs",
        "12",
        "--batch",
        "32",
        "--width",
        "32",
        "--max-tokens",
        "32",
        "--vocabulary",
        "400",
    ];
    let publish = |gate| {
        let publish = ["--publish", "search", "--store", "file:store", "--require"];
        [&training[..], &publish, &[gate]].concat()
    };
    let output = trainer.run(&publish("recall_at_1>=1.01"), 8);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("recall_at_1 is"), "{text}");
    let output = trainer.run(&publish("recall_at_1>=0.5"), 0);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("published search@1") && text.contains("MRR"),
        "{text}"
    );
    let folder = trainer.path("runs/search/model");
    for name in ["model.onnx", "tokenizer.json", "examples/pair-1.json"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(!folder.join("labels.txt").exists());
    let toml = fs::read_to_string(folder.join("model.toml")).unwrap();
    for line in [
        "task = \"sentence-similarity\"",
        "kind = \"text\"",
        "kind = \"embedding\"",
        "normalize = true",
        "recall_at_1_95 = ",
        "mrr = ",
        "test_pairs = ",
    ] {
        assert!(toml.contains(line), "{line}: {toml}");
    }
}

#[test]
fn pairs_without_a_half_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("all.jsonl");
    let gather = |file: String| {
        fs::write(&place, file).unwrap();
        let options = TextOptions {
            text: "question".to_owned(),
            beside: Beside::Pair("answer".to_owned()),
            ..text_options()
        };
        Dataset::texts(
            source(folder.path()).unwrap(),
            &crate::data::options(),
            &options,
        )
    };
    let lines = "{\"question\": \"a\", \"answer\": \" \"}\n{\"question\": \"a\"}\n[]\n";
    let data = gather(pairs(100) + lines).unwrap();
    assert_eq!(data.census.parts.iter().sum::<usize>(), 100);
    let listed = data.census.damaged_files.join("\n");
    for why in [
        "all.jsonl:101: it is empty",
        "all.jsonl:102: it has no \"answer\"",
        "all.jsonl:103: it is no JSON object",
    ] {
        assert!(listed.contains(why), "{why}: {listed}");
    }
    // A pair is two texts for the network, one after the other.
    let inputs = data.decoder.inputs(&data.part(Part::Test)[0]).unwrap();
    assert_eq!(inputs[0].tensor.shape()[0], 2);
    for (file, want) in [
        (pairs(1), "no pair is left to"),
        (
            "[]\n".to_owned(),
            "no row with a \"question\" and a \"answer\"",
        ),
    ] {
        let error = gather(file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(want), "{want}: {error}");
    }
}

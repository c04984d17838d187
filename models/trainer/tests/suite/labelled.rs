//! Labelled series in their forms, what is wrong with them, and the road from them to a published model.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dunlin_trainer::data::{Dataset, LabelledSeriesOptions, Part};
use dunlin_trainer::{ErrorKind, Result};

use crate::data::{options, source};
use crate::parquet::{self, Column};
use crate::trainer::Trainer;

/// Of each series its label and rows of two numbers; no two are alike.
pub(crate) fn series(count: usize) -> Vec<(&'static str, Vec<[f64; 2]>)> {
    let one = |at: usize| {
        let (rows, phase) = (12 + at % 3, at as f64 * 0.37);
        let row = |row: usize| {
            let turn = (row as f64 * 0.9 + phase).sin();
            let height = if at.is_multiple_of(2) {
                turn
            } else {
                turn.signum()
            };
            let noise = ((at * 7 + row * 13) % 11) as f64 / 10.0;
            [10.0 * height + 50.0 + noise, (at % 5) as f64]
        };
        (["sine", "square"][at % 2], (0..rows).map(row).collect())
    };
    (0..count).map(one).collect()
}

pub(crate) fn csv(all: &[(&str, Vec<[f64; 2]>)]) -> String {
    let mut file = "id,time,label,height,kind\n".to_owned();
    for (id, (label, rows)) in all.iter().enumerate() {
        for (time, [height, kind]) in rows.iter().enumerate() {
            let _ = writeln!(file, "{id},at {time},{label},{height},{kind}");
        }
    }
    file
}

fn labelled(columns: &[&str], length: Option<usize>) -> LabelledSeriesOptions {
    LabelledSeriesOptions {
        columns: columns.iter().map(|&name| name.to_owned()).collect(),
        id: "id".to_owned(),
        label: "label".to_owned(),
        length,
    }
}

fn gather(folder: &Path, series: &LabelledSeriesOptions) -> Result<Dataset> {
    Dataset::labelled_series(source(folder)?, &options(), series)
}

#[test]
fn all_forms_hold_the_same() {
    let all = series(120);
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::write(place("long.csv"), csv(&all)).unwrap();
    let line = |(label, rows): &(&str, Vec<[f64; 2]>)| {
        serde_json::json!({ "series": rows, "label": label }).to_string() + "\n"
    };
    fs::write(
        place("lists.jsonl"),
        all.iter().map(line).collect::<String>(),
    )
    .unwrap();
    let rows = || {
        let ids = all.iter().enumerate();
        ids.flat_map(|(id, (label, rows))| rows.iter().map(move |row| (id, *label, *row)))
    };
    let columns = [
        (
            "height",
            Column::Numbers(rows().map(|(.., row)| row[0]).collect()),
        ),
        (
            "kind",
            Column::Numbers(rows().map(|(.., row)| row[1]).collect()),
        ),
        (
            "id",
            Column::Numbers(rows().map(|(id, ..)| id as f64).collect()),
        ),
        (
            "label",
            Column::Texts(rows().map(|(_, label, _)| label.to_owned()).collect()),
        ),
    ];
    parquet::write(&place("long.parquet"), &columns);

    let parted = ["long.csv", "lists.jsonl", "long.parquet"].map(|name| {
        let data = gather(&place(name), &labelled(&[], None)).unwrap();
        assert_eq!(data.labels, ["sine", "square"], "{name}");
        assert_eq!(data.census.parts.iter().sum::<usize>(), 120, "{name}");
        let shape = data.labelled_series_shape().unwrap();
        assert_eq!((shape.length, shape.columns), (12, 2), "{name}");
        // The training part, as serving reads it, has a mean of 0 and a deviation of 1.
        let train = data.part(Part::Train).iter();
        let heights: Vec<f32> = train
            .flat_map(|example| data.decoder.numbers(example).unwrap())
            .step_by(2)
            .collect();
        let mean = heights.iter().sum::<f32>() / heights.len() as f32;
        assert!(mean.abs() < 0.01, "{name}: {mean}");
        let mut digests: Vec<String> = data
            .part(Part::Test)
            .iter()
            .map(|example| example.digest.hex())
            .collect();
        digests.sort_unstable();
        digests
    });
    assert!(parted.iter().all(|part| *part == parted[0]));
}

#[test]
fn damaged_series_are_counted_listed_and_limited() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("all.csv");
    let file = csv(&series(60)).replace("\n7,at 3,square,", "\n7,at 3,square,?")
        + "60,at 0,sine,1,1\n"
        + &"62,at 0,sine,1,1\n62,at 1,square,1,1\n".repeat(8);
    fs::write(&place, &file).unwrap();
    let data = gather(folder.path(), &labelled(&["height"], Some(12))).unwrap();
    assert_eq!(data.census.damaged, 3);
    let listed = data.census.damaged_files.join("\n");
    for why in [
        "\"height\" is no number",
        "the series has 1 rows; the model looks at the last 12",
        "it has two labels, \"sine\" and \"square\"",
    ] {
        assert!(listed.contains(why), "{why}: {listed}");
    }
    fs::write(&place, file + "63,at 0\n").unwrap();
    let error = gather(folder.path(), &labelled(&["height"], Some(12))).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("series are damaged, at most 3 may be"),
        "{error}"
    );
    assert!(error.contains("it has 2 fields, not 5"), "{error}");
}

#[test]
fn data_that_teaches_nothing_is_refused_with_the_reason() {
    let all = csv(&series(60));
    let cases = [
        (
            "all.csv",
            all.replace("square", "sine"),
            "one class, \"sine\"",
        ),
        (
            "all.csv",
            all.replace("id,time", "name,time"),
            "no column \"id\", only name, time, label, height, kind: --id names another",
        ),
        (
            "all.csv",
            "id,label,word\n1,a,b\n".to_owned(),
            "all.csv has no column of numbers",
        ),
        (
            "all.csv",
            "id,label,height\n".to_owned(),
            "all.csv has no column of numbers",
        ),
        (
            "all.jsonl",
            "{\"series\": 1, \"label\": \"a\"}\n".to_owned(),
            "\"series\" is no list of numbers, nor of rows of them",
        ),
        (
            "all.jsonl",
            "{\"series\": [[1, 2], [3]], \"label\": \"a\"}\n".to_owned(),
            "row 2 is not of 2 numbers, as the others",
        ),
    ];
    for (name, file, want) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), file).unwrap();
        let error = gather(folder.path(), &labelled(&[], None)).expect_err(want);
        assert_eq!(error.kind(), ErrorKind::Data, "{want}: {error}");
        assert!(error.to_string().contains(want), "{want}: {error}");
    }
}

#[test]
fn a_model_that_names_series_is_trained_and_published() {
    let trainer = Trainer::with_file("all.csv", &csv(&series(300)));
    let training = [
        "rnn",
        "--task",
        "series-classification",
        "--cell",
        "lstm",
        "--columns",
        "height",
        "--length",
        "12",
        "--epochs",
        "25",
        "--batch",
        "16",
        "--width",
        "12",
        "--learning-rate",
        "0.02",
    ];
    let publish = [
        "--publish",
        "waves",
        "--store",
        "file:store",
        "--require",
        "accuracy>=0.9",
    ];
    let output = trainer.run(&[&training[..], &publish].concat(), 0);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("published waves@1"), "{text}");
    let folder = trainer.path("runs/waves/model");
    for name in [
        "model.onnx",
        "labels.txt",
        "examples/square.csv",
        "report.html",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let toml = fs::read_to_string(folder.join("model.toml")).unwrap();
    for line in [
        "task = \"series-classification\"",
        "kind = \"series\"",
        "kind = \"classification\"",
        "cell = \"lstm\"",
        "test_series = ",
    ] {
        assert!(toml.contains(line), "{line}: {toml}");
    }
    let output = trainer.run(&["cnn", "--cell", "gru"], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--cell is for the recipe rnn"));
    let output = trainer.run(&["rnn", "--task", "image-classification"], 2);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("the recipe rnn learns forecasting, series-classification"),
        "{text}"
    );
}

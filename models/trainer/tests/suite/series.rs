//! Series, what is wrong with them, and the road from them to a published model.

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dunlin_trainer::data::{Dataset, Part, SeriesOptions, Target};
use dunlin_trainer::{ErrorKind, Result};

use crate::data::{options, source};
use crate::trainer::Trainer;

/// Days of eight rows, that grow warmer and colder again.
pub(crate) fn csv(rows: usize) -> String {
    let mut file = "date,temp,wind\n".to_owned();
    for row in 0..rows {
        let (day, year) = (TAU * row as f64 / 8.0, TAU * row as f64 / 400.0);
        let _ = writeln!(
            file,
            "day {row},{:.3},{}",
            50.0 + 10.0 * day.sin() + 20.0 * year.sin(),
            row % 5
        );
    }
    file
}

fn series_options() -> SeriesOptions {
    SeriesOptions {
        columns: vec!["temp".to_owned()],
        target: None,
        length: 24,
        steps: 8,
        season: None,
        unit: None,
        step: None,
    }
}

fn gather(folder: &Path, series: &SeriesOptions) -> Result<Dataset> {
    Dataset::series(source(folder)?, &options(), series)
}

#[test]
fn parts_follow_one_another_in_time() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("all.csv"), csv(1000)).unwrap();
    let data = gather(folder.path(), &series_options()).unwrap();
    // Training: rows 24 to 700, every window of eight that follow. Held out: one every nine rows.
    assert_eq!(Part::ALL.map(|part| data.part(part).len()), [669, 11, 22]);
    let forecasting = data.forecasting.as_ref().unwrap();
    assert_eq!((forecasting.season, forecasting.steps), (8, 8));

    // The window, as serving reads it, and what follows, on one scale.
    let example = &data.part(Part::Train)[1];
    let window = data.decoder.numbers(example).unwrap();
    assert_eq!(window.len(), 24);
    let next = data.decoder.numbers(&data.part(Part::Train)[2]).unwrap();
    let Target::Values { values, naive } = &example.target else {
        panic!("values");
    };
    assert!((values[0] - next[23]).abs() < 1e-6 && (naive[0] - window[16]).abs() < 1e-6);

    // The same in JSON lines.
    let table = csv(1000);
    let lines = table.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let [day, temp, wind] = cells[..] else {
            panic!("three cells");
        };
        format!("{{\"date\": \"{day}\", \"temp\": {temp}, \"wind\": {wind}}}\n")
    });
    let lines: String = lines.collect();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("all.jsonl"), lines).unwrap();
    let same = gather(other.path(), &series_options()).unwrap();
    for part in Part::ALL {
        let targets = data.part(part).iter().map(|example| &example.target);
        let others = same.part(part).iter().map(|example| &example.target);
        assert!(targets.eq(others), "{}", part.name());
    }

    // Two columns that hold numbers, if nobody names one.
    let all = SeriesOptions {
        columns: Vec::new(),
        target: Some("wind".to_owned()),
        ..series_options()
    };
    let data = gather(folder.path(), &all).unwrap();
    let forecasting = data.forecasting.as_ref().unwrap();
    assert_eq!(forecasting.columns, ["temp", "wind"]);
    assert_eq!(forecasting.target, 1);
}

#[test]
fn windows_over_damaged_rows_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("all.csv");
    fs::write(&place, csv(1000)).unwrap();
    let whole = gather(folder.path(), &series_options()).unwrap();
    fs::write(&place, csv(1000).replace("day 300,", "day 300,?")).unwrap();
    let data = gather(folder.path(), &series_options()).unwrap();
    assert_eq!(data.census.damaged, 1);
    assert!(data.census.damaged_files[0].starts_with("all.csv:302: \"temp\" is no number"));
    assert_eq!(
        data.part(Part::Train).len(),
        whole.part(Part::Train).len() - 32
    );
    fs::write(&place, csv(1000).replace("day 30", "day 30,")).unwrap();
    let error = gather(folder.path(), &series_options())
        .unwrap_err()
        .to_string();
    assert!(error.contains("are damaged, at most 3 may be"), "{error}");
}

#[test]
fn what_can_not_be_foretold_is_refused_with_the_reason() {
    let long = SeriesOptions {
        season: Some(24),
        ..series_options()
    };
    let other = SeriesOptions {
        columns: vec!["rain".to_owned()],
        ..series_options()
    };
    let target = SeriesOptions {
        target: Some("wind".to_owned()),
        ..series_options()
    };
    let cases = [
        (
            1000,
            long,
            ErrorKind::Usage,
            "longer than a season, 24 rows",
        ),
        (
            1000,
            other,
            ErrorKind::Data,
            "no column \"rain\", only date, temp, wind",
        ),
        (
            1000,
            target,
            ErrorKind::Usage,
            "it is none of the columns, temp",
        ),
        (
            30,
            series_options(),
            ErrorKind::Data,
            "no window of 24 and 8 rows is left to train",
        ),
    ];
    for (rows, series, kind, want) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("all.csv"), csv(rows)).unwrap();
        let error = gather(folder.path(), &series).expect_err(want);
        assert_eq!(error.kind(), kind, "{want}: {error}");
        assert!(error.to_string().contains(want), "{want}: {error}");
    }
}

#[test]
fn a_model_of_series_is_trained_and_published() {
    let trainer = Trainer::with_file("all.csv", &csv(1500));
    let training = [
        "rnn",
        "--columns",
        "temp",
        "--length",
        "24",
        "--steps",
        "8",
        "--epochs",
        "6",
        "--unit",
        "°F",
        "--step",
        "hour",
    ];
    let options = [
        &training[..],
        &[
            "--publish",
            "days",
            "--store",
            "file:store",
            "--require",
            "mase<=0.8",
        ],
    ]
    .concat();
    let output = trainer.run(&options, 0);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("published days@1") && text.contains("MASE"),
        "{text}"
    );
    let folder = trainer.path("runs/days/model");
    for name in ["model.onnx", "examples/window-1.csv", "report.html"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(!folder.join("labels.txt").exists());
    let toml = fs::read_to_string(folder.join("model.toml")).unwrap();
    for line in [
        "task = \"forecasting\"",
        "kind = \"series\"",
        "kind = \"forecast\"",
        "unit = \"°F\"",
        "mase_95 = ",
    ] {
        assert!(toml.contains(line), "{line}: {toml}");
    }
    let report = trainer.report("runs/days/model");
    assert_eq!(
        report["metrics"]["mae_by_step"].as_array().unwrap().len(),
        8
    );
}

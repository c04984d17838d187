//! Figures of parts of the test data.

use std::fs;

use dunlin_trainer::data::{Dataset, GatherOptions, LabelledSeriesOptions, SeriesOptions, Slicing};
use serde_json::Value;

use crate::data::{options, source};
use crate::trainer::Trainer;
use crate::{labelled, pictures, texts};

/// Texts of two languages: what stands beside those of the second says nothing of them.
fn two_languages() -> String {
    let row = |(at, (text, label)): (usize, &(String, &str))| {
        let guess = ["ham", "spam"][at / 4 % 2];
        let (label, language) = if at % 4 < 3 {
            (*label, "en")
        } else {
            (guess, "de")
        };
        format!("{label},{language},{text}\n")
    };
    let rows: String = texts::texts(800).iter().enumerate().map(row).collect();
    format!("label,lang,text\n{rows}")
}

#[test]
fn a_slice_that_is_really_worse_is_marked() {
    let trainer = Trainer::with_file("all.csv", &two_languages());
    let training = [
        "transformer",
        "--epochs",
        "4",
        "--width",
        "16",
        "--max-tokens",
        "16",
        "--vocabulary",
        "400",
        "--test",
        "0.3",
        "--slice-by",
        "lang",
        "--require",
        "accuracy[lang=en]>=0.85",
        "--require",
        "accuracy[lang=de]>=0.85",
    ];
    let output = trainer.run(&training, 8);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(
        fault.contains("accuracy[lang=de]>=0.85 is required"),
        "{fault}"
    );
    assert!(!fault.contains("accuracy[lang=en]"), "{fault}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("slice      lang=de: accuracy 0."), "{text}");
    assert!(!text.contains("slice      lang=en"), "{text}");
    let folder = "runs/transformer/model";
    let report = trainer.report(folder);
    let slices = report["slices"].as_array().unwrap();
    let slice = |of: &str| slices.iter().find(|slice| slice["of"] == of).unwrap();
    let (german, english) = (slice("de"), slice("en"));
    assert_eq!(
        (&german["worse"], &english["worse"]),
        (&true.into(), &false.into())
    );
    let accuracy = |of: &Value| of["figures"]["accuracy"].as_f64().unwrap();
    assert!(
        accuracy(english) > 0.85 && accuracy(german) < 0.7,
        "{slices:?}"
    );
    assert!(german["figures"]["f1"].is_number());
    let low = |of: &Value| of["interval"]["low"].as_f64().unwrap();
    assert!(low(german) < accuracy(german));
    // All texts are in one language or the other, and of one length or another.
    let count = |by: &str| -> u64 {
        let slices = slices.iter().filter(|slice| slice["by"] == by);
        slices.map(|slice| slice["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(count("lang"), report["metrics"]["count"].as_u64().unwrap());
    assert_eq!(count("length"), count("lang"));
    let page = fs::read_to_string(trainer.path(folder).join("report.html")).unwrap();
    assert!(page.contains("<h2>Slices</h2>") && page.contains("<b>de</b>"));

    // No slice of that name, which is known before anything is trained.
    let output = trainer.run(
        &[&training[..], &["--require", "f1[lang=fr]>=0"]].concat(),
        2,
    );
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(fault.contains("no test example has fr in lang"), "{fault}");
    let output = trainer.run(&["transformer", "--dry-run", "--slice-by", "language"], 4);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("has no column \"language\""), "{text}");
}

#[test]
fn columns_are_for_tables() {
    let trainer = Trainer::new(30);
    let output = trainer.run(&["resnet", "--dry-run", "--slice-by", "lang"], 2);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--slice-by is for tables"), "{text}");
}

fn names(slicings: &[Slicing]) -> Vec<&str> {
    slicings.iter().map(|slicing| slicing.by.as_str()).collect()
}

#[test]
fn pictures_are_parted_by_what_they_look_like() {
    let folder = tempfile::tempdir().unwrap();
    pictures::write(folder.path(), 60);
    let gather = || {
        let data = Dataset::pictures(source(folder.path()).unwrap(), &options(), Some([12, 12]));
        data.unwrap().slicings().unwrap()
    };
    let slicings = gather();
    assert_eq!(names(&slicings), ["brightness"]);
    assert_eq!(slicings[0].slices.len(), 3);
    for number in 0..30 {
        let file = folder.path().join(format!("square/{number}.png"));
        let picture = image::open(&file).unwrap();
        let larger = picture.resize(40, 40, image::imageops::FilterType::Nearest);
        larger.save(&file).unwrap();
    }
    let slicings = gather();
    assert_eq!(names(&slicings), ["brightness", "size"]);
    let sizes: Vec<&str> = slicings[1]
        .slices
        .iter()
        .map(|(of, _)| of.as_str())
        .collect();
    assert_eq!(sizes, ["12 to 12 pixels a side", "40 to 40 pixels a side"]);
}

#[test]
fn series_are_parted_by_columns_and_forecasts_by_level() {
    let folder = tempfile::tempdir().unwrap();
    let file = labelled::csv(&labelled::series(120));
    fs::write(folder.path().join("all.csv"), file).unwrap();
    let gather = |options: &GatherOptions| {
        let series = LabelledSeriesOptions {
            columns: vec!["height".to_owned()],
            id: "id".to_owned(),
            label: "label".to_owned(),
            length: None,
        };
        let data = Dataset::labelled_series(source(folder.path()).unwrap(), options, &series);
        data.unwrap()
    };
    let by_kind = GatherOptions {
        slice_by: vec!["kind".to_owned()],
        ..options()
    };
    let data = gather(&by_kind);
    let slicings = data.slicings().unwrap();
    assert_eq!(names(&slicings), ["kind"]);
    assert_eq!(slicings[0].slices.len(), 5);
    // What is sliced is trained as before.
    assert_eq!(data.census.digest, gather(&options()).census.digest);

    let series = SeriesOptions {
        columns: vec!["height".to_owned()],
        target: None,
        length: 24,
        steps: 8,
        season: None,
        unit: Some("m".to_owned()),
        step: None,
    };
    let data = Dataset::series(source(folder.path()).unwrap(), &options(), &series).unwrap();
    let slicings = data.slicings().unwrap();
    assert_eq!(names(&slicings), ["level"]);
    assert!(slicings[0].slices.iter().all(|(of, _)| of.ends_with(" m")));
}

//! `dunlin batch`: objects and rows, taken up again after a kill, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::exit::{INVALID, NOT_FOUND, OK, USAGE};
use crate::process::{Dunlin, digits};

/// Every file below a folder, but the store's own, with the time of its last change.
fn files(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == ".dunlin" {
            continue;
        }
        // One that is gone again was being written.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => found.extend(files(&path)),
            Ok(metadata) => {
                found.insert(path, metadata.modified().expect("a time"));
            }
            Err(_) => {}
        }
    }
    found
}

fn json_of(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("JSON")
}

fn picture(digit: usize) -> Vec<u8> {
    fs::read(digits(&format!("examples/{digit}.png"))).expect("the picture")
}

/// A store with digits, and a folder for inputs and results.
struct Desk {
    dunlin: Dunlin,
    folder: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let dunlin = Dunlin::new();
        dunlin.run(&["push", &digits("")], OK);
        let folder = dunlin.folder.path().join("desk");
        fs::create_dir_all(folder.join("in/deep")).expect("a folder");
        Self { dunlin, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.join(name), bytes).expect("it is written");
    }

    fn arguments(&self, source: &str, more: &[&str]) -> Vec<String> {
        let (source, to) = (self.path(source), self.path("out"));
        let always = ["batch", "digits", &source, "--to", &to, "--json"];
        let all = always.iter().chain(more);
        all.map(|argument| (*argument).to_owned()).collect()
    }

    fn batch(&self, source: &str, more: &[&str]) -> Value {
        let arguments = self.arguments(source, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.dunlin.run(&arguments, OK).json()
    }

    /// Starts a batch, and kills it once so many files of this ending are below the results.
    fn killed(&self, source: &str, more: &[&str], ending: &str, at_least: usize) {
        let arguments = self.arguments(source, more);
        let mut child = self.dunlin.spawn(&arguments);
        let results = self.folder.join("out");
        let done = || {
            let files = files(&results);
            let done = files
                .keys()
                .filter(|path| path.display().to_string().ends_with(ending));
            done.count()
        };
        while done() < at_least {
            let ended = child.try_wait().expect("a status");
            assert!(ended.is_none(), "it ended before it was killed: {ended:?}");
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("an end");
    }

    /// The labels of all answers, in the order of the index.
    fn labels(&self) -> Vec<String> {
        let index =
            fs::read_to_string(self.folder.join("out/index/00000.jsonl")).expect("an index");
        let lines = index
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines
            .map(|line| {
                let (name, field) = match line["result"].as_str() {
                    Some(result) => (result, "/answer/predictions/0/label"),
                    None => (line["refused"].as_str().expect("one of both"), "/kind"),
                };
                let document = json_of(&self.folder.join("out").join(name));
                let told = document.pointer(field).and_then(Value::as_str);
                told.expect("text").to_owned()
            })
            .collect()
    }
}

#[test]
fn each_object_gets_a_result_and_a_second_run_does_nothing() {
    let desk = Desk::new();
    for digit in 0..10 {
        desk.write(&format!("in/{digit}.png"), picture(digit));
    }
    desk.write("in/deep/nine and a half.png", picture(9));
    desk.write("in/poison.png", "no picture");
    let first = desk.batch("in", &[]);
    assert_eq!(
        [
            &first["inputs"],
            &first["answered"],
            &first["refused"],
            &first["already"]
        ],
        [12, 11, 1, 0]
    );
    let want = [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "9",
        "unsupported_media_type",
    ];
    assert_eq!(desk.labels(), want);
    let manifest = json_of(&desk.folder.join("out/manifest.json"));
    assert_eq!(manifest["version"], 1);
    assert_eq!(manifest["answered"], 11);

    let before = files(&desk.folder.join("out/results"));
    let again = desk.batch("in", &[]);
    assert_eq!(again["already"], 12);
    assert_eq!(files(&desk.folder.join("out/results")), before);
    assert_eq!(json_of(&desk.folder.join("out/manifest.json")), manifest);

    // A newer version is another job's; an input that is written anew is another input.
    desk.dunlin.run(&["push", &digits("")], OK);
    desk.write("in/0.png", picture(1));
    let changed = desk.batch("in", &[]);
    assert_eq!([&changed["version"], &changed["already"]], [1, 11]);
    assert_eq!(desk.labels()[..3], ["1", "1", "2"]);
}

#[test]
fn a_killed_batch_of_objects_goes_on_where_it_was() {
    let desk = Desk::new();
    for number in 0..1500 {
        desk.write(&format!("in/{number:04}.png"), picture(number % 10));
    }
    desk.killed("in", &[], ".json", 40);
    let before = files(&desk.folder.join("out/results"));
    assert!(!desk.folder.join("out/manifest.json").exists());
    let rest = desk.batch("in", &[]);
    assert_eq!([&rest["inputs"], &rest["answered"]], [1500, 1500]);
    assert_eq!(rest["already"], before.len());
    let after = files(&desk.folder.join("out/results"));
    assert_eq!(after.len(), 1500);
    assert!(
        before
            .iter()
            .all(|(path, time)| after.get(path) == Some(time))
    );
    let labels = desk.labels();
    assert!((0..1500).all(|number| labels[number] == (number % 10).to_string()));
}

#[test]
fn rows_in_three_formats() {
    let desk = Desk::new();
    // Made by pyarrow: three pictures as bytes, and a row without one.
    let parquet = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/pictures.parquet");
    desk.write("rows.parquet", fs::read(parquet).expect("the file"));
    let (three, seven) = (base64(&picture(3)), base64(&picture(7)));
    desk.write(
        "rows.jsonl",
        format!(
            "{}\n{}\n{}\n",
            json!({"id": "a", "payload": three}),
            json!({"id": 7, "payload": seven, "content_type": "image/png"}),
            "{\"id\": 9, \"payload\": \"bm8gcGljdHVyZQ==\"}"
        ),
    );
    desk.write(
        "rows.csv",
        format!("id,payload\na,{three}\nb,{seven}\nc,\n"),
    );
    let out = desk.folder.join("out");
    for (source, format, want) in [
        ("rows.jsonl", "jsonl", ["3", "7"]),
        ("rows.csv", "csv", ["3", "7"]),
        ("rows.parquet", "jsonl", ["1", "2"]),
        ("rows.jsonl", "csv", ["3", "7"]),
        ("rows.csv", "parquet", ["3", "7"]),
    ] {
        let done = desk.batch(source, &["--format", format]);
        assert_eq!(done["refused"], 1, "{source}: {done}");
        let part = out.join(format!("parts/00000.{format}"));
        let part = fs::read(part).expect("a part");
        let text = String::from_utf8_lossy(&part);
        match format {
            "parquet" => assert!(part.starts_with(b"PAR1") && part.ends_with(b"PAR1")),
            "csv" => {
                assert!(
                    text.starts_with("row,id,label,score,answer,kind,reason\n"),
                    "{text}"
                );
                assert!(
                    text.contains(&format!(
                        "\n1,{},7,0.",
                        if source == "rows.csv" { "b" } else { "7" }
                    )),
                    "{text}"
                );
            }
            _ => {
                let lines: Vec<Value> = text
                    .lines()
                    .map(|line| serde_json::from_str(line).expect("JSON"))
                    .collect();
                for (line, label) in lines.iter().zip(want) {
                    assert_eq!(line["answer"]["predictions"][0]["label"], label, "{line}");
                }
                assert!(lines.last().expect("lines")["kind"].is_string(), "{text}");
            }
        }
        fs::remove_dir_all(&out).expect("removed");
    }
}

#[test]
fn a_killed_batch_of_rows_goes_on_where_it_was() {
    let desk = Desk::new();
    let line = |number: usize| json!({"id": number, "payload": base64(&picture(number % 10))});
    let lines: Vec<String> = (0..6000).map(|number| line(number).to_string()).collect();
    desk.write("rows.jsonl", lines.join("\n"));
    let parts = ["--part-rows", "40"];
    desk.killed("rows.jsonl", &parts, ".json", 5);
    assert!(!desk.folder.join("out/manifest.json").exists());
    let before = files(&desk.folder.join("out/parts"));
    let receipts = before
        .keys()
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let receipts = receipts.count();
    let rest = desk.batch("rows.jsonl", &parts);
    assert_eq!([&rest["inputs"], &rest["answered"]], [6000, 6000]);
    assert_eq!(rest["already"], 40 * receipts);
    let mut rows = Vec::new();
    for part in rest["parts"].as_array().expect("parts") {
        let name = part["name"].as_str().expect("a name");
        let text = fs::read_to_string(desk.folder.join("out").join(name)).expect("a part");
        rows.extend(
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON")),
        );
    }
    assert_eq!(rows.len(), 6000);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!([&row["row"], &row["id"]], [number, number]);
        let label = &row["answer"]["predictions"][0]["label"];
        assert_eq!(*label, (number % 10).to_string(), "{row}");
    }
    let after = files(&desk.folder.join("out/parts"));
    let kept = before
        .iter()
        .filter(|(path, time)| after.get(*path) == Some(*time));
    assert!(kept.count() >= 2 * receipts);
}

#[test]
fn what_can_not_be_done_is_told() {
    let desk = Desk::new();
    desk.write("in/1.png", picture(1));
    desk.write("rows.jsonl", "{}");
    desk.write("rows.csv", "a\n\"open");
    desk.write("rows.parquet", "PAR1 this is none PAR1");
    let run = |source: &str, more: &[&str], code: i32| {
        let mut arguments = desk.arguments(source, more);
        arguments.retain(|argument| argument != "--json");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        desk.dunlin.run(&arguments, code).err
    };
    assert!(run("nowhere", &[], NOT_FOUND).contains("no file or folder"));
    assert!(run("in", &["--format", "csv"], INVALID).contains("for the answers of rows"));
    assert!(run("in", &["--format", "xml"], USAGE).contains("jsonl, csv and parquet"));
    assert!(run("rows.parquet", &[], INVALID).contains("no Parquet file"));
    fs::remove_dir_all(desk.folder.join("out")).expect("removed");
    run("in", &[], OK);
    let other = run("rows.jsonl", &[], USAGE);
    assert!(
        other.contains("holds another job: its source is"),
        "{other}"
    );
    fs::remove_dir_all(desk.folder.join("out")).expect("removed");
    run("rows.jsonl", &[], OK);
    desk.write("rows.jsonl", "{}\n{}");
    let other = run("rows.jsonl", &[], USAGE);
    assert!(other.contains("another content"), "{other}");
    let kept = ["batch", "digits", &desk.path("in"), "--to", "models/x"];
    assert!(desk.dunlin.run(&kept, INVALID).err.contains("results/NAME"));
    let absent = ["batch", "digits", "inbox/", "--to", "results/x"];
    assert!(
        desk.dunlin
            .run(&absent, NOT_FOUND)
            .err
            .contains("no object")
    );
    let model = ["batch", "nobody", &desk.path("in"), "--to", "results/x"];
    desk.dunlin.run(&model, NOT_FOUND);
}

fn base64(bytes: &[u8]) -> String {
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

//! Releases: promote, canary, rollback and alias, by hand and while a server is under load.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exit::{FAILED, INVALID, NOT_FOUND, OK, USAGE};
use crate::process::{Dunlin, Server, digits};

fn with_versions(count: usize) -> Dunlin {
    let dunlin = Dunlin::new();
    for _ in 0..count {
        dunlin.run(&["push", &digits(""), "--quiet"], OK);
    }
    dunlin
}

/// Versions and weights.
fn targets(record: &Value) -> Vec<(u64, u64)> {
    let targets = record["targets"].as_array().expect("targets");
    let number = |value: &Value| value.as_u64().expect("a number");
    targets
        .iter()
        .map(|target| (number(&target["version"]), number(&target["weight"])))
        .collect()
}

#[test]
fn aliases_are_set_compared_shown_and_deleted() {
    let dunlin = with_versions(2);
    let none = dunlin.run(&["alias", "digits"], OK);
    assert!(none.out.contains("newest version"), "{}", none.out);

    let set = dunlin.run(&["alias", "digits@production", "1=90", "2=10"], OK);
    assert!(
        set.out.contains("digits@production -> 1 (90 %), 2 (10 %)"),
        "{}",
        set.out
    );
    let shown = dunlin
        .run(&["alias", "digits@production", "--json"], OK)
        .json();
    assert_eq!(targets(&shown), [(1, 90), (2, 10)]);
    let etag = shown["etag"].as_str().expect("a state").to_owned();
    let swap = |code| {
        let arguments = ["alias", "digits@production", "2", "--if-match", &etag];
        dunlin.run(&arguments, code)
    };
    swap(OK);
    // The state that was seen is no more.
    let lost = swap(FAILED);
    assert!(
        lost.err.contains("changed by somebody else"),
        "{}",
        lost.err
    );
    dunlin.run(&["alias", "digits@production", "1", "--new"], FAILED);
    dunlin.run(&["alias", "digits@staging", "1", "--new"], OK);

    let all = dunlin.run(&["alias", "digits"], OK);
    assert!(all.out.contains("staging"), "{}", all.out);
    dunlin.run(&["alias", "digits@staging", "--delete"], OK);
    dunlin.run(&["alias", "digits@staging", "--delete"], NOT_FOUND);
    dunlin.run(&["alias", "nothing"], NOT_FOUND);
    for wrong in [
        &["alias", "digits", "1"][..],
        &["alias", "digits@1"],
        &["alias", "digits@production", "1=0"],
        &["alias", "digits@production", "1", "1"],
        &["promote", "digits"],
        &["promote", "digits@production"],
        &["rollback", "digits@2"],
        &["canary", "digits@1", "--percent", "0"],
    ] {
        dunlin.run(wrong, USAGE);
    }
    dunlin.run(&["promote", "digits@9"], NOT_FOUND);
}

#[test]
fn a_release_goes_forth_and_back() {
    let dunlin = with_versions(3);
    dunlin.run(&["canary", "digits@2"], NOT_FOUND);
    dunlin.run(&["promote", "digits@1", "--reason", "the first"], OK);
    let trial = dunlin.run(&["canary", "digits@2", "--json"], OK).json();
    assert_eq!(targets(&trial), [(1, 90), (2, 10)]);
    let more = dunlin.run(&["canary", "digits@2", "--percent", "50"], OK);
    assert!(more.out.contains("2 (50 %, canary)"), "{}", more.out);
    dunlin.run(&["promote", "digits@2"], OK);
    dunlin.run(&["promote", "digits@3"], OK);
    for (want, reason) in [(2, "slow"), (1, "wrong")] {
        let back = ["rollback", "digits", "--reason", reason, "--json"];
        assert_eq!(targets(&dunlin.run(&back, OK).json()), [(want, 1)]);
    }
    let end = dunlin.run(&["rollback", "digits"], FAILED);
    assert!(end.err.contains("no earlier state"), "{}", end.err);
    let shown = dunlin.run(&["alias", "digits@production"], OK);
    for text in [
        "rolled back: wrong",
        "rolled back: slow",
        "the first",
        "canary",
    ] {
        assert!(shown.out.contains(text), "{text}: {}", shown.out);
    }
}

#[test]
fn an_unproven_version_gets_no_alias() {
    let dunlin = with_versions(1);
    // A manifest that came past the publish road, without its examples.
    let versions = dunlin.store_folder().join("models/digits/versions");
    let text = fs::read(versions.join("1.json")).expect("a manifest");
    let mut manifest: Value = serde_json::from_slice(&text).expect("JSON");
    manifest["version"] = json!(2);
    let artifacts = manifest["artifacts"].as_array_mut().expect("files");
    artifacts.retain(|artifact| artifact["role"] != "examples");
    fs::write(versions.join("2.json"), manifest.to_string()).expect("written");
    dunlin.run(&["promote", "digits@1"], OK);
    for command in ["promote", "canary"] {
        let refused = dunlin.run(&[command, "digits@2"], INVALID);
        assert!(
            refused.err.contains("no golden examples"),
            "{command}: {}",
            refused.err
        );
    }
}

/// Requests that a server answers, by version, while releases come and go.
struct Load<'a> {
    server: &'a Server,
    picture: Vec<u8>,
    stop: AtomicBool,
    sent: AtomicU64,
    seen: Mutex<BTreeMap<u64, u64>>,
}

impl Load<'_> {
    /// The version that answered; every answer has to be right.
    fn ask(&self, id: &str) -> u64 {
        let head = format!(
            "POST /predict/digits HTTP/1.1\r\nx-request-id: {id}\r\ncontent-length: {}\r\n",
            self.picture.len()
        );
        let (status, body) = self.server.ask(&head, &self.picture);
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["predictions"][0]["label"], "7", "{answer}");
        answer["version"].as_u64().expect("a version")
    }

    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let id = self.sent.fetch_add(1, Ordering::Relaxed);
            let version = self.ask(&format!("load-{id}"));
            *self
                .seen
                .lock()
                .expect("no panic")
                .entry(version)
                .or_default() += 1;
        }
    }

    /// Forgets what was seen, waits, and gives what was seen meanwhile.
    fn watch(&self, time: Duration) -> BTreeMap<u64, u64> {
        self.seen.lock().expect("no panic").clear();
        std::thread::sleep(time);
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }
}

/// Stops the load however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One command each, effective within the refresh interval, and no request lost.
#[test]
fn releases_lose_no_request_of_a_server_under_load() {
    const REFRESH: Duration = Duration::from_secs(1);
    // The refresh interval, and a second for a load of the new version on a busy machine.
    let settled = REFRESH + Duration::from_secs(1);
    let dunlin = with_versions(2);
    dunlin.run(&["promote", "digits@1"], OK);
    let server = dunlin.serve(&["--refresh-seconds", "1", "--preload", "digits"]);
    let load = Load {
        server: &server,
        picture: fs::read(digits("examples/7.png")).expect("a picture"),
        stop: AtomicBool::new(false),
        sent: AtomicU64::new(0),
        seen: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let _stop = Stop(&load.stop);
        for _ in 0..4 {
            scope.spawn(|| load.run());
        }
        let only = |version: u64, seen: &BTreeMap<u64, u64>| {
            assert!(seen.keys().eq([&version]), "want only {version}: {seen:?}");
        };
        only(1, &load.watch(Duration::from_millis(300)));

        dunlin.run(&["canary", "digits@2", "--percent", "25"], OK);
        std::thread::sleep(settled);
        let seen = load.watch(Duration::from_secs(1));
        let (old, new) = (seen[&1], seen[&2]);
        assert!(new * 6 > old + new && new * 3 < old + new, "{seen:?}");
        for id in 0..16 {
            let id = format!("order-{id}");
            let versions: Vec<u64> = (0..3).map(|_| load.ask(&id)).collect();
            assert!(versions.iter().all(|v| *v == versions[0]), "{versions:?}");
        }

        dunlin.run(&["promote", "digits@2"], OK);
        std::thread::sleep(settled);
        only(2, &load.watch(Duration::from_millis(300)));

        let started = Instant::now();
        dunlin.run(&["rollback", "digits"], OK);
        while load.ask("probe") == 2 {
            assert!(started.elapsed() < settled, "the rollback is not effective");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(100));
        only(1, &load.watch(Duration::from_millis(300)));
    });
    assert!(load.sent.load(Ordering::Relaxed) > 100);
}

/// Pushes digits with its labels in another order: proven, and wrong.
fn push_wrong(dunlin: &Dunlin) {
    let folder = dunlin.folder.path().join("wrong");
    fs::create_dir_all(folder.join("examples")).expect("made");
    fs::copy(digits("model.onnx"), folder.join("model.onnx")).expect("copied");
    for digit in 0..10 {
        let file = format!("examples/{digit}.png");
        fs::copy(digits(&file), folder.join(&file)).expect("copied");
    }
    let text = fs::read_to_string(digits("model.toml")).expect("text");
    let unlabelled = text.lines().filter(|line| !line.starts_with("label = "));
    let unlabelled: Vec<&str> = unlabelled.collect();
    fs::write(folder.join("model.toml"), unlabelled.join("\n")).expect("written");
    fs::write(folder.join("labels.txt"), "9\n8\n7\n6\n5\n4\n3\n2\n1\n0\n").expect("written");
    let path = folder.to_string_lossy().into_owned();
    dunlin.run(&["push", &path, "--quiet"], OK);
}

/// By the program alone: a good version gets all requests, a wrong one goes back and says why.
#[test]
fn a_guarded_release_goes_on_or_back_by_itself() {
    let dunlin = with_versions(2);
    push_wrong(&dunlin);
    dunlin.run(&["promote", "digits@1"], OK);
    let server = dunlin.serve(&["--refresh-seconds", "1", "--preload", "digits"]);
    let picture = fs::read(digits("examples/7.png")).expect("a picture");
    let stop = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let id = sent.fetch_add(1, Ordering::Relaxed);
                let head = format!(
                    "POST /predict/digits HTTP/1.1\r\nx-request-id: load-{id}\r\ncontent-length: {}\r\n",
                    picture.len()
                );
                let (status, body) = server.ask(&head, &picture);
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
            }
        });
        let guarded = |version: &str, code| {
            let how = [
                "--steps",
                "30,60",
                "--min-requests",
                "20",
                "--hold-seconds",
                "0",
            ];
            let gates = [
                "--guard",
                "errors=1%,agreement=95%",
                "--watch",
                "--every-seconds",
                "1",
            ];
            let arguments = [&["promote", version], &how[..], &gates[..]].concat();
            dunlin.run(&arguments, code)
        };
        let good = guarded("digits@2", OK);
        for text in [
            "goes on to 60 %",
            "digits@production -> 2",
            "agreement 100 %",
        ] {
            assert!(good.out.contains(text), "{text}: {}", good.out);
        }
        let bad = guarded("digits@3", FAILED);
        assert!(bad.err.contains("agreement 0 %"), "{}", bad.err);
        let shown = dunlin.run(&["alias", "digits@production", "--json"], OK);
        assert_eq!(targets(&shown.json()), [(2, 1)]);
        dunlin.run(&["canary", "digits", "--advance"], FAILED);

        dunlin.run(&["shadow", "digits@3", "--percent", "100"], OK);
        let started = Instant::now();
        loop {
            let told = dunlin.run(&["shadow", "digits", "--json"], OK).json();
            // Versions 1 and 2 answer alike: of the differences as bad, some may be of 1, which went on while 3 was loaded.
            let differences = told["differences"].as_array().expect("a list");
            if let Some(of_2) = differences.iter().find(|one| one["first"]["version"] == 2) {
                assert_eq!(of_2["second"]["answer"]["predictions"][0]["label"], "2");
                break;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{told}");
            std::thread::sleep(Duration::from_millis(50));
        }
        dunlin.run(&["shadow", "digits", "--off"], OK);
        dunlin.run(&["shadow", "digits@production"], USAGE);
    });
}

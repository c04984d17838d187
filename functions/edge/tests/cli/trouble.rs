//! The server from its start to its end, and stores that are damaged, full or away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::exit::{CORRUPT, LISTEN, NOT_FOUND, OK, STORE};
use crate::process::{Dunlin, Server, digits};

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_bare_dunlin_serves_the_sample_and_prints_a_curl_that_works() {
    let home = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_bare(home.path());
    let line = server.greeting["try"]
        .as_str()
        .expect("a command")
        .to_owned();
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["curl", "--data-binary", picture, url] = words[..] else {
        panic!("{line}");
    };
    let picture = fs::read(picture.trim_start_matches('@')).expect("the picture of the command");
    let path = url
        .strip_prefix(&server.url())
        .expect("the server's own address");
    // curl's own content type for --data-binary.
    let (status, body) = server.post(path, "application/x-www-form-urlencoded", &picture);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer["predictions"][0]["label"], "3");
    assert_eq!(server.terminate(), Some(OK));
    assert!(
        home.path().join("data/dunlin/store").is_dir(),
        "the default store lies in the data directory"
    );
}

#[test]
fn a_server_drains_on_sigterm_and_one_that_was_killed_starts_again() {
    let dunlin = Dunlin::new();
    dunlin.run(&["push", &digits("")], OK);
    let picture = fs::read(digits("examples/7.png")).expect("a picture");
    let ask = |server: &Server| {
        let (status, body) = server.post("/predict/digits", "image/png", &picture);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(answer["predictions"][0]["label"], "7");
    };
    let mut server = dunlin.serve(&["--preload", "digits"]);
    ask(&server);
    server.kill();

    let mut server = dunlin.serve(&[]);
    ask(&server);
    // A connection that is idle doesn't hold the server up.
    let idle = server.connect();
    assert_eq!(server.terminate(), Some(OK));
    drop(idle);
}

#[test]
fn a_port_that_is_taken_is_told_with_the_cure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = Dunlin::new().run(&["serve", "--listen", &address], LISTEN);
    assert!(
        ended.err.contains(&address) && ended.err.contains("--listen"),
        "{}",
        ended.err
    );
}

#[test]
fn a_model_that_cannot_be_preloaded_ends_the_server() {
    let dunlin = Dunlin::new();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--preload", "nothing"];
    let ended = dunlin.run(&serve, NOT_FOUND);
    assert!(ended.err.contains("nothing"), "{}", ended.err);
}

#[test]
fn a_damaged_blob_never_runs() {
    let dunlin = Dunlin::new();
    dunlin.run(&["push", &digits("")], OK);
    let blobs = files(&dunlin.store_folder().join("blobs"));
    // The ONNX file and the plan of it: either may be the one that this host loads.
    let large = |path: &&PathBuf| fs::metadata(path).is_ok_and(|meta| meta.len() > 100_000);
    let damaged: Vec<&PathBuf> = blobs.iter().filter(large).collect();
    assert!(!damaged.is_empty(), "the model's blobs");
    for blob in damaged {
        let mut bytes = fs::read(blob).expect("its bytes");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        // Blobs may be write-protected: put another file in its place.
        fs::remove_file(blob).expect("removed");
        fs::write(blob, bytes).expect("replaced");
    }

    let picture = digits("examples/3.png");
    let ended = dunlin.run(&["run", "digits", &picture], CORRUPT);
    assert!(ended.err.contains("sha256"), "{}", ended.err);
    dunlin.run(&["bench", "digits"], CORRUPT);
    let server = dunlin.serve(&[]);
    let (status, body) = server.post(
        "/predict/digits",
        "image/png",
        &fs::read(picture).expect("a picture"),
    );
    assert_eq!(status, 503, "{}", String::from_utf8_lossy(&body));
    assert_eq!(
        server.get("/v2/health/live").0,
        200,
        "one bad model is not the server's end"
    );
}

#[cfg(unix)]
#[test]
fn a_full_disk_publishes_nothing_and_loses_nothing() {
    let dunlin = Dunlin::new();
    dunlin.run(&["push", &digits("")], OK);
    let other = tempfile::tempdir().expect("a folder");
    let store = format!("file:{}", other.path().display());
    // A limit on the size of files stands in for the disk: any user may set it.
    let ended = dunlin.run_limited(&["push", &digits(""), "--store", &store], 64, STORE);
    assert!(ended.err.contains("blobs"), "{}", ended.err);
    assert_eq!(
        dunlin.run(&["ls", "--json", "--store", &store], OK).json(),
        serde_json::json!([])
    );
    // With room again the same push does it.
    let pushed = dunlin
        .run(&["push", &digits(""), "--store", &store, "--json"], OK)
        .json();
    assert_eq!(pushed["model"], "digits");
    assert_eq!(
        dunlin.run(&["show", "digits", "--json"], OK).json()["versions"],
        serde_json::json!([1])
    );
}

#[test]
fn a_store_that_cannot_be_used_is_told_with_its_address() {
    let dunlin = Dunlin::new();
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let list = [
        "ls",
        "--store",
        "s3://models",
        "--s3-endpoint",
        &endpoint,
        "--s3-region",
        "us-east-1",
    ];
    let ended = dunlin.run(&list, STORE);
    assert!(ended.err.contains("s3://models"), "{}", ended.err);
    assert!(!ended.err.contains("not-a-secret"), "{}", ended.err);
    assert!(ended.took < Duration::from_secs(90), "{:?}", ended.took);
}

//! The built `dunlin`, serving models from a store of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::model_file;

/// Requests that may wait.
pub(crate) const QUEUE: usize = 64;

/// A running server. It is ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    _store: TempDir,
}

impl Server {
    /// Publishes these models of tests/models/bench and serves them.
    pub(crate) fn start(models: &[&str], workers: usize) -> Self {
        let store = tempfile::tempdir().expect("a folder");
        let url = format!("file:{}", store.path().display());
        for model in models {
            let pushed = dunlin(&url)
                .args(["push", &model_file(model), "--quiet"])
                .stdout(Stdio::null())
                .status();
            assert!(
                pushed.expect("dunlin runs").success(),
                "{model} is not published"
            );
        }
        let mut child = dunlin(&url)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--json",
                "--preload",
                &models.join(","),
            ])
            .args([
                "--workers",
                &workers.to_string(),
                "--queue",
                &QUEUE.to_string(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dunlin runs");
        let mut line = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("a greeting");
        let greeting: Value = serde_json::from_str(&line).expect("JSON");
        let address = greeting["url"]
            .as_str()
            .expect("an address")
            .trim_start_matches("http://")
            .to_owned();
        Self {
            child,
            address,
            _store: store,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The most memory that the server had at any time, as Linux counts it.
    pub(crate) fn peak_memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.map_or_else(
            || "not known here".to_owned(),
            |peak| peak.trim().to_owned(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dunlin(store: &str) -> Command {
    let program = std::env::var_os("DUNLIN").map_or_else(built, PathBuf::from);
    let mut command = Command::new(program);
    command
        .args(["--store", store, "--log", "warn"])
        .stdin(Stdio::null());
    command
}

/// The binary of this build: a benchmark lies in the folder `deps` beside it.
fn built() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let folder = own
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>");
    let program = folder.join("dunlin");
    assert!(
        program.is_file(),
        "{} is missing: cargo build --release --workspace --bins",
        program.display()
    );
    program
}

//! The built program.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A place with data, where `dunlin-train` runs.
pub(crate) struct Trainer {
    pub(crate) folder: TempDir,
}

impl Trainer {
    /// With so many pictures a class in `data`.
    pub(crate) fn new(pictures: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        super::pictures::write(&folder.path().join("data"), pictures);
        Self { folder }
    }

    /// With this file in `data`.
    pub(crate) fn with_file(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data").join(name), text).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = self.program();
        command.args(options).args(["--data", "data"]);
        command
    }

    /// The program, told nothing.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin-train"));
        command
            .current_dir(self.folder.path())
            .env_remove("DUNLIN_STORE")
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end, which must be this exit code.
    pub(crate) fn run(&self, options: &[&str], exit: i32) -> Output {
        let output = self.command(options).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{options:?}: {text}");
        output
    }

    pub(crate) fn start(&self, options: &[&str]) -> Child {
        self.command(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub(crate) fn report(&self, model: &str) -> Value {
        read_json(&self.path(model).join("report.json"))
    }
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// SIGTERM.
pub(crate) fn tell_to_stop(child: &Child) {
    let pid = child.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.unwrap().success());
}

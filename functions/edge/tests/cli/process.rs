//! The program under test as a child process, and the little HTTP that asks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything here may take before it counts as hung.
const PATIENCE: Duration = Duration::from_mins(2);

/// A file of the sample.
pub(crate) fn digits(file: &str) -> String {
    format!("{}/../../models/digits/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// The command line with a store of its own.
pub(crate) struct Dunlin {
    pub(crate) folder: TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl Dunlin {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn store_folder(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The program, without the settings that a developer may have.
    fn command(&self, program: &str) -> Command {
        let mut command = clean(program);
        command
            .env(
                "DUNLIN_STORE",
                format!("file:{}", self.store_folder().display()),
            )
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
        command
    }

    /// Runs to the end, with no input, and expects this exit code.
    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> Ended {
        self.run_with(arguments, b"", code)
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8], code: i32) -> Ended {
        let ended = self.end(arguments, input);
        assert_eq!(
            ended.code, code,
            "{arguments:?}: {}{}",
            ended.out, ended.err
        );
        ended
    }

    pub(crate) fn end(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = self.command(env!("CARGO_BIN_EXE_dunlin"));
        command.args(arguments);
        end(command, input)
    }

    /// A process that the caller ends.
    pub(crate) fn spawn(&self, arguments: &[String]) -> Child {
        let mut command = self.command(env!("CARGO_BIN_EXE_dunlin"));
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("the program starts")
    }

    /// As [`run`](Self::run), with files of at most so many KiB.
    #[cfg(unix)]
    pub(crate) fn run_limited(&self, arguments: &[&str], kib: u32, code: i32) -> Ended {
        let mut command = self.command("bash");
        // Without the trap the signal of the limit would end the process.
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_dunlin")])
            .args(arguments);
        let ended = end(command, b"");
        assert_eq!(
            ended.code, code,
            "{arguments:?}: {}{}",
            ended.out, ended.err
        );
        ended
    }

    /// A server on a free port, once it is ready.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut command = self.command(env!("CARGO_BIN_EXE_dunlin"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--json"])
            .args(arguments);
        Server::start(command)
    }
}

fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DUNLIN_")
            || name.to_string_lossy().starts_with("AWS_")
        {
            command.env_remove(name);
        }
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn end(mut command: Command, input: &[u8]) -> Ended {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that ends without reading its input is no failure of the test.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("the program ends");
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: started.elapsed(),
    }
}

/// A running server. It is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) greeting: Value,
}

impl Server {
    /// `dunlin` with no command, for a user whose home is this folder.
    pub(crate) fn start_bare(home: &Path) -> Self {
        let mut command = clean(env!("CARGO_BIN_EXE_dunlin"));
        command
            .arg("--json")
            .current_dir(home)
            .env("HOME", home)
            .env("XDG_DATA_HOME", home.join("data"))
            .env("DUNLIN_LISTEN", "127.0.0.1:0");
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let greeting =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, greeting }
    }

    pub(crate) fn url(&self) -> String {
        self.greeting["url"]
            .as_str()
            .expect("an address")
            .to_owned()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let url = self.url();
        let stream = TcpStream::connect(url.trim_start_matches("http://")).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.ask(&format!("GET {path} HTTP/1.1\r\n"), b"")
    }

    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!(
            "POST {path} HTTP/1.1\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.ask(&head, body)
    }

    /// A request by its first lines, each with its line end.
    pub(crate) fn ask(&self, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = self.connect();
        stream
            .write_all(format!("{head}host: x\r\nconnection: close\r\n\r\n").as_bytes())
            .expect("sent");
        stream.write_all(body).expect("sent");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).expect("a reply");
        let head_end = reply
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("a head");
        let head = String::from_utf8_lossy(&reply[..head_end]);
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        (status, reply[head_end + 4..].to_vec())
    }

    /// SIGTERM; the exit code, or `None` for a process that a signal ended.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

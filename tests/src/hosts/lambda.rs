//! The Lambda `bootstrap` under an emulator of the Runtime API.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{Gateway, Running, client, command, events, free_port};
use crate::requests::{Host, Reply};

/// An emulator of Lambda, by its program.
#[derive(Debug, Clone)]
pub enum Emulator {
    /// AWS's own Runtime Interface Emulator.
    Aws(PathBuf),
    /// `cargo-lambda`, whose `watch` emulates the Runtime API.
    CargoLambda(PathBuf),
}

/// A function under an emulator.
#[derive(Debug)]
pub struct Function {
    name: String,
    gateway: Gateway,
    invoke: String,
    client: reqwest::Client,
    processes: Vec<Running>,
    log: NamedTempFile,
}

impl Function {
    /// Starts the function over a store, behind a gateway, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not come up in a minute.
    pub async fn start(emulator: &Emulator, bootstrap: &Path, store: &str) -> Self {
        let settings = [
            ("DUNLIN_STORE", store.to_owned()),
            ("DUNLIN_PRELOAD", "digits".to_owned()),
            ("DUNLIN_BODY_MIB", "1".to_owned()),
        ];
        let function = Self::launch(emulator, bootstrap, &settings).await;
        for _ in 0..600 {
            let reply = function.send("GET", "/v2/health/ready", &[], &[]).await;
            if reply.status == 200 {
                return function;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} is not ready after a minute", function.name);
    }

    /// Starts a function with these settings; whether it is ready, its first answer tells.
    pub async fn launch(
        emulator: &Emulator,
        bootstrap: &Path,
        settings: &[(&str, String)],
    ) -> Self {
        let port = free_port();
        let log = NamedTempFile::new().expect("a file");
        let (name, path, processes) = match emulator {
            Emulator::Aws(program) => {
                let runtime = format!("127.0.0.1:{}", free_port());
                let mut command = command(program);
                command
                    .args([
                        "--runtime-interface-emulator-address",
                        &format!("127.0.0.1:{port}"),
                    ])
                    .args(["--runtime-api-address", &runtime])
                    .arg(bootstrap)
                    .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "30");
                (
                    "aws-lambda-rie",
                    "function",
                    vec![spawn(with(&mut command, settings), Some(&log))],
                )
            }
            Emulator::CargoLambda(program) => {
                let mut watch = command(program);
                let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../functions/predict");
                watch
                    .args(["lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1"])
                    .args(["-P", &port.to_string()])
                    .current_dir(folder);
                let emulator = spawn(&mut watch, None);
                wait_for_port(port).await;
                let mut function = command(bootstrap);
                function
                    .env(
                        "AWS_LAMBDA_RUNTIME_API",
                        format!("http://127.0.0.1:{port}/.rt/bootstrap"),
                    )
                    .env("AWS_LAMBDA_FUNCTION_VERSION", "1");
                // The function ends before its emulator.
                let function = spawn(with(&mut function, settings), Some(&log));
                ("cargo-lambda", "bootstrap", vec![function, emulator])
            }
        };
        wait_for_port(port).await;
        Self {
            name: name.to_owned(),
            gateway: Gateway::FunctionUrl,
            invoke: format!("http://127.0.0.1:{port}/2015-03-31/functions/{path}/invocations"),
            client: client(),
            processes,
            log,
        }
    }

    /// What the function has written to its standard output, line by line.
    ///
    /// # Panics
    /// Where it can't be read.
    pub fn log(&self) -> Vec<String> {
        let bytes = std::fs::read(self.log.path()).expect("a log");
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }

    /// The same function behind another gateway.
    #[must_use]
    pub fn behind(mut self, gateway: Gateway) -> Self {
        let (emulator, _) = self.name.split_once(' ').unwrap_or((&self.name, ""));
        self.name = format!("{emulator} {gateway:?}");
        self.gateway = gateway;
        self
    }

    /// Kills the function's own process (SIGKILL), wherever it is. Its emulator lives, and answers
    /// the invocation with an error.
    pub fn kill_process(&self) {
        self.signal("KILL");
    }

    /// Sends a signal to the function's own process: `STOP` is what Lambda's freeze is to it, `CONT`
    /// its end.
    pub fn signal(&self, signal: &str) {
        let emulator = self.processes[0].0.id();
        let children = format!("/proc/{emulator}/task/{emulator}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        for child in children.split_whitespace() {
            // It may have ended already.
            let _ = Command::new("kill").args(["-s", signal, child]).status();
        }
    }

    /// What the function gives for an event; null where the invocation failed.
    pub async fn invoke(&self, event: &Value) -> Value {
        let sent = self.client.post(&self.invoke).json(event).send().await;
        let Ok(reply) = sent else { return Value::Null };
        reply.json().await.unwrap_or_default()
    }
}

#[async_trait]
impl Host for Function {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Reply {
        let event = self.gateway.event(method, path, headers, body);
        events::reply(&self.invoke(&event).await)
    }
}

fn with<'a>(command: &'a mut Command, settings: &[(&str, String)]) -> &'a mut Command {
    command
        .env("AWS_LAMBDA_FUNCTION_NAME", "function")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .envs(settings.iter().map(|(name, value)| (name, value)))
}

fn spawn(command: &mut Command, log: Option<&NamedTempFile>) -> Running {
    let out = log.map_or_else(Stdio::null, |log| {
        Stdio::from(log.reopen().expect("the log opens"))
    });
    let child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::null())
        .spawn();
    Running(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

async fn wait_for_port(port: u16) {
    for _ in 0..600 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing listens on port {port}");
}

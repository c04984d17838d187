//! The hosts as a user starts them: `dunlin serve`, and the Lambda `bootstrap` under an emulator.

mod events;
mod lambda;
mod serve;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use dunlin_publishing::{Candidate, CompileOptions, ProveOptions};
use dunlin_registry::Registry;
use dunlin_storage::Store;

pub use events::Gateway;
pub use lambda::{Emulator, Function};
pub use serve::Server;

/// A process, killed when dropped.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A binary of this workspace, built in the same profile as the running test; the environment
/// variable `DUNLIN`, `DUNLIN_BOOTSTRAP` or `BOOTSTRAP_ADMIN` (for others alike) names another. `None`: it is not built.
pub fn binary(name: &str) -> Option<PathBuf> {
    let variable = match name {
        "bootstrap" => "DUNLIN_BOOTSTRAP".to_owned(),
        name => name.to_uppercase().replace('-', "_"),
    };
    let path = std::env::var_os(variable).map(PathBuf::from).or_else(|| {
        let test = std::env::current_exe().ok()?;
        Some(test.parent()?.parent()?.join(name))
    });
    path.filter(|path| path.is_file())
}

/// Publishes the digits sample into a directory store; gives the store's URL.
///
/// # Panics
/// Where `dunlin push` fails.
pub fn publish(dunlin: &Path, folder: &Path) -> String {
    let url = format!("file:{}", folder.display());
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits");
    let output = command(dunlin)
        .args(["push", model, "--quiet", "--store", &url])
        .output();
    let output = output.expect("dunlin starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    url
}

/// Publishes a model of this repository, a folder or an ONNX file, into any store.
///
/// # Panics
/// Where it does not become a version.
pub async fn publish_to(store: Arc<dyn Store>, model: &str) {
    let path = format!("{}/../{model}", env!("CARGO_MANIFEST_DIR"));
    let verified = tokio::task::spawn_blocking(move || {
        let candidate = Candidate::read(path.as_ref(), None).expect("it reads");
        let compiled = candidate.compile(&CompileOptions::default());
        let prove = ProveOptions::default();
        let proven = compiled.expect("it compiles").prove(&prove);
        proven.expect("it is proven")
    });
    let verified = verified.await.expect("no panic");
    let published = verified.publish(&Registry::new(store), None).await;
    published.expect("it is stored");
}

/// A command without the settings of this environment.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|n| n.starts_with("DUNLIN_") || n.starts_with("AWS_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A port that is free, of those that no outgoing connection takes (below 32768); another one at
/// each call, and most likely in each process.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1_000).unwrap_or_default() * 12;
    let ports =
        std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(12_000).find(free).expect("a port is free")
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a plain client")
}

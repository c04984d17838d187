//! Why the program failed: one line, a word, and the exit code that scripts match on.

use std::io;
use std::process::ExitCode;

use serde::Serialize;

/// The exit codes, as docs/cli.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// Anything that has no code of its own.
    Failed = 1,
    /// The command line or the configuration makes no sense.
    Usage = 2,
    /// There is no such model, version, alias or file.
    NotFound = 3,
    /// The model, or the input to it, is not valid.
    Invalid = 4,
    /// The store is unreachable, denies access, or is full.
    Store = 5,
    /// Stored bytes are not what they should be.
    Corrupt = 6,
    /// The address can't be listened on.
    Listen = 7,
    /// No trusted key has signed the version.
    Untrusted = 8,
}

/// A failure: what, where, and the cure, in one line.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) error: String,
    #[serde(rename = "kind")]
    pub(crate) exit: Exit,
}

impl Exit {
    pub(crate) fn failure(self, error: impl Into<String>) -> Failure {
        let error: String = error.into();
        Failure {
            error: error.trim_end().replace(['\n', '\r'], " "),
            exit: self,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Failure {
    pub(crate) fn failed(error: impl Into<String>) -> Self {
        Exit::Failed.failure(error)
    }

    /// A file that could not be read, with the reason.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        exit.failure(format!("cannot read {}: {error}", path.display()))
    }
}

/// The error and its causes in one line; a cause that the line already tells is left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<dunlin_telemetry::Error> for Failure {
    fn from(error: dunlin_telemetry::Error) -> Self {
        Exit::Usage.failure(error.to_string())
    }
}

impl From<dunlin_storage::Error> for Failure {
    fn from(error: dunlin_storage::Error) -> Self {
        storage(error.kind()).failure(chain(&error))
    }
}

impl From<dunlin_registry::Error> for Failure {
    fn from(error: dunlin_registry::Error) -> Self {
        registry(error.kind()).failure(chain(&error))
    }
}

impl From<dunlin_engine::Error> for Failure {
    fn from(error: dunlin_engine::Error) -> Self {
        use dunlin_engine::ErrorKind as Kind;
        let exit = match error.kind() {
            Kind::Failed => Exit::Failed,
            _ => Exit::Invalid,
        };
        // Its message already holds the innermost cause.
        exit.failure(error.to_string())
    }
}

impl From<dunlin_protocol::Error> for Failure {
    fn from(error: dunlin_protocol::Error) -> Self {
        Exit::Invalid.failure(chain(&error))
    }
}

impl From<dunlin_publishing::Error> for Failure {
    fn from(error: dunlin_publishing::Error) -> Self {
        use dunlin_publishing::ErrorKind as Kind;
        let exit = match error.kind() {
            // Which file, and why, is in the message.
            Kind::Read if is_absent(&error) => Exit::NotFound,
            Kind::Read | Kind::Model(dunlin_engine::ErrorKind::Failed) => Exit::Failed,
            Kind::Registry(kind) => registry(kind),
            _ => Exit::Invalid,
        };
        exit.failure(chain(&error))
    }
}

impl From<dunlin_serving::Error> for Failure {
    fn from(error: dunlin_serving::Error) -> Self {
        serving(error.kind()).failure(error.chain())
    }
}

impl From<dunlin_jobs::Error> for Failure {
    fn from(error: dunlin_jobs::Error) -> Self {
        use dunlin_jobs::ErrorKind as Kind;
        let exit = match error.kind() {
            Kind::NotFound => Exit::NotFound,
            Kind::Invalid => Exit::Invalid,
            Kind::OtherJob => Exit::Usage,
            Kind::Storage(kind) => storage(kind),
            Kind::Serving(kind) => serving(kind),
            _ => Exit::Failed,
        };
        exit.failure(error.to_string())
    }
}

fn serving(kind: dunlin_serving::ErrorKind) -> Exit {
    use dunlin_serving::ErrorKind as Kind;
    match kind {
        Kind::InvalidName => Exit::Usage,
        Kind::ModelNotFound | Kind::VersionNotFound | Kind::AliasNotFound => Exit::NotFound,
        Kind::InvalidRequest | Kind::TooLarge | Kind::UnsupportedMedia => Exit::Invalid,
        Kind::ModelUnusable => Exit::Corrupt,
        Kind::Untrusted => Exit::Untrusted,
        Kind::Store => Exit::Store,
        _ => Exit::Failed,
    }
}

/// Whether a file was not there: the system says so, or a folder was looked through.
fn is_absent(error: &dyn std::error::Error) -> bool {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    source.is_none_or(|source| source.kind() == io::ErrorKind::NotFound)
}

fn registry(kind: dunlin_registry::ErrorKind) -> Exit {
    use dunlin_registry::ErrorKind as Kind;
    match kind {
        Kind::InvalidName | Kind::InvalidAlias => Exit::Usage,
        Kind::ModelNotFound | Kind::VersionNotFound | Kind::AliasNotFound => Exit::NotFound,
        Kind::InvalidManifest | Kind::Corrupt | Kind::InvalidExamples => Exit::Corrupt,
        Kind::Untrusted => Exit::Untrusted,
        Kind::Unproven | Kind::InvalidKey => Exit::Invalid,
        Kind::Storage(kind) => storage(kind),
        _ => Exit::Failed,
    }
}

fn storage(kind: dunlin_storage::ErrorKind) -> Exit {
    use dunlin_storage::ErrorKind as Kind;
    match kind {
        Kind::InvalidKey | Kind::InvalidConfig => Exit::Usage,
        Kind::NotFound
        | Kind::PermissionDenied
        | Kind::Unavailable
        | Kind::NoCredentials
        | Kind::StorageFull
        | Kind::TooLarge => Exit::Store,
        Kind::Corrupt => Exit::Corrupt,
        _ => Exit::Failed,
    }
}

//! The crate's error.

use std::error::Error as StdError;
use std::process::ExitCode;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble it was; each has an exit code that scripts match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Anything that has no kind of its own.
    Failed = 1,
    /// The options make no sense, alone or together with the data.
    Usage = 2,
    /// The data is not there.
    NotFound = 3,
    /// The data can't be learned from: damaged, empty, one class only.
    Data = 4,
    /// The store failed.
    Store = 5,
    /// What was stored earlier is damaged, or belongs to another run.
    Corrupt = 6,
    /// The loss is no number any more.
    Diverged = 7,
    /// A gate was not met: nothing was published.
    Gate = 8,
    /// Told to stop: the checkpoint is stored, the same command goes on.
    Stopped = 9,
}

/// An error: what, where, and the cure.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The data can't be learned from.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// The options make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a sentence after the message and its causes: what is left, and the cure.
    #[must_use]
    pub fn with(self, sentence: &str) -> Self {
        Self {
            message: format!("{}. {sentence}", self.chain()),
            ..self
        }
    }

    /// What kind of trouble it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message and its causes, in one line; a cause that the line already tells is left out.
    pub fn chain(&self) -> String {
        let mut line = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            cause = error.source();
        }
        line
    }
}

impl From<ErrorKind> for ExitCode {
    fn from(kind: ErrorKind) -> Self {
        Self::from(kind as u8)
    }
}

impl From<dunlin_storage::Error> for Error {
    fn from(error: dunlin_storage::Error) -> Self {
        use dunlin_storage::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::InvalidKey | Kind::InvalidConfig => ErrorKind::Usage,
            Kind::NotFound => ErrorKind::NotFound,
            Kind::Corrupt => ErrorKind::Corrupt,
            _ => ErrorKind::Store,
        };
        Self::new(kind, error.to_string()).because(error)
    }
}

impl From<dunlin_registry::Error> for Error {
    fn from(error: dunlin_registry::Error) -> Self {
        use dunlin_registry::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::Storage(_) => ErrorKind::Store,
            Kind::Corrupt | Kind::InvalidManifest => ErrorKind::Corrupt,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error.to_string()).because(error)
    }
}

impl From<dunlin_transforms::Error> for Error {
    fn from(error: dunlin_transforms::Error) -> Self {
        Self::new(ErrorKind::Failed, error.to_string()).because(error)
    }
}

impl From<dunlin_publishing::Error> for Error {
    fn from(error: dunlin_publishing::Error) -> Self {
        use dunlin_publishing::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::Registry(_) => ErrorKind::Store,
            Kind::Precision => ErrorKind::Gate,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, "not published").because(error)
    }
}

impl From<dunlin_engine::Error> for Error {
    fn from(error: dunlin_engine::Error) -> Self {
        Self::new(
            ErrorKind::Failed,
            "the engine does not run the exported model",
        )
        .because(error)
    }
}

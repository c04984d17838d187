//! The one error type: what it means, which object, which operation, how long, how many tries.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What a storage operation gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an [`Error`] means, for code that acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such object, or no such bucket.
    NotFound,
    /// The object was to be created, and is already there.
    AlreadyExists,
    /// The object is not, or no longer, the one whose `ETag` was given.
    Precondition,
    /// The credentials do not allow the operation.
    PermissionDenied,
    /// The name is not a key, or not one that this store can hold.
    InvalidKey,
    /// The store's URL or options make no sense.
    InvalidConfig,
    /// The object is larger than the caller's limit.
    TooLarge,
    /// The store cannot be reached, or answered with failures until the tries or the time ran out.
    Unavailable,
    /// No credentials were found.
    NoCredentials,
    /// The disk or the quota is full.
    StorageFull,
    /// The store answered with bytes that cannot be right.
    Corrupt,
    /// Anything else.
    Other,
}

/// A failed operation on a store.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    reason: String,
    cure: Option<String>,
    elapsed: Duration,
    tries: u32,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        operation: &'static str,
        object: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            object: object.into(),
            reason: reason.into(),
            cure: None,
            elapsed: Duration::ZERO,
            tries: 1,
            source: None,
        }))
    }

    #[must_use]
    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    #[must_use]
    pub(crate) fn with_cure(mut self, cure: impl Into<String>) -> Self {
        self.0.cure = Some(cure.into());
        self
    }

    #[must_use]
    pub(crate) fn after(mut self, elapsed: Duration, tries: u32) -> Self {
        self.0.elapsed = elapsed;
        self.0.tries = tries;
        self
    }

    /// What the error means.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed: `get`, `put`, `list`, `open`, …
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The object or store that the operation was on, as a URL.
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// The time from the first try to the last answer.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// How often the operation was tried.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// What the caller can do about it, where that is known.
    pub fn cure(&self) -> Option<&str> {
        self.0.cure.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        write!(
            f,
            "cannot {} {}: {}",
            inner.operation, inner.object, inner.reason
        )?;
        if inner.tries > 1 {
            write!(f, " ({} tries in {:.2?})", inner.tries, inner.elapsed)?;
        } else if inner.elapsed > Duration::from_millis(1) {
            write!(f, " (after {:.2?})", inner.elapsed)?;
        }
        match &inner.cure {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

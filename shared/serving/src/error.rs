//! The one error type of this room, and the one place where a kind becomes a status.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use dunlin_engine::ErrorKind as Engine;
use dunlin_protocol::ErrorKind as Protocol;
use dunlin_registry::ErrorKind as Registry;
use dunlin_storage::ErrorKind as Storage;
use dunlin_transforms::ErrorKind as Transforms;
use http::StatusCode;

/// What went wrong, to match on. [`facts`] tells what each means to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A body, a header or a tensor that is wrong.
    InvalidRequest,
    /// A model name, version or alias that can't be one.
    InvalidName,
    /// No such model.
    ModelNotFound,
    /// The model has no such version.
    VersionNotFound,
    /// The model has no such alias.
    AliasNotFound,
    /// No such path.
    RouteNotFound,
    /// No request is stored under this id.
    RequestNotFound,
    /// The path does not answer this method.
    MethodNotAllowed,
    /// The caller has not shown that it may change anything.
    Unauthorized,
    /// What was to be changed is no longer what the caller has seen.
    Conflict,
    /// A version without golden examples: no alias takes it.
    Unproven,
    /// The alias has no earlier state to go back to.
    NoEarlierState,
    /// The body did not arrive in time.
    BodyTimeout,
    /// A limit on bytes, pixels or elements was passed.
    TooLarge,
    /// The URI is too long.
    UriTooLong,
    /// The body is of a kind that the model does not take, or compressed.
    UnsupportedMedia,
    /// The answer holds values that JSON can't carry.
    NotJson,
    /// The queue is full, or the wait in it was too long. Nothing was run.
    Overloaded,
    /// The headers are too many or too long.
    HeadersTooLarge,
    /// The model failed on this input.
    RunFailed,
    /// A defect of ours.
    Internal,
    /// None of the keys that this host trusts has signed the version.
    Untrusted,
    /// The model can't be loaded, or does not give its golden answers.
    ModelUnusable,
    /// The model needs more memory than the cache has.
    OutOfMemory,
    /// The store can't be reached, and nothing older is held.
    Store,
    /// The service is not ready to take requests.
    NotReady,
    /// The service is going down.
    Draining,
    /// The request's time is over.
    Deadline,
}

impl ErrorKind {
    /// Whether the same input would fail so again, whenever it comes.
    pub fn is_the_inputs(self) -> bool {
        matches!(
            self,
            Self::InvalidRequest
                | Self::InvalidName
                | Self::TooLarge
                | Self::UnsupportedMedia
                | Self::NotJson
                | Self::RunFailed
        )
    }
}

impl ErrorKind {
    /// The kind of an input's own fault, by its word.
    pub(crate) fn of_input(word: &str) -> Self {
        [
            Self::InvalidRequest,
            Self::InvalidName,
            Self::TooLarge,
            Self::UnsupportedMedia,
            Self::NotJson,
            Self::RunFailed,
        ]
        .into_iter()
        .find(|kind| facts(*kind).word == word)
        .unwrap_or(Self::Internal)
    }
}

/// What an error kind means outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable word of the error body and of metrics.
    pub word: &'static str,
    /// The label `reason` of Triton's failure counter.
    pub reason: &'static str,
    /// Seconds for `Retry-After`, where trying again makes sense.
    pub retry_after: Option<u32>,
}

/// The one mapping from kinds to HTTP status, kind word and metric label.
pub fn facts(kind: ErrorKind) -> Facts {
    use ErrorKind as K;
    use StatusCode as S;
    let (status, word, reason, retry_after) = match kind {
        K::InvalidRequest => (S::BAD_REQUEST, "invalid_request", "OTHER", None),
        K::InvalidName => (S::BAD_REQUEST, "invalid_name", "OTHER", None),
        K::ModelNotFound => (S::NOT_FOUND, "model_not_found", "OTHER", None),
        K::VersionNotFound => (S::NOT_FOUND, "version_not_found", "OTHER", None),
        K::AliasNotFound => (S::NOT_FOUND, "alias_not_found", "OTHER", None),
        K::RouteNotFound => (S::NOT_FOUND, "route_not_found", "OTHER", None),
        K::RequestNotFound => (S::NOT_FOUND, "request_not_found", "OTHER", None),
        K::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "OTHER", None),
        K::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "OTHER", None),
        K::Conflict => (S::PRECONDITION_FAILED, "conflict", "OTHER", None),
        K::Unproven => (S::CONFLICT, "unproven", "OTHER", None),
        K::NoEarlierState => (S::CONFLICT, "no_earlier_state", "OTHER", None),
        K::BodyTimeout => (S::REQUEST_TIMEOUT, "body_timeout", "OTHER", None),
        K::TooLarge => (S::PAYLOAD_TOO_LARGE, "too_large", "OTHER", None),
        K::UriTooLong => (S::URI_TOO_LONG, "uri_too_long", "OTHER", None),
        K::UnsupportedMedia => (
            S::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "OTHER",
            None,
        ),
        K::NotJson => (S::UNPROCESSABLE_ENTITY, "not_json", "OTHER", None),
        K::Overloaded => (S::TOO_MANY_REQUESTS, "overloaded", "REJECTED", Some(1)),
        K::HeadersTooLarge => (
            S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            "OTHER",
            None,
        ),
        K::RunFailed => (
            S::INTERNAL_SERVER_ERROR,
            "inference_failed",
            "BACKEND",
            None,
        ),
        K::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "OTHER", None),
        K::Untrusted => (S::FORBIDDEN, "untrusted", "OTHER", None),
        K::ModelUnusable => (S::SERVICE_UNAVAILABLE, "model_unusable", "OTHER", None),
        K::OutOfMemory => (S::SERVICE_UNAVAILABLE, "out_of_memory", "OTHER", None),
        K::Store => (
            S::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "OTHER",
            Some(2),
        ),
        K::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "OTHER", Some(1)),
        K::Draining => (S::SERVICE_UNAVAILABLE, "draining", "REJECTED", Some(1)),
        K::Deadline => (S::GATEWAY_TIMEOUT, "deadline_exceeded", "REJECTED", None),
    };
    Facts {
        status,
        word,
        reason,
        retry_after,
    }
}

/// An error of serving: its kind, a message for the caller, the model, and the cause for the log.
///
/// Cheap to clone: one failed load is told to everybody who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    model: Option<Arc<str>>,
    #[source]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string().into(),
            model: None,
            source: None,
        }
    }

    pub(crate) fn caused(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Self {
        Self {
            source: Some(Arc::new(source)),
            ..Self::new(kind, "")
        }
        .quoting_source()
    }

    fn quoting_source(mut self) -> Self {
        if let Some(source) = &self.source {
            self.message = source.to_string().into();
        }
        self
    }

    /// A model that can't be loaded: whatever failed, it is not this request's fault. Trouble with
    /// the store stays what it is.
    pub(crate) fn unusable(doing: impl fmt::Display, error: impl Into<Self>) -> Self {
        let error = error.into();
        if matches!(error.kind, ErrorKind::Store | ErrorKind::Internal) {
            return error;
        }
        let message = format!("{doing}: {}", error.message).into();
        Self {
            kind: ErrorKind::ModelUnusable,
            message,
            ..error
        }
    }

    /// Names the model.
    pub(crate) fn of_model(mut self, name: &str) -> Self {
        if self.kind == ErrorKind::ModelNotFound {
            // The registry's own words name the store, which is not the caller's business.
            self.message =
                format!("no model \"{name}\"; POST /v2/repository/index lists them").into();
        }
        self.model.get_or_insert_with(|| name.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The model that the request named.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The message and every cause under it, for a log.
    pub fn chain(&self) -> String {
        let mut text = self.message.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let more = error.to_string();
            // An error that quotes its cause says it once.
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
}

impl From<dunlin_registry::Error> for Error {
    fn from(error: dunlin_registry::Error) -> Self {
        let kind = match error.kind() {
            Registry::InvalidName | Registry::Storage(Storage::InvalidKey) => {
                ErrorKind::InvalidName
            }
            Registry::ModelNotFound => ErrorKind::ModelNotFound,
            Registry::VersionNotFound => ErrorKind::VersionNotFound,
            Registry::AliasNotFound => ErrorKind::AliasNotFound,
            Registry::Storage(_) => ErrorKind::Store,
            Registry::Conflict => ErrorKind::Conflict,
            Registry::Unproven => ErrorKind::Unproven,
            Registry::NoEarlierState => ErrorKind::NoEarlierState,
            Registry::Untrusted => ErrorKind::Untrusted,
            Registry::Corrupt
            | Registry::NewerSchema
            | Registry::InvalidManifest
            | Registry::InvalidAlias
            | Registry::InvalidExamples
            | Registry::TooLarge => ErrorKind::ModelUnusable,
            _ => ErrorKind::Internal,
        };
        Self::caused(kind, error)
    }
}

impl From<dunlin_protocol::Error> for Error {
    fn from(error: dunlin_protocol::Error) -> Self {
        let kind = match error.kind() {
            Protocol::TooLarge => ErrorKind::TooLarge,
            Protocol::NotJson => ErrorKind::NotJson,
            _ => ErrorKind::InvalidRequest,
        };
        Self::caused(kind, error)
    }
}

impl From<dunlin_transforms::Error> for Error {
    fn from(error: dunlin_transforms::Error) -> Self {
        let kind = match error.kind() {
            Transforms::UnsupportedMedia => ErrorKind::UnsupportedMedia,
            Transforms::InvalidInput => ErrorKind::InvalidRequest,
            Transforms::TooLarge => ErrorKind::TooLarge,
            Transforms::InvalidOutput => ErrorKind::RunFailed,
            Transforms::InvalidSpec => ErrorKind::ModelUnusable,
            _ => ErrorKind::Internal,
        };
        Self::caused(kind, error)
    }
}

impl From<dunlin_engine::Error> for Error {
    fn from(error: dunlin_engine::Error) -> Self {
        let kind = match error.kind() {
            Engine::InvalidInput => ErrorKind::InvalidRequest,
            Engine::TooLarge => ErrorKind::TooLarge,
            _ => ErrorKind::RunFailed,
        };
        Self::caused(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_is_told_without_the_store() {
        let error =
            Error::new(ErrorKind::ModelNotFound, "no model \"x\" in s3://secret").of_model("x");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.model(), Some("x"));
    }

    #[test]
    fn trouble_with_the_store_is_never_the_models_fault() {
        let store = Error::new(ErrorKind::Store, "the disk is gone");
        assert_eq!(
            Error::unusable("cannot load", store).kind(),
            ErrorKind::Store
        );
        let other = Error::new(ErrorKind::InvalidRequest, "bad picture");
        let error = Error::unusable("example \"7.png\"", other);
        assert_eq!(error.kind(), ErrorKind::ModelUnusable);
        assert_eq!(error.to_string(), "example \"7.png\": bad picture");
    }
}

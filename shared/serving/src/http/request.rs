//! What comes in: names in paths, headers, bodies.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::body::HttpBody as _;
use axum::extract::{FromRequestParts, RawPathParams};
use bytes::{Bytes, BytesMut};
use dunlin_protocol::HEADER_LENGTH;
use dunlin_registry::{Alias, ModelName, ModelRef, Selector};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, request::Parts};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::options::Limits;
use crate::{Error, ErrorKind};

/// The model that a path of the protocol names: `{model}`, and `{version}`, a number or an alias.
pub(super) struct OfModel(pub(super) ModelRef);

/// The model that a path of the people's API names: `name`, `name@version` or `name@alias`.
pub(super) struct Named(pub(super) ModelRef);

/// The alias that a path of the admin's names: `{model}` and `{alias}`.
pub(super) struct OfAlias(pub(super) ModelName, pub(super) Alias);

/// The parameter of a path, its percent-encoding undone.
async fn parameter<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<Option<String>, Error> {
    let parameters = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|error| Error::new(ErrorKind::InvalidName, error))?;
    let found = parameters.iter().find(|(key, _)| *key == name);
    Ok(found.map(|(_, value)| value.to_owned()))
}

impl<S: Send + Sync> FromRequestParts<S> for OfModel {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let model = parameter(parts, state, "model").await?.unwrap_or_default();
        let name: ModelName = model.parse()?;
        let selector = match parameter(parts, state, "version").await? {
            Some(version) => version.parse()?,
            None => Selector::Default,
        };
        Ok(Self(ModelRef { name, selector }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfAlias {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let model = parameter(parts, state, "model").await?.unwrap_or_default();
        let alias = parameter(parts, state, "alias").await?.unwrap_or_default();
        Ok(Self(model.parse()?, alias.parse()?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let model = parameter(parts, state, "model").await?.unwrap_or_default();
        Ok(Self(model.parse()?))
    }
}

/// The value of `Inference-Header-Content-Length`, if there is one.
pub(super) fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Error> {
    let Some(value) = headers.get(HEADER_LENGTH) else {
        return Ok(None);
    };
    let number = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    number
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidRequest,
                format!("{HEADER_LENGTH} {value:?} is not a number"),
            )
        })
}

/// The value of `Content-Type`, if there is one that is text.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

/// How many bytes of bodies are held now, against the limit on all of them.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// Bytes that one permit of the budget stands for.
const UNIT: usize = 1 << 10;

/// How much of a refused body is read, and for how long.
const DRAINED_BYTES: usize = 16 << 20;
const DRAINED_TIME: Duration = Duration::from_secs(2);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS),
        )))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.0.clone().try_acquire_many_owned(units).map_err(|_| {
            Error::new(
                ErrorKind::Overloaded,
                "the bodies of other requests fill the memory set aside for them; try again",
            )
        })
    }
}

/// A body, whole, and its share of the budget for as long as it is held.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

/// Reads a body: its declared length is checked before, and its real one while it arrives.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: &Limits,
    budget: &Budget,
) -> Result<Held, Error> {
    if let Some(encoding) = headers
        .get(CONTENT_ENCODING)
        .filter(|value| *value != "identity")
    {
        return Err(Error::new(
            ErrorKind::UnsupportedMedia,
            format!("Content-Encoding {encoding:?}: send the body as it is"),
        ));
    }
    match tokio::time::timeout(limits.body_timeout, collect(&mut body, limits, budget)).await {
        Ok(held) => {
            if held.is_err() {
                drain(body).await;
            }
            held
        }
        Err(_) => Err(Error::new(
            ErrorKind::BodyTimeout,
            format!("the body did not arrive within {:?}", limits.body_timeout),
        )),
    }
}

/// Reads on in a body that is refused, within bounds: many clients write all before they read, and
/// would see a broken connection instead of the answer.
async fn drain(mut body: Body) {
    let reading = async {
        let mut left = DRAINED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Too slow or too much: then the connection is closed.
    let _ = tokio::time::timeout(DRAINED_TIME, reading).await;
}

async fn collect(body: &mut Body, limits: &Limits, budget: &Budget) -> Result<Held, Error> {
    let limit = limits.body_bytes;
    let too_large = |size: &dyn std::fmt::Display| {
        Error::new(
            ErrorKind::TooLarge,
            format!("the body has {size} bytes; the limit is {limit}"),
        )
    };
    let hint = body.size_hint();
    let declared = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(too_large(&declared));
    }
    let mut share = budget.take(declared)?;
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Error::new(
                ErrorKind::InvalidRequest,
                format!("the body broke off: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let size = whole.len() + data.len();
        if size > limit {
            return Err(too_large(&format_args!("more than {limit}")));
        }
        if whole.is_empty() {
            if data.len() == declared {
                // All of it in one piece: no copy.
                return Ok(Held {
                    bytes: data,
                    _share: share,
                });
            }
            whole.reserve(declared.max(data.len()));
        }
        let held = share.num_permits() * UNIT;
        if size > held {
            // A body of unknown length: its share grows as it does, not with every frame.
            share.merge(budget.take((size - held).max(size / 2))?);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Held {
        bytes: whole.freeze(),
        _share: share,
    })
}

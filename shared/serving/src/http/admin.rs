//! What changes the store: aliases set, promoted, put on trial, rolled back, deleted; versions
//! deleted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use dunlin_registry::{
    AliasRecord, Digest, ErrorKind as Registry, ModelName, Selector, Target, Version,
};
use dunlin_storage::ETag;
use http::header::{AUTHORIZATION, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::request::{OfAlias, OfModel, read};
use super::{Route, reply, route, table, trial};
use crate::{Error, ErrorKind, Service};

/// Shorter tokens can be guessed.
const TOKEN_CHARACTERS: usize = 16;

/// Who may change the store.
#[derive(Clone)]
pub enum Access {
    /// Whoever sends `Authorization: Bearer` with this token; its digest is all that is kept.
    Token(Digest),
    /// Everybody who gets here: something in front (IAM, an authorizer) has asked already.
    Guarded,
}

impl FromStr for Access {
    type Err = String;

    /// Access by this token.
    fn from_str(token: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_graphic();
        if token.len() < TOKEN_CHARACTERS || !token.chars().all(fits) {
            return Err(format!(
                "a token has {TOKEN_CHARACTERS} printable ASCII characters or more, no blanks"
            ));
        }
        Ok(Self::Token(Digest::of(token.as_bytes())))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Guarded => "Guarded",
        })
    }
}

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/admin/models/{model}/aliases", || get(aliases)),
    route("GET", "/admin/models/{model}/aliases/{alias}", || {
        get(alias)
    }),
    route("PUT", "/admin/models/{model}/aliases/{alias}", || {
        put(set_alias)
    }),
    route("DELETE", "/admin/models/{model}/aliases/{alias}", || {
        delete(delete_alias)
    }),
    route(
        "POST",
        "/admin/models/{model}/aliases/{alias}/promote",
        || post(promote),
    ),
    route(
        "POST",
        "/admin/models/{model}/aliases/{alias}/canary",
        || post(canary),
    ),
    route(
        "POST",
        "/admin/models/{model}/aliases/{alias}/rollback",
        || post(roll_back),
    ),
    route("DELETE", "/admin/models/{model}/versions/{version}", || {
        delete(delete_version)
    }),
];

/// The routes, behind their access.
pub(super) fn guarded(access: Access) -> Router<Arc<Service>> {
    let routes = table(ROUTES).merge(table(trial::ROUTES));
    routes.route_layer(from_fn_with_state(access, authorize))
}

async fn authorize(State(access): State<Access>, request: Request, next: Next) -> Response {
    if let Access::Token(wanted) = access {
        let header = request.headers().get(AUTHORIZATION);
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        // Digests are compared: how long that takes tells nothing of the token.
        if token.is_none_or(|token| Digest::of(token.as_bytes()) != wanted) {
            return Error::new(
                ErrorKind::Unauthorized,
                "changing the store needs the header Authorization: Bearer TOKEN",
            )
            .into_response();
        }
    }
    next.run(request).await
}

/// An alias as it is told.
#[derive(Serialize)]
struct Shown {
    model: ModelName,
    etag: String,
    #[serde(flatten)]
    record: AliasRecord,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    targets: Vec<Weighted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    version: Version,
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promote {
    version: Version,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Canary {
    version: Version,
    percent: u32,
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RollBack {
    reason: Option<String>,
}

#[derive(Serialize)]
struct Moved {
    model: ModelName,
    #[serde(flatten)]
    record: AliasRecord,
}

#[derive(Serialize)]
struct Gone {
    versions: Vec<Version>,
    aliases: Vec<String>,
    changed_aliases: Vec<String>,
}

async fn aliases(
    State(service): State<Arc<Service>>,
    OfModel(reference): OfModel,
) -> Result<Response, Error> {
    let name = &reference.name;
    let named = |error| refused(error, name);
    let registry = service.registry();
    let mut found = Vec::new();
    for alias in registry.aliases(name).await.map_err(named)? {
        let (record, etag) = registry.alias(name, &alias).await.map_err(named)?;
        found.push(Shown {
            model: name.clone(),
            etag: etag.as_str().to_owned(),
            record,
        });
    }
    if found.is_empty() && registry.versions(name).await.map_err(named)?.is_empty() {
        return Err(Error::new(ErrorKind::ModelNotFound, "").of_model(name.as_str()));
    }
    reply::json(&found)
}

async fn alias(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
) -> Result<Response, Error> {
    let read = service.registry().alias(&name, &alias).await;
    let (record, etag) = read.map_err(|error| refused(error, &name))?;
    let shown = Shown {
        model: name,
        etag: etag.as_str().to_owned(),
        record,
    };
    let mut response = reply::json(&shown)?;
    if let Ok(etag) = HeaderValue::try_from(quoted(&etag)) {
        response.headers_mut().insert(ETAG, etag);
    }
    Ok(response)
}

/// `If-Match` compares and swaps; `If-None-Match: *` creates; without either it is set.
async fn set_alias(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let set: Set = json(&service, &headers, body).await?;
    let targets = set.targets.iter();
    let targets: Vec<_> = targets
        .map(|target| (target.version, target.weight))
        .collect();
    let registry = service.registry();
    let set = if let Some(seen) = headers.get(IF_MATCH) {
        let seen = ETag::new(seen.to_str().unwrap_or_default());
        // A store's own quotes are part of its tag; ours, around a tag without, are not.
        let (_, now) = registry
            .alias(&name, &alias)
            .await
            .map_err(|error| refused(error, &name))?;
        let seen = if quoted(&now) == seen.as_str() {
            now
        } else {
            seen
        };
        registry
            .swap_alias(&name, &alias, targets, Some(&seen))
            .await
    } else if headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*") {
        registry.swap_alias(&name, &alias, targets, None).await
    } else {
        registry.set_alias(&name, &alias, targets).await
    };
    moved(name, set)
}

async fn delete_alias(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
) -> Result<Response, Error> {
    let registry = service.registry();
    let found = registry.alias(&name, &alias).await;
    found.map_err(|error| refused(error, &name))?;
    let deleted = registry.delete_alias(&name, &alias).await;
    deleted.map_err(|error| refused(error, &name))?;
    reply::json(&Gone {
        versions: Vec::new(),
        aliases: vec![alias.to_string()],
        changed_aliases: Vec::new(),
    })
}

async fn promote(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let Promote { version, reason } = json(&service, &headers, body).await?;
    let registry = service.registry();
    let promoted = registry
        .promote(&name, &alias, version, reason.as_deref())
        .await;
    moved(name, promoted)
}

async fn canary(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let Canary {
        version,
        percent,
        reason,
    } = json(&service, &headers, body).await?;
    let registry = service.registry();
    let begun = registry
        .canary(&name, &alias, version, percent, reason.as_deref())
        .await;
    moved(name, begun)
}

async fn roll_back(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let RollBack { reason } = json(&service, &headers, body).await?;
    let registry = service.registry();
    let back = registry.roll_back(&name, &alias, reason.as_deref()).await;
    moved(name, back)
}

async fn delete_version(
    State(service): State<Arc<Service>>,
    OfModel(reference): OfModel,
) -> Result<Response, Error> {
    let Selector::Version(version) = reference.selector else {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "a version is deleted by its number, not by an alias",
        ));
    };
    let name = reference.name;
    let deleted = service.registry().delete_version(&name, version).await;
    let deleted = deleted.map_err(|error| refused(error, &name))?;
    let texts =
        |aliases: &[dunlin_registry::Alias]| aliases.iter().map(ToString::to_string).collect();
    reply::json(&Gone {
        aliases: texts(&deleted.aliases),
        changed_aliases: texts(&deleted.changed_aliases),
        versions: deleted.versions,
    })
}

pub(super) fn moved(
    model: ModelName,
    moved: Result<AliasRecord, dunlin_registry::Error>,
) -> Result<Response, Error> {
    let record = moved.map_err(|error| refused(error, &model))?;
    let targets = record.targets.iter();
    let targets: Vec<String> = targets
        .map(
            |Target {
                 version, weight, ..
             }| format!("{version}={weight}"),
        )
        .collect();
    tracing::info!(%model, alias = %record.alias, ?targets, reason = record.change.reason, "an alias moved");
    reply::json(&Moved { model, record })
}

/// What the registry refuses here is what this request asked for.
pub(super) fn refused(error: dunlin_registry::Error, name: &ModelName) -> Error {
    let error = match error.kind() {
        Registry::InvalidAlias => Error::new(ErrorKind::InvalidRequest, error),
        _ => Error::from(error),
    };
    error.of_model(name.as_str())
}

pub(super) async fn json<T: DeserializeOwned>(
    service: &Service,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Error> {
    let held = read(headers, body, &service.options().limits, service.budget()).await?;
    let bytes = held.bytes.trim_ascii();
    // A body may be left out where nothing in it is needed.
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| Error::new(ErrorKind::InvalidRequest, format!("the body: {error}")))
}

/// An `ETag` as HTTP writes it.
fn quoted(etag: &ETag) -> String {
    let etag = etag.as_str();
    if etag.starts_with('"') {
        etag.to_owned()
    } else {
        format!("\"{etag}\"")
    }
}

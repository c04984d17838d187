//! What changes the store step by step: guarded canaries, begun and moved on; and shadows.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use dunlin_registry::{Advance, Alias, ModelName, Plan, Shadow, Version};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::admin::{json, moved, refused};
use super::request::{OfAlias, OfModel};
use super::{Route, reply, route};
use crate::{Error, ErrorKind, Service};

/// Differences that are told.
const DIFFERENCES: usize = 100;

pub(super) const ROUTES: &[Route] = &[
    route(
        "POST",
        "/admin/models/{model}/aliases/{alias}/trial",
        || post(begin),
    ),
    route(
        "POST",
        "/admin/models/{model}/aliases/{alias}/advance",
        || post(advance),
    ),
    route("POST", "/admin/advance", || post(advance_all)),
    route(
        "PUT",
        "/admin/models/{model}/aliases/{alias}/shadow",
        || put(set_shadow),
    ),
    route(
        "DELETE",
        "/admin/models/{model}/aliases/{alias}/shadow",
        || delete(end_shadow),
    ),
    route("GET", "/admin/models/{model}/differences", || {
        get(differences)
    }),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    version: Version,
    guard: String,
    #[serde(default = "steps")]
    steps: Vec<u32>,
    #[serde(default = "min_requests")]
    min_requests: u64,
    #[serde(default = "hold_seconds")]
    hold_seconds: u32,
    reason: Option<String>,
}

fn steps() -> Vec<u32> {
    vec![5, 25, 50]
}

const fn min_requests() -> u64 {
    100
}

const fn hold_seconds() -> u32 {
    60
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shadowed {
    version: Version,
    percent: u32,
}

#[derive(Serialize)]
struct Advanced {
    model: ModelName,
    alias: Alias,
    #[serde(flatten)]
    advance: Advance,
}

async fn begin(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let asked: Begin = json(&service, &headers, body).await?;
    let gates = asked.guard.parse();
    let plan = Plan {
        gates: gates.map_err(|why: String| Error::new(ErrorKind::InvalidRequest, why))?,
        steps: asked.steps,
        min_requests: asked.min_requests,
        hold: Duration::from_secs(asked.hold_seconds.into()),
    };
    let reason = asked.reason.as_deref();
    let registry = service.registry();
    let begun = registry
        .guarded_canary(&name, &alias, asked.version, &plan, reason)
        .await;
    moved(name, begun)
}

async fn advance(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
) -> Result<Response, Error> {
    let advanced = service.registry().advance(&name, &alias).await;
    let advance = advanced.map_err(|error| refused(error, &name))?;
    reply::json(&Advanced {
        model: name,
        alias,
        advance,
    })
}

async fn advance_all(State(service): State<Arc<Service>>) -> Result<Response, Error> {
    reply::json(&service.advance_all().await?)
}

async fn set_shadow(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let Shadowed { version, percent } = json(&service, &headers, body).await?;
    let shadow = Some(Shadow { version, percent });
    let set = service.registry().set_shadow(&name, &alias, shadow).await;
    moved(name, set)
}

async fn end_shadow(
    State(service): State<Arc<Service>>,
    OfAlias(name, alias): OfAlias,
) -> Result<Response, Error> {
    let set = service.registry().set_shadow(&name, &alias, None).await;
    moved(name, set)
}

async fn differences(
    State(service): State<Arc<Service>>,
    OfModel(reference): OfModel,
) -> Result<Response, Error> {
    let name = reference.name;
    let found = service.registry().differences(&name, DIFFERENCES).await;
    reply::json(&found.map_err(|error| refused(error, &name))?)
}

impl Service {
    /// Looks once at every guarded canary of the store, and moves those on or back whose counts say
    /// so. The answer is JSON: what was done to each, and why.
    pub async fn advance_all(&self) -> Result<serde_json::Value, Error> {
        let all = self.registry().advance_all().await?;
        let all = all.into_iter().map(|(model, alias, advance)| {
            tracing::info!(%model, %alias, outcome = ?advance.outcome, why = advance.why, "a canary was looked at");
            Advanced {
                model,
                alias,
                advance,
            }
        });
        let told: Vec<Advanced> = all.collect();
        serde_json::to_value(told).map_err(|error| Error::new(ErrorKind::Internal, error))
    }
}

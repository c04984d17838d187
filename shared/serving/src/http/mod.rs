//! HTTP before the service: one table of routes, and what every request has in common.
//!
//! - `envelope`: request ids, limits on URI and headers, panics, error bodies, the log line.
//! - `request`: paths, headers and bodies in. `reply`: answers out; `large`: those that the host can't carry.
//! - `admin`: what changes the store, behind an access of its own.
//! - `health`, `models`, `infer`, `predict`, `later`, `repository`, `openai`, `metrics`: the handlers.

mod admin;
mod envelope;
mod health;
mod infer;
mod large;
mod later;
mod metrics;
mod models;
mod openai;
mod predict;
mod reply;
mod repository;
mod request;
mod trial;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

pub use admin::Access;
pub use envelope::Deadline;
pub(crate) use large::FOLDER as REPLIES;
pub(crate) use request::Budget;

use crate::{Error, ErrorKind, Service};

/// A route: the method, the path with its `{parameters}`, and what answers.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method, as in `POST`. A `GET` answers `HEAD` too.
    pub method: &'static str,
    /// The path, as in `/v2/models/{model}/infer`.
    pub path: &'static str,
    handler: fn() -> MethodRouter<Arc<Service>>,
}

const fn route(
    method: &'static str,
    path: &'static str,
    handler: fn() -> MethodRouter<Arc<Service>>,
) -> Route {
    Route {
        method,
        path,
        handler,
    }
}

const ROUTES: &[Route] = &[
    // Open Inference Protocol v2.
    route("GET", "/v2", || get(health::server)),
    route("GET", "/v2/health/live", || get(health::live)),
    route("GET", "/v2/health/ready", || get(health::ready)),
    route("GET", "/v2/models/{model}", || get(models::metadata)),
    route("GET", "/v2/models/{model}/versions/{version}", || {
        get(models::metadata)
    }),
    route("GET", "/v2/models/{model}/ready", || get(models::ready)),
    route("GET", "/v2/models/{model}/versions/{version}/ready", || {
        get(models::ready)
    }),
    route("POST", "/v2/models/{model}/infer", || post(infer::infer)),
    route(
        "POST",
        "/v2/models/{model}/versions/{version}/infer",
        || post(infer::infer),
    ),
    // Triton's extensions: model repository index, statistics.
    route("POST", "/v2/repository/index", || post(repository::index)),
    route("GET", "/v2/models/stats", || get(models::all_statistics)),
    route("GET", "/v2/models/{model}/stats", || {
        get(models::statistics)
    }),
    route("GET", "/v2/models/{model}/versions/{version}/stats", || {
        get(models::statistics)
    }),
    // The people's API.
    route("POST", "/predict/{model}", || post(predict::predict)),
    route("GET", "/predict/{model}/later/{id}", || get(later::look)),
    // OpenAI's clients.
    route("POST", "/v1/embeddings", || post(openai::embeddings)),
    route("GET", "/v1/models", || get(openai::models)),
    route("GET", "/v1/models/{model}", || get(openai::look)),
    // Prometheus.
    route("GET", "/metrics", || get(metrics::metrics)),
];

/// Every route of [`router`].
pub fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter()
}

/// Every route of [`admin_router`].
pub fn admin_routes() -> impl Iterator<Item = &'static Route> {
    admin::ROUTES.iter().chain(trial::ROUTES)
}

/// The one router of all hosts.
pub fn router(service: Arc<Service>) -> Router {
    enveloped(table(ROUTES), service)
}

/// The router of a host that changes the store, and does nothing else.
pub fn admin_router(service: Arc<Service>, access: Access) -> Router {
    enveloped(admin::guarded(access), service)
}

/// Both routers as one.
pub fn router_with_admin(service: Arc<Service>, access: Access) -> Router {
    enveloped(table(ROUTES).merge(admin::guarded(access)), service)
}

fn table(routes: &[Route]) -> Router<Arc<Service>> {
    routes.iter().fold(Router::new(), |router, route| {
        router.route(route.path, (route.handler)())
    })
}

fn enveloped(router: Router<Arc<Service>>, service: Arc<Service>) -> Router {
    router
        .fallback(async || {
            Error::new(
                ErrorKind::RouteNotFound,
                "no such path; docs/api.md lists those there are",
            )
        })
        .method_not_allowed_fallback(async || {
            Error::new(
                ErrorKind::MethodNotAllowed,
                "this path does not answer that method; see the header Allow",
            )
        })
        .layer(from_fn_with_state(service.clone(), envelope::envelope))
        .with_state(service)
}

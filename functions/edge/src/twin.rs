//! The local twin of a deployed API: it answers the routes of the deployment's template, and no other.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use dunlin_serving::{admin_routes, routes};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tower::ServiceExt as _;

use crate::exit::{Exit, Failure};
use crate::template::DeployedRoute;

/// Whether one of these routes changes the store.
pub(crate) fn has_admin(deployed: &[DeployedRoute]) -> bool {
    deployed
        .iter()
        .any(|route| admin_routes().any(|ours| ours.path == route.path))
}

/// `all`, behind these routes; what is not among them gets the API's own answer.
pub(crate) fn twin(all: &Router, deployed: &[DeployedRoute]) -> Result<Router, Failure> {
    let mut methods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for route in deployed {
        let known = routes()
            .chain(admin_routes())
            .any(|ours| ours.path == route.path && ours.method == route.method);
        if !known {
            return Err(Exit::Usage.failure(format!(
                "the template has the route {} {}, which this dunlin does not answer; `dunlin routes` lists those it does",
                route.method, route.path
            )));
        }
        let of = methods.entry(&route.path).or_default();
        of.insert(route.method.clone());
    }
    let twin = methods.into_iter().fold(Router::new(), |twin, (path, of)| {
        let all = all.clone();
        let answer = move |request: Request| {
            let reaches = of.contains(request.method().as_str());
            let all = all.clone();
            async move {
                if !reaches {
                    return not_found();
                }
                let Ok(response) = all.oneshot(request).await;
                response
            }
        };
        twin.route(path, any(answer))
    });
    Ok(twin.fallback(async || not_found()))
}

/// What an HTTP API says to a method and path that it has no route for.
fn not_found() -> Response {
    let mut response = Body::from(r#"{"message":"Not Found"}"#).into_response();
    *response.status_mut() = StatusCode::NOT_FOUND;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

//! Joins the rooms below: a [`Service`] answers requests from the models of a registry, and
//! [`router`] puts HTTP before it. The local server and the Lambda function are both hosts of this
//! one router.
//!
//! The road of a request, and the file that paves each part of it:
//!
//! | part | file |
//! | --- | --- |
//! | HTTP in and out, request ids, limits on the body | [`http`](self) |
//! | `resolve`: name and version or alias → manifest, kept fresh, stale on store trouble | `resolve` |
//! | which loaded model answers, now that an alias moves | `models` |
//! | loaded models, bounded in bytes, loaded once however many ask | `cache` |
//! | which file of a version is loaded: the plan that fits, else ONNX | `artifact` |
//! | `fetch` → `verify` → `load` → golden examples → `warm` | `load` |
//! | `queue`: workers, a bounded queue, deadlines | `admission` |
//! | which requests are too short to be worth another thread | `pace` |
//! | `decode` → `infer` → `encode` | `infer`, `predict`, `embed` |
//! | inputs of events → results in storage, each once | [`batch`] |
//! | requests whose answer is asked for later | `later` |
//! | errors → status, kind word, metric label: one function | `error` |
//! | counters → `/metrics` and statistics | `metrics`, `usage`, `statistics` |
//! | what the service tells of its models | `catalog` |
//! | what follows an answer, where its alias or its host wants something | `after` |
//! | counts of guarded canaries, for whoever judges them | `trial` |
//! | requests that a second version is asked too, and how the answers differ | `mirror`, `compare`, `worst` |
//! | payloads that are kept, where a host asks for it | `capture` |
//!
//! ```no_run
//! use dunlin_registry::Registry;
//! use dunlin_serving::{Service, ServiceOptions, router};
//! use dunlin_storage::{StoreOptions, open};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let store = open("file:models", &StoreOptions::default()).await?;
//! let service = Service::new(Registry::new(store), ServiceOptions::default());
//! service.preload().await?;
//! let app = router(service.clone());
//! // … serve `app`; on SIGTERM:
//! service.drain().await;
//! # Ok(())
//! # }
//! ```

mod admission;
mod after;
mod ahead;
mod artifact;
mod ask;
pub mod batch;
mod cache;
mod call;
mod capture;
mod catalog;
mod compare;
mod embed;
mod error;
mod http;
mod infer;
mod later;
mod load;
mod metrics;
mod mirror;
mod models;
mod options;
mod pace;
mod predict;
mod readiness;
mod resolve;
mod service;
mod stale;
mod statistics;
mod trial;
mod usage;
mod worst;

pub use artifact::runnable;
pub use call::Call;
pub use error::{Error, ErrorKind, Facts, facts};
pub use http::{
    Access, Deadline, Route, admin_router, admin_routes, router, router_with_admin, routes,
};
pub use infer::InferBody;
pub use later::Later;
pub use options::{CaptureOptions, Limits, ServiceOptions};
pub use predict::PredictBody;
pub use readiness::Readiness;
pub use service::Service;

//! What follows an answer: it is counted for a trial, a second version is asked, the payload is
//! kept. Most requests have nothing of it, and pay one look for that.

use std::sync::Arc;
use std::time::Duration;

use dunlin_protocol::NamedTensor;
use dunlin_registry::{ModelName, Route, Version};
use tokio::time::timeout;

use crate::ask::Ask;
use crate::cache::State;
use crate::capture::Captured;
use crate::infer::Done;
use crate::load::Loaded;
use crate::mirror::{First, Second};
use crate::{Call, Error, Service};

/// What is to follow a request's answer.
#[derive(Debug)]
pub(crate) struct After {
    loaded: Arc<Loaded>,
    /// Whose counts it is for.
    route: Option<Arc<Route>>,
    second: Option<Second>,
    captured: Option<Ask>,
}

impl After {
    /// A place for the outputs, where they are needed.
    pub(crate) fn keeps(&self) -> Option<Vec<NamedTensor>> {
        (self.second.is_some() || self.captured.is_some()).then(Vec::new)
    }
}

impl Service {
    /// What is to follow; `None` for most.
    pub(crate) fn after(
        &self,
        watched: Option<(Arc<Route>, Version)>,
        loaded: &Arc<Loaded>,
        call: &Call,
        ask: &Ask,
    ) -> Option<After> {
        let captures = self.options().capture.share > 0.0 && self.capture.wants(call.key());
        if watched.is_none() && !captures {
            return None;
        }
        let (name, answers) = (&loaded.manifest.name, loaded.manifest.version);
        let route = watched.map(|(route, _)| route);
        let second = route.as_ref().and_then(|route| {
            let idle = self.workers.idle();
            self.mirror
                .second(name, route, answers, call.key(), idle, ask)
        });
        Some(After {
            loaded: loaded.clone(),
            route: route.filter(|route| route.guarded.is_some()),
            second,
            captured: captures.then(|| ask.clone()),
        })
    }

    /// Begins it, beside the reply; [`settle`](Self::settle) waits for its end.
    pub(crate) fn follow(
        &self,
        after: After,
        call: &Call,
        result: &Result<Done, Error>,
        outputs: Option<Vec<NamedTensor>>,
    ) {
        let manifest = &after.loaded.manifest;
        let (name, version) = (&manifest.name, manifest.version);
        if let Some(route) = &after.route {
            let end = match result {
                Ok(_) => Ok(&call.phases),
                Err(error) => Err(error.kind()),
            };
            self.trials.served(name, route, version, end);
        }
        let (Ok(_), Some(outputs)) = (result, outputs) else {
            return;
        };
        if let Some(ask) = after.captured {
            let captured = Captured {
                name: name.clone(),
                version,
                request_id: call.id.clone(),
                trace: call.trace,
                ask,
                outputs: outputs.clone(),
            };
            self.capture.begin(captured);
        }
        if let Some(second) = after.second {
            let first = First {
                loaded: after.loaded,
                outputs,
                request_id: call.id.clone(),
                trace: call.trace,
            };
            self.mirror.begin(first, second);
        }
    }

    /// Waits, as long as is left, for what follows replies: second versions, payloads that are kept,
    /// counts that are due, spans. For a host whose process is frozen between requests, after it has sent its
    /// reply; in one that goes on nothing has to be waited for.
    pub async fn settle(&self, left: Duration) {
        let settled = async {
            self.mirror.settle().await;
            self.capture.settle().await;
            self.trials.write_due().await;
            if let Some(spans) = &self.options().spans {
                spans.flush().await;
            }
        };
        if timeout(left, settled).await.is_err() {
            tracing::warn!(
                ?left,
                "what follows a reply is not done in time; it goes on with the next request"
            );
        }
    }

    /// Counts against a version on trial that it can't be loaded, whoever answers in its place.
    pub(crate) fn count_unloaded(
        &self,
        name: &ModelName,
        route: &Arc<Route>,
        picked: Version,
        found: &Result<Arc<Loaded>, Error>,
    ) {
        let answers = found.as_ref().map(|loaded| loaded.manifest.version);
        if route.guarded.is_none() || answers.is_ok_and(|answers| answers == picked) {
            return;
        }
        let kind = match (found, self.models.cache.state(name, picked)) {
            (_, State::Failed(error)) => error.kind(),
            (Err(error), _) => error.kind(),
            // It is being loaded: the one that served before it answers meanwhile.
            _ => return,
        };
        self.trials.served(name, route, picked, Err(kind));
    }
}

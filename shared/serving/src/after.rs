//! What follows an answer: it is counted for a trial, a second version is asked, the payload is
//! kept. Most requests have nothing of it, and pay one look for that.

use std::sync::Arc;

use dunlin_protocol::NamedTensor;
use dunlin_registry::{ModelName, Route, Version};

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

    /// Does it. Only where the process is frozen after its reply is anything waited for.
    pub(crate) async fn follow(
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
            let keeping = self.capture.clone().keep(captured);
            if self.options().background {
                tokio::spawn(keeping);
            } else {
                keeping.await;
            }
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

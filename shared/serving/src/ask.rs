//! What a request asks of a model, whichever way it came.

use dunlin_protocol::{Limits, NamedTensor};
use dunlin_telemetry::Phases;

use crate::embed::{self, EmbedBody};
use crate::infer::Done;
use crate::load::Loaded;
use crate::{Error, InferBody, PredictBody, infer, predict};

/// A request's body, for one of the ways to answer it.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Infer(InferBody),
    Predict(PredictBody),
    Embed(EmbedBody),
}

impl Ask {
    /// `decode` → `infer` → `encode`. Runs on a worker thread.
    ///
    /// `kept` takes the outputs, for a comparison.
    pub(crate) fn run(
        self,
        loaded: &Loaded,
        limits: &Limits,
        phases: &mut Phases,
        kept: Option<&mut Vec<NamedTensor>>,
    ) -> Result<Done, Error> {
        match self {
            Self::Infer(body) => infer::infer(loaded, body, limits, phases, kept),
            Self::Predict(body) => predict::predict(loaded, &body, limits, phases, kept),
            Self::Embed(body) => embed::embed(loaded, &body, phases, kept),
        }
    }

    /// The size of the request, where the work grows with it: a few bytes of a picture may be many
    /// pixels.
    pub(crate) fn bytes(&self) -> Option<usize> {
        match self {
            Self::Infer(InferBody::Wire { body, .. }) => Some(body.len()),
            Self::Infer(InferBody::Request(_)) | Self::Predict(_) | Self::Embed(_) => None,
        }
    }
}

//! The people's inference: a picture or a JSON body as it is, answered with labels and scores.

use bytes::Bytes;
use dunlin_protocol::{Encoded, InferRequest, Limits, NamedTensor};
use dunlin_telemetry::{Phase, Phases};
use dunlin_transforms::{Decoded, Prediction};
use serde::Serialize;

use crate::infer::{Done, run};
use crate::load::Loaded;
use crate::{Error, ErrorKind};

/// A body as the manifest's transforms take it.
#[derive(Debug, Clone)]
pub struct PredictBody {
    /// The body, whole.
    pub body: Bytes,
    /// Its content type, if the caller gave one.
    pub content_type: Option<String>,
    /// The value of `Inference-Header-Content-Length`: the body is a protocol request with binary
    /// tensors.
    pub header_length: Option<usize>,
}

/// The answer: who gave it, and the prediction's own fields.
#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    version: u64,
    #[serde(flatten)]
    prediction: Prediction,
}

/// Answers a request, and gives the outputs to `kept`. Runs on a worker thread.
pub(crate) fn predict(
    loaded: &Loaded,
    request: &PredictBody,
    limits: &Limits,
    phases: &mut Phases,
    kept: Option<&mut Vec<NamedTensor>>,
) -> Result<Done, Error> {
    let decoded = phases.time(Phase::Decode, || decode(loaded, request, limits))?;
    let Decoded { inputs, asked } = decoded;
    let (outputs, batch) = run(loaded, inputs, phases)?;
    let body = phases.time(Phase::Encode, || {
        let answer = Answer {
            model: loaded.manifest.name.as_str(),
            version: loaded.manifest.version.get(),
            prediction: loaded.pipeline.encode(&asked, &outputs)?,
        };
        serde_json::to_vec(&answer).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("the answer does not become JSON: {error}"),
            )
        })
    })?;
    if let Some(kept) = kept {
        *kept = outputs;
    }
    Ok(Done {
        reply: Encoded {
            body: body.into(),
            header_length: None,
        },
        batch,
    })
}

fn decode(loaded: &Loaded, request: &PredictBody, limits: &Limits) -> Result<Decoded, Error> {
    if request.body.is_empty() {
        return Err(Error::new(ErrorKind::InvalidRequest, "the body is empty"));
    }
    if let Some(header_length) = request.header_length {
        let request = InferRequest::decode(&request.body, Some(header_length), limits)?;
        let inputs = request.inputs.into_iter();
        let inputs = inputs.map(|input| NamedTensor::new(input.name, input.tensor));
        return Ok(loaded.pipeline.of_tensors(inputs.collect()));
    }
    Ok(loaded
        .pipeline
        .decode(&request.body, request.content_type.as_deref())?)
}

//! Embeddings as `OpenAI`'s clients ask for them and read them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dunlin_protocol::{Encoded, NamedTensor};
use dunlin_registry::ModelRef;
use dunlin_telemetry::{Phase, Phases};
use dunlin_transforms::{Decoded, Prediction};
use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::infer::{Done, run};
use crate::load::Loaded;
use crate::{Call, Error, ErrorKind, Service};

/// Texts that run together. More would only need more memory: the engine runs batches in parts.
const TOGETHER: usize = 32;

/// Texts of which the embeddings are asked.
#[derive(Debug, Clone)]
pub(crate) struct EmbedBody {
    /// The body, as it came.
    pub(crate) body: Bytes,
    /// The texts in it.
    pub(crate) texts: Vec<String>,
    /// How vectors are written.
    pub(crate) encoding: VectorEncoding,
    /// The size that a vector must have, where the caller says one.
    pub(crate) dimensions: Option<usize>,
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VectorEncoding {
    /// A list of numbers.
    #[default]
    Float,
    /// Their bytes, FP32 little-endian, in base64.
    Base64,
}

#[derive(Serialize)]
struct Answer {
    object: &'static str,
    data: Vec<Entry>,
    model: String,
    usage: TokenUsage,
}

#[derive(Serialize)]
struct Entry {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct TokenUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Service {
    /// Answers with the embeddings of texts.
    pub(crate) async fn embed(
        &self,
        reference: &ModelRef,
        body: EmbedBody,
        call: &mut Call,
    ) -> Result<Encoded, Error> {
        self.answer(reference, call, Ask::Embed(body)).await
    }
}

/// Answers a request, and gives the outputs for its first texts to `kept`. Runs on a worker thread.
pub(crate) fn embed(
    loaded: &Loaded,
    request: &EmbedBody,
    phases: &mut Phases,
    kept: Option<&mut Vec<NamedTensor>>,
) -> Result<Done, Error> {
    if !loaded.pipeline.embeds_text() {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "this model makes no embeddings of texts: its model.toml declares [input] kind = \
             \"text\" and [output] kind = \"embedding\" where one does",
        ));
    }
    let (mut vectors, mut tokens, mut first) = (Vec::new(), 0, None);
    for texts in request.texts.chunks(TOGETHER) {
        let decoded = phases.time(Phase::Decode, || {
            loaded.pipeline.decode_texts(texts.to_vec())
        });
        let Decoded { inputs, asked } = decoded?;
        tokens += asked.tokens();
        let (outputs, _) = run(loaded, inputs, phases)?;
        let encoded = phases.time(Phase::Encode, || loaded.pipeline.encode(&asked, &outputs));
        let Prediction::Embeddings { embeddings } = encoded? else {
            let why = "an embedding did not become one";
            return Err(Error::new(ErrorKind::Internal, why));
        };
        vectors.extend(embeddings);
        first.get_or_insert(outputs);
    }
    check(&vectors, request.dimensions)?;
    let manifest = &loaded.manifest;
    let batch = vectors.len() as u64;
    let body = phases.time(Phase::Encode, || {
        let entries = vectors.into_iter().enumerate();
        let answer = Answer {
            object: "list",
            data: entries
                .map(|(index, vector)| Entry {
                    object: "embedding",
                    index,
                    embedding: Vector::new(vector, request.encoding),
                })
                .collect(),
            model: format!("{}@{}", manifest.name, manifest.version),
            usage: TokenUsage {
                prompt_tokens: tokens,
                total_tokens: tokens,
            },
        };
        serde_json::to_vec(&answer).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("the answer does not become JSON: {error}"),
            )
        })
    })?;
    if let Some((kept, outputs)) = kept.zip(first) {
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

/// A vector is whole or it is nothing: models that may be cut shorter do not say so.
fn check(vectors: &[Vec<f32>], wanted: Option<usize>) -> Result<(), Error> {
    let size = vectors.first().map_or(0, Vec::len);
    match wanted {
        Some(wanted) if wanted != size => Err(Error::new(
            ErrorKind::InvalidRequest,
            format!("`dimensions` is {wanted}; this model's vectors have {size}"),
        )),
        _ => Ok(()),
    }
}

impl Vector {
    fn new(vector: Vec<f32>, encoding: VectorEncoding) -> Self {
        match encoding {
            VectorEncoding::Float => Self::Numbers(vector),
            VectorEncoding::Base64 => {
                let bytes: Vec<u8> = vector
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                Self::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

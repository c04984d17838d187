//! The manifest: one version of a model, whole.

use bytes::Bytes;
use dunlin_protocol::TensorMetadata;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Digest, Error, ErrorKind, ModelName, Result, Version};

/// The manifest schema that this program writes, and the newest it reads.
pub const SCHEMA: u32 = 1;

/// The most bytes that a manifest or an alias record may have.
pub const MANIFEST_LIMIT: usize = 1 << 20;

/// One version of a model: what it takes and gives, and the files it is made of.
///
/// Fields that this program doesn't know are kept in `extra`, and written back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The schema of this document.
    pub schema: u32,
    /// The model.
    pub name: ModelName,
    /// The version's number.
    pub version: Version,
    /// When it was published, RFC 3339.
    pub created: String,
    /// What the model is for, as in `image-classification`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The licence of the weights, an SPDX expression where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// For search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The tensors that the graph takes.
    pub inputs: Vec<TensorMetadata>,
    /// The tensors that the graph gives.
    pub outputs: Vec<TensorMetadata>,
    /// How raw bytes become inputs and outputs become answers: a `dunlin_transforms::Spec`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub transforms: Value,
    /// The files.
    pub artifacts: Vec<Artifact>,
    /// What evaluation measured, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metrics: Map<String, Value>,
    /// Where the model comes from: trainer, data, parent.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provenance: Map<String, Value>,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A file of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// What the file is for.
    pub role: Role,
    /// How it is written: `onnx`, `examples-1`, `text`.
    pub format: String,
    /// The SHA-256 of its bytes, which is also where it lies.
    pub digest: Digest,
    /// Its bytes, counted.
    pub size: u64,
    /// The engine and format version that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The CPU that it was made for; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The precision of its weights, as in `f32`; absent: as in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// What was measured when it was published.
    #[serde(default, skip_serializing_if = "Measured::is_empty")]
    pub measured: Measured,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What was measured on an artifact, on the machine that published it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Median time of one run, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Time from bytes to a runnable model, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<f64>,
    /// Memory of the loaded model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Largest absolute difference of any output element from its golden example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_difference: Option<f64>,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Measured {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an artifact is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Role {
    /// The graph and its weights.
    Model,
    /// Golden examples, see [`crate::examples`].
    Examples,
    /// The labels of the classes, one a line.
    Labels,
    /// How text becomes tokens: a `tokenizer.json`.
    Tokenizer,
    /// A role that this program doesn't know.
    Other(String),
}

impl From<String> for Role {
    fn from(text: String) -> Self {
        match text.as_str() {
            "model" => Self::Model,
            "examples" => Self::Examples,
            "labels" => Self::Labels,
            "tokenizer" => Self::Tokenizer,
            _ => Self::Other(text),
        }
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        match role {
            Role::Model => "model".to_owned(),
            Role::Examples => "examples".to_owned(),
            Role::Labels => "labels".to_owned(),
            Role::Tokenizer => "tokenizer".to_owned(),
            Role::Other(text) => text,
        }
    }
}

impl Manifest {
    /// The first artifact of this role and format.
    pub fn artifact(&self, role: &Role, format: &str) -> Option<&Artifact> {
        self.artifacts
            .iter()
            .find(|a| a.role == *role && a.format == format)
    }

    /// Whether golden examples came with it: the publish road records those it was proven on.
    pub fn is_proven(&self) -> bool {
        let examples = |artifact: &Artifact| artifact.role == Role::Examples;
        self.artifacts.iter().any(examples)
    }

    /// Reads a manifest; `object` names it in errors.
    pub fn from_json(object: &str, bytes: &[u8]) -> Result<Self> {
        read_document(object, bytes)
    }

    /// The manifest as it is stored: JSON that people can read.
    pub fn to_json(&self) -> Result<Bytes> {
        write_document(
            &format!("manifest of {} version {}", self.name, self.version),
            self,
        )
    }
}

/// Reads a schema-versioned document: its size first, then its schema, then all of it.
pub(crate) fn read_document<T: serde::de::DeserializeOwned>(
    object: &str,
    bytes: &[u8],
) -> Result<T> {
    #[derive(Deserialize)]
    struct Head {
        schema: u64,
    }
    check_size(object, bytes.len())?;
    let invalid = |error| {
        Error::with_source(
            ErrorKind::InvalidManifest,
            format!("{object} can't be read"),
            error,
        )
    };
    let head: Head = serde_json::from_slice(bytes).map_err(invalid)?;
    if head.schema > u64::from(SCHEMA) {
        return Err(Error::new(
            ErrorKind::NewerSchema,
            format!(
                "{object} has schema {}, this program reads up to {SCHEMA}: a newer dunlin wrote \
                 it, upgrade this one",
                head.schema
            ),
        ));
    }
    if head.schema == 0 {
        return Err(Error::new(
            ErrorKind::InvalidManifest,
            format!("{object} has schema 0"),
        ));
    }
    serde_json::from_slice(bytes).map_err(invalid)
}

/// Writes a schema-versioned document.
pub(crate) fn write_document<T: Serialize>(object: &str, document: &T) -> Result<Bytes> {
    let mut bytes = serde_json::to_vec_pretty(document).map_err(|error| {
        Error::with_source(
            ErrorKind::InvalidManifest,
            format!("{object} can't be written"),
            error,
        )
    })?;
    bytes.push(b'\n');
    check_size(object, bytes.len())?;
    Ok(bytes.into())
}

fn check_size(object: &str, size: usize) -> Result<()> {
    if size <= MANIFEST_LIMIT {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("{object} has {size} bytes, at most {MANIFEST_LIMIT} are allowed"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "schema": 1, "name": "digits", "version": 3, "created": "2026-03-01T12:30:05Z",
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
            "artifacts": [{
                "role": "vocabulary", "format": "json", "size": 7,
                "digest": format!("sha256:{}", "a5".repeat(32)), "shards": [1, 2],
                "measured": {"load_ms": 0.25, "joules": 3.5},
            }],
            "signature": {"key": "ed25519", "value": u64::MAX},
        })
    }

    #[test]
    fn what_is_not_known_is_kept() {
        let manifest = Manifest::from_json("m", document().to_string().as_bytes()).unwrap();
        assert_eq!(manifest.artifacts[0].role, Role::Other("vocabulary".into()));
        assert_eq!(manifest.artifacts[0].measured.load_ms, Some(0.25));
        let written: Value = serde_json::from_slice(&manifest.to_json().unwrap()).unwrap();
        assert_eq!(written, document());
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        let with = |field: &str, value: Value| {
            let mut document = document();
            document[field] = value;
            document.to_string().into_bytes()
        };
        let cases = [
            (with("schema", json!(2)), ErrorKind::NewerSchema),
            (
                br#"{"schema": 99, "all": "else differs"}"#.to_vec(),
                ErrorKind::NewerSchema,
            ),
            (with("schema", json!(0)), ErrorKind::InvalidManifest),
            (with("schema", json!("1")), ErrorKind::InvalidManifest),
            (with("version", json!(0)), ErrorKind::InvalidManifest),
            (with("name", json!("a/b")), ErrorKind::InvalidManifest),
            (
                with("description", json!("x".repeat(MANIFEST_LIMIT))),
                ErrorKind::TooLarge,
            ),
            (b"{\"schema\": 1".to_vec(), ErrorKind::InvalidManifest),
            (b"".to_vec(), ErrorKind::InvalidManifest),
            ("[".repeat(100_000).into_bytes(), ErrorKind::InvalidManifest),
        ];
        for (bytes, kind) in cases {
            let error = Manifest::from_json("models/m/versions/1.json", &bytes).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.to_string().starts_with("models/m/versions/1.json "),
                "{error}"
            );
        }
    }
}

//! What a server and a model say of themselves (Open Inference Protocol v2, health and metadata).

use serde::{Deserialize, Serialize};

use crate::Datatype;

/// An input or output that a model declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMetadata {
    /// The tensor's name.
    pub name: String,
    /// The type of its elements.
    pub datatype: Datatype,
    /// Its dimensions; -1 where any size goes.
    pub shape: Vec<i64>,
}

impl TensorMetadata {
    /// Whether a tensor of `shape` fits: the same rank, and each dimension equal or dynamic.
    pub fn accepts(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self
                .shape
                .iter()
                .zip(shape)
                .all(|(&declared, &got)| declared < 0 || usize::try_from(declared) == Ok(got))
    }
}

/// Reply of `GET /v2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// The server's name.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// The protocol extensions that it serves.
    pub extensions: Vec<String>,
}

/// Reply of `GET /v2/models/{model}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The model's name.
    pub name: String,
    /// Its versions, by number.
    #[serde(default)]
    pub versions: Vec<String>,
    /// Framework and format: `onnx_tract`.
    pub platform: String,
    /// What it takes.
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    pub outputs: Vec<TensorMetadata>,
}

/// Reply of `GET /v2/health/live`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLive {
    /// The process answers.
    pub live: bool,
}

/// Reply of `GET /v2/health/ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReady {
    /// The server takes requests.
    pub ready: bool,
}

/// Reply of `GET /v2/models/{model}/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReady {
    /// The model's name.
    pub name: String,
    /// The model takes requests.
    pub ready: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_dimensions_accept_any_size() {
        let declared = |shape: &[i64]| TensorMetadata {
            name: "x".into(),
            datatype: Datatype::Fp32,
            shape: shape.to_vec(),
        };
        assert!(declared(&[-1, 3]).accepts(&[7, 3]));
        assert!(declared(&[]).accepts(&[]));
        assert!(!declared(&[-1, 3]).accepts(&[7, 4]));
        assert!(!declared(&[-1, 3]).accepts(&[3]));
    }

    #[test]
    fn metadata_is_the_protocols_json() {
        let metadata = ModelMetadata {
            name: "digits".into(),
            versions: vec!["1".into()],
            platform: "onnx_tract".into(),
            inputs: vec![TensorMetadata {
                name: "image".into(),
                datatype: Datatype::Fp32,
                shape: vec![-1, 1, 28, 28],
            }],
            outputs: vec![],
        };
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            r#"{"name":"digits","versions":["1"],"platform":"onnx_tract","inputs":[{"name":"image","datatype":"FP32","shape":[-1,1,28,28]}],"outputs":[]}"#
        );
    }
}

//! Triton's model repository extension: the index.

use serde::{Deserialize, Serialize};

/// Body of `POST /v2/repository/index`; an empty body means all models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryIndexRequest {
    /// Only models that are ready.
    #[serde(default)]
    pub ready: bool,
}

/// Reply of `POST /v2/repository/index`: an array.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepositoryIndex {
    /// One entry a model and version.
    pub models: Vec<RepositoryIndexEntry>,
}

/// One version of one model in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryIndexEntry {
    /// The model's name.
    pub name: String,
    /// The version's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether this process has it loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ModelState>,
    /// Why it is not ready; empty when there is nothing to say.
    #[serde(default)]
    pub reason: String,
}

/// A version's state in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ModelState {
    /// Loaded: the next request runs at once.
    Ready,
    /// Being fetched, checked or loaded.
    Loading,
    /// Being dropped.
    Unloading,
    /// In the repository, not loaded; the first request loads it.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_a_bare_array() {
        let index = RepositoryIndex {
            models: vec![RepositoryIndexEntry {
                name: "digits".into(),
                version: Some("3".into()),
                state: Some(ModelState::Ready),
                reason: String::new(),
            }],
        };
        let json = r#"[{"name":"digits","version":"3","state":"READY","reason":""}]"#;
        assert_eq!(serde_json::to_string(&index).unwrap(), json);
        assert_eq!(
            serde_json::from_str::<RepositoryIndex>(json).unwrap(),
            index
        );
    }
}

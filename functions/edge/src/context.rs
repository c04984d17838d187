//! What the commands share: the store that was asked for, and how to talk.

use std::path::PathBuf;
use std::sync::Arc;

use dunlin_registry::{PemSource, Registry, TrustedKeys};
use dunlin_storage::{Store, StoreOptions};

use crate::cli::StoreArgs;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Settings of this process.
#[derive(Debug)]
pub(crate) struct Context {
    store: StoreArgs,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(store: StoreArgs, output: Output) -> Self {
        Self { store, output }
    }

    /// Whether nobody said which store: then it is the embedded one.
    pub(crate) fn is_default_store(&self) -> bool {
        self.store.store.is_none()
    }

    /// The store that was asked for.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        match &self.store.store {
            Some(url) => Ok(url.clone()),
            None => default_store(),
        }
    }

    /// The store, as another program of ours reads it from its environment.
    pub(crate) fn store_environment(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let StoreArgs {
            s3_endpoint,
            s3_region,
            s3_path_style,
            ..
        } = &self.store;
        let optional = [
            ("DUNLIN_S3_ENDPOINT", s3_endpoint.clone()),
            ("DUNLIN_S3_REGION", s3_region.clone()),
            (
                "DUNLIN_S3_PATH_STYLE",
                s3_path_style.map(|set| set.to_string()),
            ),
        ];
        let set = optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        Ok(std::iter::once(("DUNLIN_STORE", self.url()?))
            .chain(set)
            .collect())
    }

    /// Opens the registry over the store.
    pub(crate) async fn registry(&self) -> Result<Registry, Failure> {
        Ok(Registry::new(self.store_at(&self.url()?).await?))
    }

    /// As [`registry`](Self::registry), for what runs models: with trusted keys, only versions that
    /// one of them has signed.
    pub(crate) async fn trusting_registry(&self) -> Result<Registry, Failure> {
        let registry = self.registry().await?;
        Ok(match self.trusted_keys()? {
            Some(keys) => registry.trusting(Arc::new(keys)),
            None => registry,
        })
    }

    /// The keys that `--trusted-keys` names.
    pub(crate) fn trusted_keys(&self) -> Result<Option<TrustedKeys>, Failure> {
        let keys = self.store.trusted_keys.as_ref();
        Ok(keys.map(PemSource::trusted_keys).transpose()?)
    }

    /// Opens a store with the settings of this process.
    pub(crate) async fn store_at(&self, url: &str) -> Result<Arc<dyn Store>, Failure> {
        let mut options = StoreOptions::default();
        options.endpoint.clone_from(&self.store.s3_endpoint);
        options.region.clone_from(&self.store.s3_region);
        options.path_style = self.store.s3_path_style;
        Ok(dunlin_storage::open(url, &options).await?)
    }
}

/// The embedded store: `dunlin/store` in the user's data directory (XDG).
fn default_store() -> Result<String, Failure> {
    Ok(format!(
        "file:{}",
        data_directory()?.join("store").display()
    ))
}

/// `$XDG_DATA_HOME/dunlin`, else `~/.local/share/dunlin`.
pub(crate) fn data_directory() -> Result<PathBuf, Failure> {
    // XDG says to ignore a relative path.
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("dunlin"))
        .ok_or_else(|| {
            Exit::Usage.failure(
                "no home directory for the default store (HOME is not set); name a store with --store file:PATH or DUNLIN_STORE",
            )
        })
}

/// A URL that may be shown: without the user and password that some put into it.
pub(crate) fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            ("s3://key:secret@bucket/models", "s3://***@bucket/models"),
            ("http://u:p@@host", "http://***@host"),
            ("s3://bucket/a@b", "s3://bucket/a@b"),
            ("file:/home/a@b", "file:/home/a@b"),
        ];
        for (url, shown) in cases {
            assert_eq!(redact(url), shown);
        }
    }
}

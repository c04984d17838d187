//! Where things lie in the store: the only place that knows the keys.

use dunlin_storage::ObjectKey;

use crate::{Alias, Digest, Error, ModelName, Result, Version};

pub(crate) const MODELS: &str = "models/";

pub(crate) fn blob(digest: &Digest) -> Result<ObjectKey> {
    key(&format!("blobs/sha256/{}", digest.hex()))
}

pub(crate) fn versions(name: &ModelName) -> String {
    format!("models/{name}/versions/")
}

pub(crate) fn manifest(name: &ModelName, version: Version) -> Result<ObjectKey> {
    key(&format!("models/{name}/versions/{version}.json"))
}

pub(crate) fn aliases(name: &ModelName) -> String {
    format!("models/{name}/aliases/")
}

pub(crate) fn alias(name: &ModelName, alias: &Alias) -> Result<ObjectKey> {
    key(&format!("models/{name}/aliases/{alias}.json"))
}

pub(crate) fn numbers(name: &ModelName) -> String {
    format!("numbers/{name}/")
}

pub(crate) fn number(name: &ModelName, version: Version) -> Result<ObjectKey> {
    key(&format!("numbers/{name}/{version}"))
}

/// That the version of a number is deleted.
pub(crate) fn deleted(name: &ModelName, version: Version) -> Result<ObjectKey> {
    key(&format!("numbers/{name}/{version}.deleted"))
}

/// That a collection runs.
pub(crate) fn collecting() -> Result<ObjectKey> {
    key("collecting")
}

/// Which files publishers are about to name.
pub(crate) const INTENTS: &str = "intents/";

pub(crate) fn intent(id: &str) -> Result<ObjectKey> {
    key(&format!("{INTENTS}{id}"))
}

/// Which version something that is published once became.
pub(crate) fn once(name: &ModelName, key: &Digest) -> Result<ObjectKey> {
    self::key(&format!("once/{name}/{}", key.hex()))
}

/// The last segment of a listed key, without the folder and the ending.
pub(crate) fn stem<'a>(key: &'a ObjectKey, folder: &str, ending: &str) -> Option<&'a str> {
    key.as_str().strip_prefix(folder)?.strip_suffix(ending)
}

fn key(text: &str) -> Result<ObjectKey> {
    ObjectKey::new(text)
        .map_err(|error| Error::storage(format_args!("name the object {text}"), error))
}

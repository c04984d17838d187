//! Where things lie in the store: the only place that knows the keys.

use dunlin_storage::ObjectKey;

use crate::{Alias, Digest, Error, Guard, KeyId, ModelName, Result, Version};

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

pub(crate) fn signatures(name: &ModelName, version: Version) -> String {
    format!("models/{name}/signatures/{version}/")
}

/// By the bytes of the manifest: of two that race for a number, each has its own.
pub(crate) fn signature(
    name: &ModelName,
    version: Version,
    manifest: &Digest,
    by: &KeyId,
) -> Result<ObjectKey> {
    let folder = signatures(name, version);
    key(&format!("{folder}{}.{by}.json", &manifest.hex()[..16]))
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

/// What hosts count of an alias's guarded canaries.
pub(crate) fn trials(name: &ModelName, alias: &Alias) -> String {
    format!("metrics/{name}/{alias}/")
}

/// What they count of one step of one of them.
pub(crate) fn counts(name: &ModelName, alias: &Alias, guard: &Guard) -> String {
    format!("{}{}/{}/", trials(name, alias), guard.trial, guard.step)
}

pub(crate) fn host_counts(
    name: &ModelName,
    alias: &Alias,
    guard: &Guard,
    host: &str,
) -> Result<ObjectKey> {
    key(&format!("{}{host}.json", counts(name, alias, guard)))
}

/// Requests on which versions differ.
pub(crate) fn differences(name: &ModelName) -> String {
    format!("shadows/{name}/")
}

pub(crate) fn difference(
    name: &ModelName,
    version: Version,
    host: &str,
    place: usize,
) -> Result<ObjectKey> {
    key(&format!(
        "{}{version}/{host}-{place}.json",
        differences(name)
    ))
}

/// Payloads, by the day on which they expire.
pub(crate) const CAPTURES: &str = "captures/";

pub(crate) fn capture(
    day: &str,
    name: &ModelName,
    version: Version,
    id: &str,
) -> Result<ObjectKey> {
    key(&format!("{CAPTURES}{day}/{name}/{version}/{id}.json"))
}

/// The last segment of a listed key, without the folder and the ending.
pub(crate) fn stem<'a>(key: &'a ObjectKey, folder: &str, ending: &str) -> Option<&'a str> {
    key.as_str().strip_prefix(folder)?.strip_suffix(ending)
}

fn key(text: &str) -> Result<ObjectKey> {
    ObjectKey::new(text)
        .map_err(|error| Error::storage(format_args!("name the object {text}"), error))
}

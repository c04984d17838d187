//! From a reference to a version.

use dunlin_storage::ETag;

use super::Registry;
use crate::alias::pick;
use crate::{
    Alias, AliasRecord, Artifact, Error, ErrorKind, Guard, Hint, ModelRef, Result, Selector,
    Shadow, Target, Version,
};

/// Where the requests for a reference go now. Keep it for a while, and pick for each request.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    targets: Vec<Target>,
    hints: Vec<Hint>,
    /// The version that is asked too.
    pub shadow: Option<Shadow>,
    /// The version on a guarded trial, and its guard.
    pub guarded: Option<(Version, Guard)>,
    /// The alias that names them, if one does.
    pub alias: Option<Alias>,
    /// The state of that alias.
    pub etag: Option<ETag>,
}

/// The version that a reference means for one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// The version.
    pub version: Version,
    /// The alias that names it, if one does.
    pub alias: Option<Alias>,
    /// The state of that alias.
    pub etag: Option<ETag>,
}

impl Route {
    /// The versions, each with its weight; at least one.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The version for a key, such as a hash of the request's id: the same key falls on the same
    /// version, and over many keys each version gets its weight's share.
    pub fn pick(&self, key: u64) -> Version {
        // A route has a target: both places below that make one see to it.
        pick(&self.targets, key).unwrap_or(self.targets[0].version)
    }

    /// What a version is probably made of, if the alias says so; its manifest decides.
    pub fn hint(&self, version: Version) -> Option<&[Artifact]> {
        let hint = self.hints.iter().find(|hint| hint.version == version);
        hint.map(|hint| hint.artifacts.as_slice())
    }

    /// Whether its requests are counted, or run on a second version too.
    pub fn is_watched(&self) -> bool {
        self.shadow.is_some() || self.guarded.is_some()
    }

    fn one(version: Version) -> Self {
        Self {
            targets: vec![Target::new(version, 1)],
            hints: Vec::new(),
            shadow: None,
            guarded: None,
            alias: None,
            etag: None,
        }
    }

    fn of_alias((record, etag): (AliasRecord, ETag)) -> Self {
        Self {
            targets: record.targets,
            hints: record.hints,
            shadow: record.shadow,
            guarded: record.change.canary.zip(record.change.guard),
            alias: Some(record.alias),
            etag: Some(etag),
        }
    }
}

impl Registry {
    /// Where the requests for a reference go.
    ///
    /// A version that is named by its number is not looked up: reading its manifest tells.
    pub async fn route(&self, reference: &ModelRef) -> Result<Route> {
        let name = &reference.name;
        match &reference.selector {
            Selector::Version(version) => Ok(Route::one(*version)),
            Selector::Alias(alias) => match self.read_alias(name, alias).await? {
                Some(read) => Ok(Route::of_alias(read)),
                None => Err(self.no_alias(name, alias).await),
            },
            Selector::Default => {
                if let Some(read) = self.read_alias(name, &Alias::production()).await? {
                    return Ok(Route::of_alias(read));
                }
                let versions = self.versions(name).await?;
                let newest = versions.last().ok_or_else(|| self.no_model(name))?;
                Ok(Route::one(*newest))
            }
        }
    }

    /// The version that a reference means for a key; see [`Route::pick`].
    pub async fn resolve(&self, reference: &ModelRef, key: u64) -> Result<Resolution> {
        let route = self.route(reference).await?;
        Ok(Resolution {
            version: route.pick(key),
            alias: route.alias,
            etag: route.etag,
        })
    }

    /// Says as exactly as the store knows why there is no such alias.
    pub(super) async fn no_alias(&self, name: &crate::ModelName, alias: &Alias) -> Error {
        let (versions, aliases) =
            match futures_util::try_join!(self.versions(name), self.aliases(name)) {
                Ok(both) => both,
                Err(error) => return error,
            };
        if versions.is_empty() {
            return self.no_model(name);
        }
        let known = aliases
            .iter()
            .map(Alias::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let known = if known.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {known}")
        };
        Error::new(
            ErrorKind::AliasNotFound,
            format!("model \"{name}\" has no alias \"{alias}\"; {known}"),
        )
    }
}

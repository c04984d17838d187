//! Releases: a version is promoted, put on trial beside the one that serves, or taken back.

use super::Registry;
use crate::alias::{Next, with_canary};
use crate::{
    Alias, AliasRecord, Change, Error, ErrorKind, Guard, ModelName, Result, Target, Version,
};

impl Registry {
    /// Points an alias at one version alone.
    pub async fn promote(
        &self,
        name: &ModelName,
        alias: &Alias,
        version: Version,
        reason: Option<&str>,
    ) -> Result<AliasRecord> {
        let next = Next {
            targets: vec![Target::new(version, 1)],
            change: Change {
                reason: reason.map(str::to_owned),
                ..Change::default()
            },
        };
        self.move_alias(name, alias, |_| Ok(next.clone())).await
    }

    /// Gives a version `percent` (1 to 99) of an alias's requests; the rest stays with what the
    /// alias stood for before the version was on trial.
    ///
    /// A request that falls on the version goes on doing so while its share grows.
    pub async fn canary(
        &self,
        name: &ModelName,
        alias: &Alias,
        version: Version,
        percent: u32,
        reason: Option<&str>,
    ) -> Result<AliasRecord> {
        self.try_out(name, alias, version, percent, reason, None)
            .await
    }

    pub(super) async fn try_out(
        &self,
        name: &ModelName,
        alias: &Alias,
        version: Version,
        percent: u32,
        reason: Option<&str>,
        guard: Option<Guard>,
    ) -> Result<AliasRecord> {
        let refused = |why: String| {
            Error::new(
                ErrorKind::InvalidAlias,
                format!("alias {alias} of {name}: {why}"),
            )
        };
        if !(1..=99).contains(&percent) {
            return Err(refused(format!(
                "a canary takes 1 to 99 percent, not {percent}; `dunlin promote` gives a version all"
            )));
        }
        // Without the alias a bare name is the newest version: there is nothing to be a canary of.
        self.alias(name, alias).await?;
        let change = |record: Option<&AliasRecord>| {
            let base = record.map_or(&[][..], AliasRecord::settled);
            if base.is_empty() {
                return Err(refused(
                    "there is no version beside which to try another".to_owned(),
                ));
            }
            if base.iter().any(|target| target.version == version) {
                return Err(refused(format!("version {version} serves already")));
            }
            let Some(targets) = with_canary(base, version, percent) else {
                return Err(refused("its weights are too large to be shared".to_owned()));
            };
            Ok(Next {
                targets,
                change: Change {
                    reason: reason.map(str::to_owned),
                    canary: Some(version),
                    guard: guard.clone(),
                    restores: None,
                },
            })
        };
        self.move_alias(name, alias, change).await
    }

    /// Takes an alias back to what it stood for before: past the steps of a canary, and, after
    /// another rollback, further back still.
    ///
    /// # Errors
    /// [`ErrorKind::NoEarlierState`]; [`ErrorKind::VersionNotFound`] if a version of the earlier
    /// state is deleted.
    pub async fn roll_back(
        &self,
        name: &ModelName,
        alias: &Alias,
        reason: Option<&str>,
    ) -> Result<AliasRecord> {
        self.alias(name, alias).await?;
        self.move_alias(name, alias, |record| {
            record
                .and_then(|record| back(record, reason))
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::NoEarlierState,
                        format!("alias {alias} of {name} has no earlier state to go back to"),
                    )
                })
        })
        .await
    }
}

/// The state before, if there is one.
pub(super) fn back(record: &AliasRecord, reason: Option<&str>) -> Option<Next> {
    let (place, earlier) = record.earlier()?;
    Some(Next {
        targets: earlier.targets.clone(),
        change: Change {
            reason: reason.map(str::to_owned),
            // The state that it leaves becomes the history's first.
            restores: Some(place + 1),
            ..Change::default()
        },
    })
}

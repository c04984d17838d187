//! The store itself: one object written, written again, looked at and deleted.

use std::time::{Duration, SystemTime};

use dunlin_storage::{ErrorKind, ObjectKey, PutCondition, Store};

use super::Finding;
use crate::context::Context;

/// AWS refuses requests that are signed a quarter of an hour off.
const SKEW: Duration = Duration::from_mins(5);

pub(super) async fn check(url: &str, context: &Context) -> Vec<Finding> {
    let store = match context.store_at(url).await {
        Ok(store) => store,
        Err(failure) => {
            return vec![Finding::bad(
                "store",
                failure.error,
                "--store names it; docs/storage.md",
            )];
        }
    };
    let told = match store.list_folders("models/").await {
        Ok(models) => Finding::good(
            "store",
            format!("{} holds {} model(s)", store.url(), models.len()),
        ),
        Err(error) => return vec![Finding::bad("store", error.to_string(), cure(error.kind()))],
    };
    let mut findings = vec![told];
    findings.extend(written(store.as_ref()).await);
    findings
}

/// Whether it can be written to, keeps its conditions, and agrees on the time.
async fn written(store: &dyn Store) -> Vec<Finding> {
    let name = format!("doctor/{:016x}", rand());
    let Ok(key) = ObjectKey::new(name) else {
        return Vec::new();
    };
    if let Err(error) = store
        .put(&key, "here\n".into(), PutCondition::IfAbsent)
        .await
    {
        return vec![match error.kind() {
            ErrorKind::PermissionDenied => Finding::warning(
                "writing",
                "these credentials may only read",
                "enough to predict; dunlin push needs s3:PutObject",
            ),
            kind => Finding::bad("writing", error.to_string(), cure(kind)),
        }];
    }
    let mut findings = vec![Finding::good("writing", "an object was created")];
    findings.push(match store.put(&key, "again\n".into(), PutCondition::IfAbsent).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Finding::good("conditions", "a second creation of it was refused")
        }
        Ok(_) => Finding::bad(
            "conditions",
            "an object was created twice: the store ignores If-None-Match",
            "versions could be overwritten; use a store that passes `cargo test --test storage` (docs/storage.md)",
        ),
        Err(error) => Finding::bad("conditions", error.to_string(), cure(error.kind())),
    });
    if let Ok(meta) = store.head(&key).await
        && let Some(there) = meta.modified
    {
        findings.push(clock(there, SystemTime::now()));
    }
    if let Err(error) = store.delete(&key).await {
        let seen = format!("{} stays: {error}", key.as_str());
        findings.push(Finding::warning("deleting", seen, "delete it by hand"));
    }
    findings
}

fn clock(there: SystemTime, here: SystemTime) -> Finding {
    let ahead = here.duration_since(there).unwrap_or_default();
    let behind = there.duration_since(here).unwrap_or_default();
    let skew = ahead.max(behind);
    if skew > SKEW {
        let seen = format!("this clock is {} s off the store's", skew.as_secs());
        return Finding::bad(
            "clock",
            seen,
            "set the clock (timedatectl set-ntp true): S3 refuses signatures that are 15 minutes off",
        );
    }
    Finding::good(
        "clock",
        format!("within {} s of the store's", skew.as_secs() + 1),
    )
}

fn cure(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "no such bucket: dunlin deploy makes one, --store names it",
        ErrorKind::PermissionDenied => {
            "the credentials are others', their policy lacks s3:ListBucket and s3:GetObject, or this clock is off"
        }
        ErrorKind::NoCredentials => {
            "aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; SSO: aws configure export-credentials --format env"
        }
        ErrorKind::InvalidConfig => {
            "the URL is s3://BUCKET/PREFIX or file:PATH; the region is AWS_REGION or --s3-region"
        }
        ErrorKind::StorageFull => "make room",
        _ => "the endpoint, the network, the proxy: docs/storage.md",
    }
}

/// A name that no other run has.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_is_off_either_way() {
        let now = SystemTime::now();
        for (there, want) in [
            (now, State::Good),
            (now - Duration::from_mins(1), State::Good),
            (now - Duration::from_hours(1), State::Bad),
            (now + Duration::from_hours(1), State::Bad),
        ] {
            assert_eq!(clock(there, now).state, want);
        }
    }
}

//! Readiness that is true.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dunlin_storage::{ErrorKind as Storage, ObjectKey, Store};

/// How long an answer of the store counts.
const CHECKED: Duration = Duration::from_secs(2);

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the service takes requests, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Why it is not ready; empty when it is.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// Whether it is ready.
    pub fn ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Asks the store for a sign of life, seldom.
#[derive(Debug, Default)]
pub(crate) struct StoreProbe {
    last: Mutex<Option<(Instant, Option<String>)>>,
    asking: tokio::sync::Mutex<()>,
}

impl StoreProbe {
    /// Why the store can't be used; `None` when it can.
    pub(crate) async fn trouble(&self, store: &dyn Store) -> Option<String> {
        let _asking = self.asking.lock().await;
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, trouble)) = last.filter(|(at, _)| at.elapsed() < CHECKED) {
            return trouble;
        }
        let trouble = match tokio::time::timeout(PATIENCE, ask(store)).await {
            Ok(trouble) => trouble,
            Err(_) => Some(format!("the store has not answered for {PATIENCE:?}")),
        };
        self.note(trouble.clone());
        trouble
    }

    /// It has just given what was asked of it: a sign of life as good as any.
    pub(crate) fn alive(&self) {
        self.note(None);
    }

    fn note(&self, trouble: Option<String>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), trouble));
    }
}

/// A look at an object that is never there: the least that a store can be asked.
async fn ask(store: &dyn Store) -> Option<String> {
    let key = match ObjectKey::new("models/.ready") {
        Ok(key) => key,
        Err(error) => return Some(error.to_string()),
    };
    match store.head(&key).await {
        Ok(_) => None,
        Err(error) if error.kind() == Storage::NotFound => None,
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            Some("the store does not answer; see the log".to_owned())
        }
    }
}

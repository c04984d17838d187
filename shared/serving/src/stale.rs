//! What was read from the store, kept for a while: refreshed early by one reader, read once however
//! many ask, and served stale while the store is in trouble.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind};

/// Entries kept; beyond, those read longest ago are forgotten.
const ENTRIES: usize = 4096;

/// How long a reader waits for the store while it holds an older answer.
const STALE_WAIT: Duration = Duration::from_secs(2);

/// How soon the store is asked again after it failed.
const RETRY: Duration = Duration::from_secs(5);

/// Answers of the store by key.
#[derive(Debug)]
pub(crate) struct Stale<K, V> {
    refresh: Duration,
    entries: Mutex<HashMap<K, Arc<Entry<V>>>>,
}

#[derive(Debug)]
struct Entry<V> {
    answer: Mutex<Option<Answer<V>>>,
    /// The last failure, for those who waited while it was found.
    failure: Mutex<Option<(Instant, Error)>>,
    /// Held by the one reader that asks the store.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Answer<V> {
    value: V,
    /// When it was read.
    at: Instant,
    /// When to ask again.
    until: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these; the data is whole in any case.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Clone + Eq + Hash, V: Clone> Stale<K, V> {
    pub(crate) fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            entries: Mutex::default(),
        }
    }

    /// The answer, of whatever age, without asking the store.
    pub(crate) fn peek(&self, key: &K) -> Option<V> {
        let entry = lock(&self.entries).get(key)?.clone();
        entry.held()
    }

    /// Whether the answer grows old: still good, and time to ask again beside the requests.
    pub(crate) fn ageing(&self, key: &K) -> bool {
        let Some(entry) = lock(&self.entries).get(key).cloned() else {
            return false;
        };
        // The lock is held: somebody asks already.
        entry.asking.try_lock().is_ok()
            && lock(&entry.answer).as_ref().is_some_and(|answer| {
                let now = Instant::now();
                now < answer.until && answer.until - now < self.refresh / 2
            })
    }

    /// The answer, read through `ask` if there is none or it is too old.
    pub(crate) async fn get<F>(&self, key: &K, ask: impl FnOnce() -> F) -> Result<V, Error>
    where
        F: Future<Output = Result<V, Error>>,
    {
        let entry = self.entry(key);
        if let Some(value) = entry.fresh() {
            return Ok(value);
        }
        let waiting_since = Instant::now();
        let _asking = match entry.asking.try_lock() {
            Ok(asking) => asking,
            // One asks; the others need not wait for a slow store while there is an answer.
            Err(_) => match entry.held() {
                Some(value) => return Ok(value),
                None => entry.asking.lock().await,
            },
        };
        if let Some(value) = entry.fresh() {
            return Ok(value);
        }
        if let Some((at, error)) = &*lock(&entry.failure)
            && *at >= waiting_since
        {
            return Err(error.clone());
        }
        self.ask(key, &entry, ask).await
    }

    /// Asks the store anew, unless somebody is just doing so.
    pub(crate) async fn renew<F>(&self, key: &K, ask: impl FnOnce() -> F)
    where
        F: Future<Output = Result<V, Error>>,
    {
        let entry = self.entry(key);
        if let Ok(_asking) = entry.asking.try_lock() {
            // An error is logged where it is found, and told to the request that meets it.
            let _ = self.ask(key, &entry, ask).await;
        }
    }

    async fn ask<F>(&self, key: &K, entry: &Entry<V>, ask: impl FnOnce() -> F) -> Result<V, Error>
    where
        F: Future<Output = Result<V, Error>>,
    {
        let held = lock(&entry.answer).clone();
        let asked = match &held {
            None => ask().await,
            Some(_) => match tokio::time::timeout(STALE_WAIT, ask()).await {
                Ok(asked) => asked,
                Err(_) => Err(Error::new(
                    ErrorKind::Store,
                    format!("the store has not answered for {STALE_WAIT:?}"),
                )),
            },
        };
        let now = Instant::now();
        match (asked, held) {
            (Ok(value), _) => {
                let answer = Answer {
                    value: value.clone(),
                    at: now,
                    until: now + self.refresh,
                };
                *lock(&entry.answer) = Some(answer);
                Ok(value)
            }
            (Err(error), Some(held)) if error.kind() == ErrorKind::Store => {
                tracing::warn!(%error, age_s = held.at.elapsed().as_secs(), "stale: the store is in trouble");
                let until = now + RETRY.min(self.refresh);
                *lock(&entry.answer) = Some(Answer {
                    until,
                    ..held.clone()
                });
                Ok(held.value)
            }
            (Err(error), _) => {
                // Gone, or never there: nothing is kept, so that names made up cost no memory.
                lock(&self.entries).remove(key);
                *lock(&entry.failure) = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    fn entry(&self, key: &K) -> Arc<Entry<V>> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(key) {
            return entry.clone();
        }
        if entries.len() >= ENTRIES {
            let mut ages: Vec<_> = entries
                .values()
                .map(|entry| lock(&entry.answer).as_ref().map(|a| a.at))
                .collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            entries.retain(|_, entry| lock(&entry.answer).as_ref().map(|a| a.at) > middle);
        }
        let entry = Arc::new(Entry {
            answer: Mutex::new(None),
            failure: Mutex::new(None),
            asking: tokio::sync::Mutex::default(),
        });
        entries.insert(key.clone(), entry.clone());
        entry
    }
}

impl<V: Clone> Entry<V> {
    fn held(&self) -> Option<V> {
        let answer = lock(&self.answer);
        answer.as_ref().map(|answer| answer.value.clone())
    }

    fn fresh(&self) -> Option<V> {
        let answer = lock(&self.answer);
        answer
            .as_ref()
            .filter(|answer| Instant::now() < answer.until)
            .map(|a| a.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const NEVER: Duration = Duration::from_hours(1);

    fn trouble() -> Error {
        Error::new(ErrorKind::Store, "down")
    }

    fn missing() -> Error {
        Error::new(ErrorKind::ModelNotFound, "gone")
    }

    #[tokio::test]
    async fn asks_once_however_many_wait() {
        let stale = Arc::new(Stale::new(NEVER));
        let asked = Arc::new(AtomicUsize::new(0));
        let readers = (0..64).map(|_| {
            let (stale, asked) = (stale.clone(), asked.clone());
            tokio::spawn(async move {
                let ask = || async {
                    tokio::task::yield_now().await;
                    Ok(asked.fetch_add(1, Ordering::SeqCst))
                };
                stale.get(&"k", ask).await.expect("an answer")
            })
        });
        for reader in futures_util::future::join_all(readers).await {
            assert_eq!(reader.expect("no panic"), 0);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_shared_by_those_who_waited_and_kept_for_nobody_else() {
        let stale = Arc::new(Stale::<_, u32>::new(NEVER));
        let asked = AtomicUsize::new(0);
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Err(missing())
        };
        let both = tokio::join!(stale.get(&"k", ask), stale.get(&"k", ask));
        assert!(both.0.is_err() && both.1.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(
            stale
                .get(&"k", || async { Ok(5) })
                .await
                .expect("asked anew"),
            5
        );
    }

    #[tokio::test]
    async fn trouble_serves_the_old_answer_and_absence_does_not() {
        let stale = Stale::new(Duration::ZERO);
        assert!(
            stale
                .get(&1, || async { Err::<u32, _>(trouble()) })
                .await
                .is_err()
        );
        assert_eq!(stale.get(&1, || async { Ok(7) }).await.expect("read"), 7);
        assert_eq!(
            stale
                .get(&1, || async { Err(trouble()) })
                .await
                .expect("stale"),
            7
        );
        let gone = stale
            .get(&1, || async { Err(missing()) })
            .await
            .expect_err("gone");
        assert_eq!(gone.kind(), ErrorKind::ModelNotFound);
        assert!(stale.peek(&1).is_none());
    }

    #[tokio::test]
    async fn names_made_up_cost_no_memory() {
        let stale = Stale::<_, u32>::new(NEVER);
        for key in 0..100 {
            let _ = stale.get(&key, || async { Err(missing()) }).await;
        }
        assert!(lock(&stale.entries).is_empty());
        for key in 0..2 * ENTRIES {
            let _ = stale.get(&key, || async { Ok(1) }).await;
        }
        assert!(lock(&stale.entries).len() <= ENTRIES);
    }
}

//! A second request for a part that straggles.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::Result;

/// A part that takes longer than `factor` times the median of those before it, and longer than
/// `after`, is asked for a second time; the first answer counts.
#[derive(Clone, Copy, Debug)]
pub struct Hedge {
    /// The least time that any part is given.
    pub after: Duration,
    /// How many times the median is too long.
    pub factor: u32,
}

impl Default for Hedge {
    fn default() -> Self {
        Self {
            after: Duration::from_millis(400),
            factor: 3,
        }
    }
}

/// How fast the parts of one download come, and so which one straggles.
#[derive(Debug)]
pub(super) struct Pace {
    hedge: Option<Hedge>,
    /// Sorted.
    times: Mutex<Vec<Duration>>,
    /// A store that is slow as a whole is not asked for everything twice.
    second: Semaphore,
}

impl Pace {
    pub(super) fn new(hedge: Option<Hedge>, window: usize) -> Self {
        Self {
            hedge,
            times: Mutex::default(),
            second: Semaphore::new((window / 4).max(1)),
        }
    }

    /// Makes a request, and a second one if the first straggles.
    pub(super) async fn hedged<T, F: Future<Output = Result<T>> + Send>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T> {
        let start = Instant::now();
        let first = request();
        tokio::pin!(first);
        let straggles = async {
            self.straggles(start).await;
            self.second.acquire().await
        };
        let result = tokio::select! {
            biased;
            result = &mut first => result,
            _permit = straggles => {
                tracing::debug!(elapsed = ?start.elapsed(), "a part straggles: asked again");
                let second = request();
                tokio::pin!(second);
                // When one of the two fails, the other one decides.
                tokio::select! {
                    result = &mut first => if result.is_ok() { result } else { second.await },
                    result = &mut second => if result.is_ok() { result } else { first.await },
                }
            }
        };
        if result.is_ok() {
            self.note(start.elapsed());
        }
        result
    }

    /// Ends when a request that began at `start` takes too long; the median may move meanwhile.
    async fn straggles(&self, start: Instant) {
        let Some(hedge) = self.hedge else {
            return std::future::pending().await;
        };
        loop {
            let limit = hedge.after.max(self.median().saturating_mul(hedge.factor));
            match limit.checked_sub(start.elapsed()) {
                Some(left) if !left.is_zero() => sleep(left).await,
                _ => return,
            }
        }
    }

    fn median(&self) -> Duration {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        // With nothing to compare with, a first part is given some more time.
        times
            .get(times.len() / 2)
            .copied()
            .unwrap_or(Duration::from_millis(500))
    }

    fn note(&self, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let place = times.partition_point(|known| *known <= time);
        times.insert(place, time);
    }
}

//! The one retry policy: exponential waits with full jitter, bounded in number and in time.

use std::error::Error as StdError;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::{Error, ErrorKind, Result, StoreOptions};

/// The longest wait before the second try; it doubles with every try, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why one try failed.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) reason: String,
    pub(crate) cure: Option<&'static str>,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether another try may succeed.
    pub(crate) retry: bool,
}

impl Fault {
    pub(crate) fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            cure: None,
            source: None,
            retry: false,
        }
    }

    /// A failure of the way to the store, which may be gone at the next try.
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self {
            retry: true,
            ..Self::new(ErrorKind::Unavailable, reason)
        }
    }

    pub(crate) fn with_cure(mut self, cure: &'static str) -> Self {
        self.cure = Some(cure);
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    fn into_error(self, operation: &'static str, object: String) -> Error {
        let mut error = Error::new(self.kind, operation, object, self.reason);
        if let Some(source) = self.source {
            error = error.with_source(source);
        }
        match self.cure {
            Some(cure) => error.with_cure(cure),
            None => error,
        }
    }
}

/// Tries until it succeeds, the fault is one that stays, or tries or time run out.
///
/// `bytes` is how much a try moves, which buys it time. `attempt` is given the number of the try,
/// from 1.
pub(crate) async fn run<T, F: Future<Output = Result<T, Fault>> + Send>(
    options: &StoreOptions,
    operation: &'static str,
    object: impl Fn() -> String,
    bytes: u64,
    mut attempt: impl FnMut(u32) -> F,
) -> Result<T> {
    let start = Instant::now();
    let allowed = options.allowance(bytes);
    let mut tries = 0;
    let mut last: Option<Fault> = None;
    loop {
        tries += 1;
        let left = allowed.saturating_sub(start.elapsed());
        let fault = match timeout(left, Box::pin(attempt(tries))).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(fault)) => fault,
            Err(_) => {
                let before = last.map(|last| format!("; before that: {}", last.reason));
                let reason = format!(
                    "no answer within the {allowed:.0?} allowed{}",
                    before.unwrap_or_default()
                );
                let fault = Fault::new(ErrorKind::Unavailable, reason);
                return Err(fault
                    .into_error(operation, object())
                    .after(start.elapsed(), tries));
            }
        };
        let wait = jitter(tries);
        if !fault.retry || tries >= options.tries || start.elapsed() + wait >= allowed {
            return Err(fault
                .into_error(operation, object())
                .after(start.elapsed(), tries));
        }
        tracing::debug!(
            operation,
            object = object(),
            tries,
            ?wait,
            reason = fault.reason,
            "again"
        );
        tokio::time::sleep(wait).await;
        last = Some(fault);
    }
}

/// Any time between nothing and the longest wait of this try, so that clients spread out.
fn jitter(tries: u32) -> Duration {
    let longest = FIRST_WAIT
        .saturating_mul(1 << (tries - 1).min(16))
        .min(LONGEST_WAIT);
    longest.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tried(options: &StoreOptions, faults: u32, retry: bool) -> Result<u32> {
        run(
            options,
            "get",
            || "s3://b/k".into(),
            0,
            |number| async move {
                let fault = Fault {
                    retry,
                    ..Fault::passing("HTTP 503")
                };
                if number > faults {
                    Ok(number)
                } else {
                    Err(fault)
                }
            },
        )
        .await
    }

    #[tokio::test]
    async fn passing_faults_are_tried_again_and_counted() {
        let options = StoreOptions {
            tries: 4,
            ..StoreOptions::default()
        };
        assert_eq!(tried(&options, 3, true).await.unwrap(), 4);
        let error = tried(&options, 4, true).await.unwrap_err();
        assert_eq!((error.kind(), error.tries()), (ErrorKind::Unavailable, 4));
        assert!(
            error
                .to_string()
                .contains("cannot get s3://b/k: HTTP 503 (4 tries in"),
            "{error}"
        );
        let error = tried(&options, 1, false).await.unwrap_err();
        assert_eq!(error.tries(), 1);
    }

    #[tokio::test]
    async fn a_try_that_never_ends_is_cut() {
        let options = StoreOptions {
            timeout: Duration::from_millis(20),
            ..StoreOptions::default()
        };
        let forever = |_| std::future::pending::<Result<(), Fault>>();
        let error = run(&options, "get", String::new, 0, forever)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error.to_string().contains("within the 20ms allowed"),
            "{error}"
        );
    }

    #[test]
    fn waits_grow_to_the_longest_and_no_further() {
        for tries in 1..40 {
            let longest = FIRST_WAIT
                .saturating_mul(1 << (tries - 1).min(16))
                .min(LONGEST_WAIT);
            assert!((0..100).all(|_| jitter(tries) <= longest));
        }
    }
}

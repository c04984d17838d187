//! Which requests are answered sooner than another thread wakes up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a run may keep a thread of the runtime, on which others' sockets wait too. To wake a
/// worker and be woken by it takes about as long.
const QUICK: Duration = Duration::from_micros(100);

/// What a model has shown of its speed.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// A body with fewer bytes than this has been answered quickly.
    quick_below: AtomicUsize,
}

impl Pace {
    /// Whether a body of so many bytes will most likely be answered quickly.
    pub(crate) fn is_quick(&self, bytes: usize) -> bool {
        bytes < self.quick_below.load(Ordering::Relaxed)
    }

    /// Remembers how long a body of so many bytes took.
    pub(crate) fn learn(&self, bytes: usize, took: Duration) {
        if took <= QUICK {
            self.quick_below
                .fetch_max(bytes.saturating_add(1), Ordering::Relaxed);
        } else {
            self.quick_below.fetch_min(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_slow_is_quick_again_only_after_it_was_quick() {
        let pace = Pace::default();
        assert!(!pace.is_quick(0), "nothing is known yet");
        pace.learn(100, QUICK);
        assert!(pace.is_quick(100) && pace.is_quick(7) && !pace.is_quick(101));
        pace.learn(80, QUICK * 2);
        assert!(pace.is_quick(79) && !pace.is_quick(80) && !pace.is_quick(100));
        pace.learn(100, QUICK / 2);
        assert!(pace.is_quick(80));
    }
}

//! How long an invocation may still take.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Kept back from the function's time, so that "deadline exceeded" still reaches the caller.
const RESERVE: Duration = Duration::from_millis(100);

/// The longest time that Lambda gives a function.
const LONGEST: Duration = Duration::from_mins(15);

/// The time that is left of an invocation, from its deadline in milliseconds since 1970, less what
/// an answer needs. An emulator may tell a constant; such a deadline is none.
pub fn time_left(epoch_ms: u64, now: SystemTime) -> Option<Duration> {
    let deadline = UNIX_EPOCH + Duration::from_millis(epoch_ms);
    let past = now.duration_since(deadline).unwrap_or_default();
    let left = deadline.duration_since(now).unwrap_or_default();
    (past < LONGEST && left <= LONGEST).then(|| left.saturating_sub(RESERVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_out_of_reason_is_none() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (epoch_ms, want) in [
            (1_000_003_000, Some(Duration::from_millis(2_900))),
            (1_000_000_050, Some(Duration::ZERO)),
            (999_999_000, Some(Duration::ZERO)),
            (60_000, None),
            (u64::MAX / 2, None),
        ] {
            assert_eq!(time_left(epoch_ms, now), want, "{epoch_ms}");
        }
    }
}

//! The circumstances of one request.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use dunlin_registry::{Route, Version};
use dunlin_telemetry::{Phases, Trace};
use uuid::Uuid;

/// Bytes that a caller's own request id may have.
const ID_LIMIT: usize = 128;

/// One request on its way: its id, its deadline, and the phases it has passed.
#[derive(Debug, Clone)]
pub struct Call {
    /// The request's id, in replies and logs. Requests with the same id fall on the same side of a
    /// weighted alias.
    pub id: String,
    /// When the request came.
    pub started: Instant,
    /// After this moment nobody waits for the answer; `None`: the service's own limit holds.
    pub deadline: Option<Instant>,
    /// The caller's trace, if it told one.
    pub trace: Option<Trace>,
    /// How long each phase took so far.
    pub phases: Phases,
    /// The route that picked, and the version that it picked, where its requests are watched.
    pub(crate) watched: Option<(Arc<Route>, Version)>,
}

impl Call {
    /// A request with a caller's id; without one, or with one that is too long or not printable
    /// ASCII, it gets a new one.
    pub fn new(id: Option<&str>) -> Self {
        let own = id.filter(|id| {
            (1..=ID_LIMIT).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
        });
        let id = own.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        Self {
            id,
            started: Instant::now(),
            deadline: None,
            trace: None,
            phases: Phases::new(),
            watched: None,
        }
    }

    /// What a weighted alias picks by.
    pub(crate) fn key(&self) -> u64 {
        // `DefaultHasher::new` has fixed keys: one id falls on one side in every process.
        let mut hasher = DefaultHasher::new();
        self.id.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_id_is_kept_and_a_bad_one_replaced() {
        assert_eq!(Call::new(Some("order-17")).id, "order-17");
        let long = "x".repeat(ID_LIMIT + 1);
        for bad in ["", "two words", "tab\t", "übel", &long] {
            let id = Call::new(Some(bad)).id;
            assert_eq!(
                Uuid::parse_str(&id).map(|id| id.get_version_num()),
                Ok(7),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_key_follows_the_id() {
        assert_eq!(Call::new(Some("a")).key(), Call::new(Some("a")).key());
        assert_ne!(Call::new(Some("a")).key(), Call::new(Some("b")).key());
    }
}

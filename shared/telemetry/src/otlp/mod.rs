//! Spans of requests for a collector, by OTLP over HTTP.
//!
//! Four messages and one POST: what the exporters of `opentelemetry` bring (a client, a runtime and
//! protobuf of their own) would be a large part of a function's package.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

mod send;
mod wire;

use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::{Phases, Trace};

/// Spans that wait to be sent; older ones are dropped for newer ones.
const KEPT: usize = 512;

/// What a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a collector listens: `http://HOST[:PORT][/PATH]`. It stands beside the host, so there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    authority: String,
    path: String,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or(
            "a collector is named as http://HOST:PORT, one beside this host: there is no TLS to it",
        )?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let named = |b: u8| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b);
        if authority.is_empty() || !authority.bytes().all(named) {
            return Err(format!("{authority:?} is no host and port"));
        }
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{path:?} is no path"));
        }
        let path = path.trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        let with_port = authority
            .rsplit(']')
            .next()
            .is_some_and(|end| end.contains(':'));
        Ok(Self {
            // OTLP's own port over HTTP.
            authority: if with_port {
                authority.to_owned()
            } else {
                format!("{authority}:4318")
            },
            path: format!("{slash}{path}/v1/traces"),
        })
    }
}

/// A request that was answered, as a span.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace.
    pub trace: Trace,
    /// The method and the path.
    pub method: String,
    /// As it was asked for.
    pub path: String,
    /// The status of the reply.
    pub status: u16,
    /// The request's own id.
    pub request_id: String,
    /// How long it took until now.
    pub elapsed: Duration,
    /// What it passed.
    pub phases: Option<Phases>,
}

/// Sends spans to a collector, in groups.
#[derive(Debug)]
pub struct Exporter {
    collector: Collector,
    service: String,
    waiting: Mutex<Vec<wire::Span>>,
}

impl Exporter {
    /// An exporter of this service's spans.
    pub fn new(collector: Collector, service: impl Into<String>) -> Self {
        Self {
            collector,
            service: service.into(),
            waiting: Mutex::default(),
        }
    }

    /// Takes a span, where its caller has its trace sampled; says whether it is the first that waits.
    pub fn take(&self, span: &Span) -> bool {
        if !span.trace.is_sampled() {
            return false;
        }
        let span = wire::Span::of(span, SystemTime::now());
        let mut waiting = self.lock();
        if waiting.len() == KEPT {
            waiting.remove(0);
        }
        waiting.push(span);
        waiting.len() == 1
    }

    /// Sends what waits. A collector that does not take it is told of in the log, and nothing is tried
    /// again: a request is not held up for its span.
    pub async fn flush(&self) {
        let spans = std::mem::take(&mut *self.lock());
        if spans.is_empty() {
            return;
        }
        let count = spans.len();
        let body = wire::request(&self.service, spans);
        let sending = send::post(&self.collector, body);
        let sent = tokio::time::timeout(PATIENCE, sending).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer in {PATIENCE:?}")));
        if let Err(error) = sent {
            let collector = &self.collector.authority;
            tracing::warn!(collector, count, error, "spans are lost");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<wire::Span>> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_host_beside_this_one() {
        for (url, want) in [
            (
                "http://localhost:4318",
                Some(("localhost:4318", "/v1/traces")),
            ),
            ("http://collector/", Some(("collector:4318", "/v1/traces"))),
            (
                "http://[::1]:99/otlp/",
                Some(("[::1]:99", "/otlp/v1/traces")),
            ),
            ("https://far.example", None),
            ("http://", None),
            ("http://a b", None),
            ("http://a\r\nx: y", None),
        ] {
            let got = url.parse::<Collector>().ok();
            let got = got
                .as_ref()
                .map(|c| (c.authority.as_str(), c.path.as_str()));
            assert_eq!(got, want, "{url:?}");
        }
    }
}

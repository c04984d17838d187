//! The request suite: what every host of the router must answer.
//!
//! - `good`: the protocol and the people's API, JSON and binary.
//! - `bad`: every mistake of a caller; a clear error, and the host goes on.

mod bad;
mod good;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// A host: whatever takes a request and gives a reply.
#[async_trait]
pub trait Host: Send + Sync {
    /// Which host, for a failure's report.
    fn name(&self) -> &str;

    /// Sends a request; `path` is as in a request line, percent-encoded.
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Reply;
}

/// A host's reply, whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decoded where an event carried it as base64.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's value; empty without.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// One request, and what its reply must be.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    check: Check,
}

/// Says what is wrong with a reply.
type Check = Box<dyn Fn(&Reply) -> Result<(), String> + Send + Sync>;

impl Case {
    fn new(
        what: &'static str,
        method: &'static str,
        path: impl Into<String>,
        check: impl Fn(&Reply) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            what,
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            check: Box::new(check),
        }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn body(mut self, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }
}

/// `Ok` where `good`, else what was found.
fn expect(good: bool, found: impl std::fmt::Debug) -> Result<(), String> {
    if good {
        Ok(())
    } else {
        Err(format!("{found:?}"))
    }
}

/// Sends every request of the suite to a host that serves `models/digits` as version 1 and takes
/// bodies of at most 1 MiB. Panics with all that failed.
pub async fn run(host: &dyn Host) {
    let mut failures = Vec::new();
    let cases = good::cases().into_iter().chain(bad::cases());
    // Last, the first again: no bad input has harmed the host.
    for case in cases.chain(good::cases().into_iter().take(1)) {
        let reply = host
            .send(case.method, &case.path, &case.headers, &case.body)
            .await;
        if let Err(found) = (case.check)(&reply) {
            let body: String = String::from_utf8_lossy(&reply.body)
                .chars()
                .take(300)
                .collect();
            failures.push(format!(
                "{}: {} {} gave {} {body:?}: {found}",
                case.what, case.method, case.path, reply.status
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{}:\n{}",
        host.name(),
        failures.join("\n")
    );
}

/// A picture of a digit, of the sample's examples.
///
/// # Panics
/// Where the repository does not have it.
pub fn picture(digit: u8) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits/examples");
    std::fs::read(format!("{root}/{digit}.png")).expect("the sample's pictures are there")
}

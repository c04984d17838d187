//! How to reach a store, and how long to try.

use std::fmt;
use std::time::Duration;

/// How [`open`](crate::open) reaches a store. `Default` suits AWS, a local S3 and a directory.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// An S3 other than AWS's, as `http://host:port`. Default: `AWS_ENDPOINT_URL_S3`, then
    /// `AWS_ENDPOINT_URL`, then AWS.
    pub endpoint: Option<String>,
    /// Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, the AWS profile, or with an `endpoint`
    /// `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket goes into the path instead of the host name. Default: if there is an
    /// `endpoint`.
    pub path_style: Option<bool>,
    /// Default: the environment's, then AWS's default chain.
    pub credentials: Option<Credentials>,
    /// How often an operation is tried before it fails; at least once.
    pub tries: u32,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long a try may go without any sign from the store.
    pub stall_timeout: Duration,
    /// How long an operation may take, its tries and the waits between them together. The transfer
    /// of bytes adds its time at [`minimum_rate`](Self::minimum_rate).
    pub timeout: Duration,
    /// The slowest transfer that is waited for, in bytes a second.
    pub minimum_rate: u64,
    /// The largest object that `get` returns, in bytes.
    pub get_limit: u64,
    /// From which size on a put is sent in parts, in bytes.
    pub multipart_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: None,
            credentials: None,
            tries: 5,
            connect_timeout: Duration::from_secs(3),
            stall_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            minimum_rate: 64 << 10,
            get_limit: 64 << 20,
            multipart_bytes: 64 << 20,
        }
    }
}

impl StoreOptions {
    /// How long an operation that moves this many bytes may take.
    pub(crate) fn allowance(&self, bytes: u64) -> Duration {
        self.timeout + Duration::from_secs(bytes / self.minimum_rate.max(1))
    }
}

/// An access key for S3.
#[derive(Clone)]
pub struct Credentials {
    /// The key's name.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// For temporary keys.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

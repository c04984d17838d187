//! Objects in S3 or in a directory, behind one small trait.
//!
//! [`open`] turns a URL into a [`Store`]; the rest of the house never learns which one it got:
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use dunlin_storage::{ObjectKey, PutCondition, StoreOptions, open};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let url = format!("file:{}", folder.path().display());
//! let store = open(&url, &StoreOptions::default()).await?;
//!
//! let key = ObjectKey::new("models/digits/versions/1.json")?;
//! let etag = store.put(&key, "{}".into(), PutCondition::IfAbsent).await?;
//! assert_eq!(store.get(&key).await?.meta.etag, etag);
//!
//! // A version is written once: whoever comes second is told so.
//! let second = store.put(&key, "{}".into(), PutCondition::IfAbsent).await;
//! assert_eq!(second.unwrap_err().kind(), dunlin_storage::ErrorKind::AlreadyExists);
//! # Ok::<(), dunlin_storage::Error>(())
//! # }).unwrap();
//! ```
//!
//! # What every store guarantees
//! - An object is whole or absent: no reader sees half of one, whenever the writer dies.
//! - [`PutCondition`] holds under a race, between threads, processes and machines.
//! - An [`ETag`] changes with every change of content.
//! - After a `put` returns, every reader sees it.
//!
//! # Large objects
//! [`download`] fetches parts in parallel, retries and hedges each, fails cleanly when the object
//! is replaced midway, and computes the digest while bytes arrive.
//!
//! # Errors
//! [`ErrorKind`] says what an error means; the message says which object, which operation, how
//! long, how many tries, why, and where there is one, the cure.

mod directory;
mod download;
mod error;
mod key;
mod open;
mod options;
mod retry;
mod s3;
mod store;

pub use directory::DirectoryStore;
pub use download::{Download, DownloadOptions, Hedge, download};
pub use error::{Error, ErrorKind, Result};
pub use key::{MAX_KEY_BYTES, ObjectKey};
pub use open::{key_in_store, open};
pub use options::{Credentials, StoreOptions};
pub use s3::S3Store;
pub use store::{ETag, Object, ObjectMeta, Progress, PutCondition, Store};

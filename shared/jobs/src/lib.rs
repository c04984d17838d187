//! Batch transforms: many inputs through one version of a model, into result objects and a manifest.
//!
//! | part | file |
//! | --- | --- |
//! | a job: its model, source and destination, and how it is taken up again | `job` |
//! | each object of a prefix → an object of its own | `objects` |
//! | the rows of a file → parts of a thousand answers | `rows` |
//! | rows read: JSON lines, CSV, Parquet | `table` |
//! | a row's columns → the body of a request | `body` |
//! | answers written: JSON lines, CSV, Parquet | `answers` |
//! | a stored object as a file that is read piece by piece | `source` |
//!
//! # What lies at the destination
//! ```text
//! job.json                        what the job is: version, source, format; written first, only if absent
//! results/<key>/<tag>.json        an object's answer; the tag is of its content
//! refused/<key>/<tag>.json        or why it has none
//! parts/00000.jsonl               the answers of the first rows (or .csv, .parquet)
//! parts/00000.json                what that part holds; written after it: then the part is done
//! index/00000.jsonl               which result belongs to which object, ten thousand a file
//! manifest.json                   counts, and the parts or index files; written last
//! ```
//! A job that was killed is started again with the same words. What is done already is not done
//! again; all keys and contents are the same, so two that run at once do no harm.

mod answers;
mod body;
mod error;
mod job;
mod objects;
mod rows;
mod source;
mod table;

pub use error::{Error, ErrorKind, Result};
pub use job::{Counts, Event, Job, JobOptions, Manifest, Pinned, Place};
pub use rows::Receipt;
pub use table::Format;

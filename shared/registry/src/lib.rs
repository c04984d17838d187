//! Models, versions, aliases, manifests and digests, kept in storage.
//!
//! A *model* is a name with numbered *versions*. A version is a [`Manifest`]: what the model takes
//! and gives, and the *artifacts* (files, each by its [`Digest`]) that it is made of. An *alias*
//! names one version, or several with weights, and can be moved; a version can't.
//!
//! ```text
//! blobs/sha256/<hex>                      content-addressed files
//! models/<name>/versions/<n>.json         the manifest of version n
//! models/<name>/aliases/<alias>.json      alias → weighted versions, their files, and its history
//! numbers/<name>/<n>                      number n is taken, for good
//! once/<name>/<hex>                       which version an upload has become
//! metrics/<name>/<alias>/<trial>/<step>/<host>.json   what a host counted of a guarded canary
//! shadows/<name>/<n>/<host>-<place>.json  a request on which version n differs from another
//! captures/<day>/<name>/<n>/<id>.json     a payload that expires on that day
//! ```
//!
//! # What holds at every moment
//! - **A reader sees whole versions only.** [`Registry::publish`] writes the blobs first and the
//!   manifest last, and creates the manifest only if no object is there.
//! - **A number names one version, for ever.** A publisher first claims its number by creating
//!   `numbers/<name>/<n>`, which one of many at the same moment can do, and which no deletion
//!   removes. So a number never comes back, even when the newest version, or the whole model, was
//!   deleted between. A publisher that dies after its claim leaves a gap in the numbers, no more.
//! - **Equal bytes are stored once.** Blobs are keyed by their digest; present ones are skipped.
//! - **Aliases move by compare-and-swap**, so that of two at once none is lost unseen, and the
//!   history names every state the alias was in. They name proven versions only: those whose
//!   manifest has golden examples.
//! - **A manifest alone says what a version is.** An alias repeats its targets' artifacts as
//!   [`Hint`]s, so that a host fetches them beside the manifest; what that doesn't name is dropped.
//! - **Bytes are checked before anybody uses them.** [`Registry::blob`] refuses what doesn't have
//!   the digest that the manifest states.
//!
//! # Resolving a name
//! `digits@3` is version 3, `digits@production` an alias; `digits` alone is the alias `production`
//! where there is one, else the newest version. See [`ModelRef`] and [`Registry::route`].

mod alias;
mod digest;
mod draft;
mod error;
pub mod examples;
mod layout;
mod manifest;
mod names;
mod reference;
mod registry;
mod signature;
mod timestamp;
mod trial;

pub use alias::{AliasRecord, Change, Hint, HistoryEntry, Shadow, Target};
pub use digest::Digest;
pub use draft::Draft;
pub use error::{Error, ErrorKind, Result};
pub use manifest::{Artifact, MANIFEST_LIMIT, Manifest, Measured, Role, SCHEMA};
pub use names::{Alias, ModelName, Version};
pub use reference::{ModelRef, Selector};
pub use registry::{
    Advance, Collection, Deleted, Outcome, Plan, Registry, Resolution, Retention, Route,
    SignatureCheck,
};
pub use signature::{KeyId, PemSource, PublicKey, SigningKey, TrustedKeys};
pub use timestamp::{rfc3339, unix_seconds};
pub use trial::{Counts, Gates, Guard, Mirrored, Served, Times, Verdict};

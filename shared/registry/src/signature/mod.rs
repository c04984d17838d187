//! Signatures of versions, as `OpenSSF`'s model signing has them.
//!
//! A signature is a Sigstore bundle (v0.3): a DSSE envelope around an in-toto statement, whose
//! predicate `https://model_signing/signature/v1.0` lists files and their SHA-256: the version's
//! manifest, and every file that it names, by their keys in the store. It is made with an ECDSA key
//! on the curve P-256, the kind of key that `model_signing verify key` takes: that program checks
//! a copy of the store as ours does.
//!
//! | part | file |
//! | --- | --- |
//! | keys: PEM in and out, ids, which are trusted | `keys` |
//! | where a key is told: a file, or its text | `pem` |
//! | the statement and its envelope | `bundle` |

mod bundle;
mod keys;
mod pem;

pub use keys::{KeyId, PublicKey, SigningKey, TrustedKeys};
pub use pem::PemSource;

pub(crate) use bundle::{hint, sign, verify};

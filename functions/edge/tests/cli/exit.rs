//! Exit codes, as docs/cli.md lists them.

pub(crate) const OK: i32 = 0;
pub(crate) const FAILED: i32 = 1;
pub(crate) const USAGE: i32 = 2;
pub(crate) const NOT_FOUND: i32 = 3;
pub(crate) const INVALID: i32 = 4;
pub(crate) const STORE: i32 = 5;
pub(crate) const CORRUPT: i32 = 6;
pub(crate) const LISTEN: i32 = 7;
pub(crate) const UNTRUSTED: i32 = 8;

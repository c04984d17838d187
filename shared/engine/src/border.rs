//! The border to tract: what panics behind it comes back as an error.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::{Error, ErrorKind, Result};

thread_local! {
    /// How many borders this thread is behind.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// What the last panic behind a border said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; a panic becomes an error of `kind` that says `doing`.
///
/// `work` must leave nothing half-changed that outlives it: callers drop what it touched.
pub(crate) fn guarded<T>(
    kind: ErrorKind,
    doing: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    install_hook();
    DEPTH.set(DEPTH.get() + 1);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.unwrap_or_else(|_| {
        let said = PANIC.take().unwrap_or_else(|| "no message".into());
        Err(Error::new(
            kind,
            format!("{doing}: the engine panicked: {said}"),
        ))
    })
}

/// Panics behind a border are kept for the error instead of being printed; all others go to the
/// hook that was there before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                return previous(info);
            }
            let payload = info.payload_as_str().unwrap_or("no message");
            let mut said: String = payload.chars().take(300).collect();
            if let Some(location) = info.location() {
                // The file's name alone: a path of the build machine helps nobody.
                let file = location
                    .file()
                    .rsplit(['/', '\\'])
                    .next()
                    .unwrap_or_default();
                said = format!("{said} ({file}:{})", location.line());
            }
            PANIC.set(Some(said));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guarded(ErrorKind::Failed, "adding", || -> Result<()> {
            panic!("7 < 8")
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        let text = error.to_string();
        assert!(
            text.starts_with("adding: the engine panicked: 7 < 8 (border.rs:"),
            "{text}"
        );
    }

    #[test]
    fn borders_nest() {
        let outer = guarded(ErrorKind::Failed, "outer", || {
            guarded(ErrorKind::Failed, "inner", || -> Result<()> {
                panic!("deep")
            })
            .unwrap_err();
            Ok(5)
        });
        assert_eq!(outer.unwrap(), 5);
    }
}

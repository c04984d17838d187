//! One writer at a time for an object, between threads and processes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::ObjectKey;

/// Takes the lock for `key`; `None` if that takes longer than `timeout`.
///
/// The kernel frees the lock when the file is closed, so a killed writer holds none. There are 256
/// lock files, which keys share by their hash and which are never removed: removing one would let
/// two writers hold "the" lock on two files.
pub(super) fn lock(
    reserved: &Path,
    key: &ObjectKey,
    timeout: Duration,
) -> io::Result<Option<File>> {
    let folder = reserved.join("locks");
    let path = folder.join(format!("{:02x}", Sha256::digest(key.as_str())[0]));
    let open = || File::options().create(true).append(true).open(&path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&folder)?;
            open()?
        }
        other => other?,
    };
    let start = Instant::now();
    // Polled, since a lock that is waited for in the kernel cannot time out.
    let mut wait = Duration::from_micros(50);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if start.elapsed() > timeout => return Ok(None),
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0));
                wait = (wait * 2).min(Duration::from_millis(5));
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

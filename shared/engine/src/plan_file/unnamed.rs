//! Files without a name: large bytes that the system may keep on a disk.

use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use memmap2::Mmap;

/// What `write` writes, in the folder for temporary files; nothing is left there, however the process ends.
#[allow(unsafe_code)]
pub(super) fn file(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Bytes> {
    let mut file = tempfile::tempfile()?;
    let mut out = BufWriter::new(&mut file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    // SAFETY: nobody else can open a file that has no name, and its one handle is closed here: its bytes stay as they are.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = file(|out| (0..100_000_u32).try_for_each(|n| out.write_all(&n.to_le_bytes())));
        let bytes = bytes.expect("a temporary file");
        assert_eq!(bytes.len(), 400_000);
        assert_eq!(bytes[399_996..], 99_999_u32.to_le_bytes());
        let full = || Err(io::ErrorKind::StorageFull.into());
        let error = file(|_| full()).expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

//! Files on their way to become objects.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::later_than;

/// A file below the reserved folder, locked by its writer for as long as that lives.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    file: File,
    placed: bool,
}

impl Temporary {
    pub(super) fn new(reserved: &Path) -> io::Result<Self> {
        let folder = folder(reserved);
        loop {
            let path = folder.join(format!("{}-{:016x}", std::process::id(), fastrand::u64(..)));
            let file = match File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
            {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&folder)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // A cleaner may have come between: then it has the lock, or the file is gone already.
            if file.try_lock().is_ok() && path.exists() {
                return Ok(Self {
                    path,
                    file,
                    placed: false,
                });
            }
        }
    }

    /// Removes what dead writers left. A living writer's file is locked.
    pub(super) fn clean(reserved: &Path) {
        for entry in fs::read_dir(folder(reserved))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                match fs::remove_file(&path) {
                    Ok(()) => {
                        tracing::debug!(path = %path.display(), "removed an unfinished object");
                    }
                    Err(error) => tracing::debug!(path = %path.display(), %error, "cannot remove"),
                }
            }
        }
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Moves the file's time past that of the object it replaces.
    pub(super) fn make_newer_than(&mut self, old: SystemTime) -> io::Result<()> {
        if self.file.metadata()?.modified()? <= old {
            self.file.set_modified(later_than(old))?;
            self.file.sync_all()?;
        }
        Ok(())
    }

    /// Gives the file its name, all at once. The caller holds the object's lock.
    pub(super) fn place(&mut self, path: &Path, replace: bool) -> io::Result<()> {
        if replace {
            fs::rename(&self.path, path)?;
            self.placed = true;
            return Ok(());
        }
        // Linking fails if the name is taken, also by one who does not lock.
        match fs::hard_link(&self.path, path) {
            Ok(()) => Ok(()),
            // Some file systems have no links. Locks alone are between the writers there.
            Err(error) if has_no_links(&error) => {
                fs::rename(&self.path, path)?;
                self.placed = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // If it fails, the next cleaner removes the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder(reserved: &Path) -> PathBuf {
    reserved.join("unfinished")
}

fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

/// Makes the names in a folder survive a power cut.
pub(super) fn make_durable(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

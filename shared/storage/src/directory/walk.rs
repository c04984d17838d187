//! Listing objects and folders; everything here blocks.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use super::files::{Files, fault, is_absent};
use crate::key::RESERVED;
use crate::{ObjectKey, ObjectMeta, Result};

impl Files {
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let folder = prefix.rfind('/').map_or("", |end| &prefix[..end]);
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for (name, entry) in self.entries(&folder)? {
                let path = entry.path();
                let Some(metadata) = gone(fs::metadata(&path), &path)? else {
                    continue;
                };
                // A link to a folder is not followed: it may lead to itself.
                if metadata.is_dir() && !path.is_symlink() {
                    let below = format!("{name}/");
                    if below.starts_with(prefix) || prefix.starts_with(&below) {
                        folders.push(name);
                    }
                } else if metadata.is_file()
                    && name.starts_with(prefix)
                    && let Ok(key) = ObjectKey::new(&name)
                {
                    found.push(self.describe("list", &key, &metadata)?);
                }
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    pub(super) fn list_folders(&self, folder: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (name, entry) in self.entries(folder)? {
            let is_folder = gone(entry.file_type(), &entry.path())?.is_some_and(|t| t.is_dir());
            if is_folder && self.has_objects(&name)? {
                let last = name.rfind('/').map_or(0, |end| end + 1);
                found.push(name[last..].to_owned());
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn has_objects(&self, folder: &str) -> Result<bool> {
        for (name, entry) in self.entries(folder)? {
            let path = entry.path();
            let Some(metadata) = gone(fs::metadata(&path), &path)? else {
                continue;
            };
            let has = if metadata.is_dir() && !path.is_symlink() {
                self.has_objects(&name)?
            } else {
                metadata.is_file() && ObjectKey::new(&name).is_ok()
            };
            if has {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is in a folder, by full name; nothing if the folder is not there.
    fn entries(&self, folder: &str) -> Result<Vec<(String, DirEntry)>> {
        let path = self.root().join(folder);
        let Some(entries) = gone(fs::read_dir(&path), &path)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for entry in entries {
            let Some(entry) = gone(entry, &path)? else {
                continue;
            };
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if folder.is_empty() && name == RESERVED {
                continue;
            }
            found.push((
                if folder.is_empty() {
                    name
                } else {
                    format!("{folder}/{name}")
                },
                entry,
            ));
        }
        Ok(found)
    }
}

/// `None` for what was removed while we looked.
fn gone<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(fault("list", path, error)),
    }
}

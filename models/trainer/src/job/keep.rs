//! The model's folder; or another one, where that can't be written: what was trained is not lost.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use dunlin_publishing::Choice;

use super::Job;
use crate::package::{self, Files};
use crate::{Error, Result};

/// The model's files, and where they lie.
pub(super) struct Kept {
    pub(super) files: Files,
    /// Absent where nothing can be written at all.
    folder: Option<PathBuf>,
    /// `dunlin push`, as it publishes the folder.
    push: String,
    /// What went wrong, though the model is there.
    trouble: Option<Error>,
}

impl Job<'_> {
    /// Writes the model's folder. `unstored`: why the last checkpoint can't be stored, if it can't.
    pub(super) fn keep(&self, files: Files, unstored: Option<Error>) -> Kept {
        let name = &self.about.name;
        let wanted = self.folder();
        let (folder, unwritten) = match package::write(&files, &wanted) {
            Ok(()) => (Some(wanted), None),
            Err(error) => {
                let spare = env::temp_dir().join(format!("{name}-{}", process::id()));
                let spare = write_new(&files, spare);
                let instead = spare.as_deref().map(Path::display);
                let instead = instead.map_or(String::new(), |spare| {
                    format!("; the model is written to {spare} instead")
                });
                eprintln!("warning: {}{instead}", error.chain());
                (spare, Some(error))
            }
        };
        if let Some(folder) = &folder {
            self.say(&format!(
                "model      {}, with report.html",
                folder.display()
            ));
        }
        let precision = match self.cli.precision {
            None | Some(Choice::Source) => String::new(),
            Some(other) => format!(" --precision {other}"),
        };
        Kept {
            files,
            push: format!("--name {name}{precision}"),
            folder,
            trouble: unstored.or(unwritten),
        }
    }
}

/// Only where there is nothing yet, as anybody may write to a folder for temporary files.
fn write_new(files: &Files, folder: PathBuf) -> Option<PathBuf> {
    fs::create_dir(&folder).ok()?;
    if package::write(files, &folder).is_ok() {
        return Some(folder);
    }
    // What is there of it is of no use.
    let _ = fs::remove_dir_all(&folder);
    None
}

impl Kept {
    /// Writes the reports anew. What is published does not wait for them.
    pub(super) fn rewrite(&mut self, reports: &Files) {
        let Some(folder) = &self.folder else {
            return;
        };
        if let Err(error) = package::write(reports, folder) {
            self.trouble.get_or_insert(error);
        }
    }

    /// Where the model is, and how it gets from there to where it was wanted.
    pub(super) fn cure(&self) -> String {
        match &self.folder {
            Some(folder) => {
                let (folder, push) = (folder.display(), &self.push);
                format!("The model lies in {folder}; to publish it: dunlin push {folder} {push}")
            }
            None => "The model can be written nowhere, not even to the folder for temporary files: see that \
                     there is room, and give the same command again"
                .to_owned(),
        }
    }

    /// Where the model is, if its gates can't be judged: it is not to be published without that.
    pub(super) fn unjudged(&self) -> String {
        let folder = self.folder.as_deref().map(Path::display);
        let lies = folder.map_or(String::new(), |folder| format!("; it lies in {folder}"));
        format!("Its gates can't be judged, so the model is not published{lies}")
    }

    /// The end of a run whose model was published, as in `flowers@3`, or was not to be.
    pub(super) fn end(self, published: Option<String>) -> Result<()> {
        let cure = self.cure();
        let Some(trouble) = self.trouble else {
            return Ok(());
        };
        Err(match published {
            Some(version) => trouble.with(&format!("{version} is published all the same")),
            None => trouble.with(&cure),
        })
    }
}

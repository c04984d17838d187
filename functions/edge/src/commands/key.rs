//! `dunlin key new`: a key that signs versions.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use dunlin_registry::SigningKey;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// `dunlin key`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Write a new secret key to a file, and its public key to FILE.pub
    New {
        /// The file; it must not exist
        #[arg(value_name = "FILE")]
        path: PathBuf,
    },
}

#[derive(Serialize)]
struct Made {
    id: String,
    secret: PathBuf,
    public: PathBuf,
}

pub(crate) fn key(command: KeyCommand, context: &Context) -> Result<(), Failure> {
    let KeyCommand::New { path } = command;
    let key = SigningKey::generate()?;
    let mut public = path.clone().into_os_string();
    public.push(".pub");
    let made = Made {
        id: key.public().id().to_string(),
        secret: path,
        public: public.into(),
    };
    write(&made.secret, &key.to_pem(), true)?;
    write(&made.public, &key.public().to_pem(), false)?;
    context.output.answer(&made, || {
        format!(
            "key {}\nsecret, for publishers: {}\npublic, for hosts: {}\n",
            made.id,
            made.secret.display(),
            made.public.display()
        )
    })
}

/// A new file: a key is never written over another.
fn write(path: &Path, text: &str, secret: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::AlreadyExists => Exit::Usage,
            _ => Exit::Failed,
        };
        exit.failure(format!("cannot write {}: {error}", path.display()))
    })
}

//! `dunlin sign`: one more signature for a version.

use clap::Args;
use dunlin_registry::{ModelRef, PemSource, Selector};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// `dunlin sign`
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// MODEL@VERSION
    #[arg(value_name = "MODEL@VERSION")]
    model: ModelRef,
    /// The secret key: a PEM file, or its text
    #[arg(
        long,
        value_name = "KEY",
        env = "DUNLIN_SIGN_KEY",
        hide_env_values = true
    )]
    sign_key: PemSource,
}

#[derive(Serialize)]
struct Signed {
    model: String,
    key: String,
}

pub(crate) async fn sign(arguments: SignArgs, context: &Context) -> Result<(), Failure> {
    let key = arguments.sign_key.signing_key()?;
    let Selector::Version(version) = arguments.model.selector else {
        return Err(Exit::Usage.failure(format!(
            "{} is not one version; say which, as in {}@3",
            arguments.model, arguments.model.name
        )));
    };
    let registry = context.registry().await?;
    registry.sign(&arguments.model.name, version, &key).await?;
    let signed = Signed {
        model: arguments.model.to_string(),
        key: key.public().id().to_string(),
    };
    context.output.answer(&signed, || {
        format!("signed {} with key {}\n", signed.model, signed.key)
    })
}

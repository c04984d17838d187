//! What every Lambda function of Dunlin needs, and nothing that one alone needs.
//!
//! - [`HostArgs`], [`ModelArgs`]: the settings that functions share, from their environment.
//! - [`warm`]: the init phase.
//! - [`serve`], [`serve_scheduled`]: a router behind HTTP events of API Gateway, load balancers and function URLs.
//! - `events`, with the feature of that name: inputs of S3, SQS, SNS and `EventBridge`.
//! - [`Meter`]: metrics as log lines, and the parts of a cold start.
//! - [`time_left`]: the deadline of an invocation.
//! - [`Settle`]: what is done between a reply and the next request.
//! - [`end`]: how a function's `main` ends.

mod deadline;
mod event;
#[cfg(feature = "events")]
pub mod events;
mod http;
mod meter;
mod settings;
mod settle;
mod warm;

use std::process::ExitCode;

pub use self::deadline::time_left;
pub use self::http::{serve, serve_scheduled};
pub use self::meter::{Meter, Start};
pub use self::settings::{HostArgs, ModelArgs};
pub use self::settle::{Settle, Settled};
pub use self::warm::warm;

/// The exit code of a function, its error logged.
pub fn end(result: Result<(), lambda_http::Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error_type = "init_failed", error = %error, "the function ends");
            ExitCode::FAILURE
        }
    }
}

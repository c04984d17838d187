//! What a failure of the SDK means.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::ErrorKind;
use crate::retry::Fault;

const SIGN_IN: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run \
                       where there is a role";

/// The HTTP status of an answer, 0 if there was none.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> u16 {
    error
        .raw_response()
        .map_or(0, |response| response.status().as_u16())
}

/// Sorts a failure by its meaning.
pub(super) fn fault<E>(error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let status = status(&error);
    let fault = match &error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            answered(
                status,
                metadata.code().unwrap_or_default(),
                metadata.message(),
            )
        }
        SdkError::ResponseError(_) if status != 0 => {
            Fault::passing(format!("HTTP {status}, and then: {}", innermost(&error)))
        }
        _ => match find::<CredentialsError>(&error) {
            Some(credentials) => without_credentials(credentials),
            None => Fault::passing(innermost(&error)),
        },
    };
    fault.with_source(error)
}

fn without_credentials(error: &CredentialsError) -> Fault {
    let reason = match error {
        CredentialsError::CredentialsNotLoaded(_) => "no AWS credentials were found".to_owned(),
        other => format!("no AWS credentials could be loaded: {}", innermost(other)),
    };
    Fault::new(ErrorKind::NoCredentials, reason).with_cure(SIGN_IN)
}

/// What an answer of the server means.
fn answered(status: u16, code: &str, message: Option<&str>) -> Fault {
    let mut reason = format!("HTTP {status}");
    if !code.is_empty() {
        reason = format!("{reason} {code}");
    }
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        reason = format!("{reason}: {}", message.trim_end_matches('.'));
    }
    let stays = |kind| Fault::new(kind, reason.clone());
    match (status, code) {
        (_, "NoSuchBucket") => stays(ErrorKind::NotFound)
            .with_cure("make the bucket, or check its name and the endpoint"),
        (_, "QuotaExceeded" | "XMinioStorageFull" | "EntityTooLargeForQuota") | (507, _) => {
            stays(ErrorKind::StorageFull).with_cure("free some space in the bucket")
        }
        (_, "InvalidAccessKeyId" | "NotSignedUp" | "SignatureDoesNotMatch") => {
            stays(ErrorKind::PermissionDenied)
                .with_cure("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        }
        (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => {
            stays(ErrorKind::PermissionDenied).with_cure("sign in again")
        }
        (_, "RequestTimeTooSkewed") => {
            stays(ErrorKind::PermissionDenied).with_cure("set this machine's clock")
        }
        (301 | 307, _) | (_, "AuthorizationHeaderMalformed" | "PermanentRedirect") => {
            stays(ErrorKind::InvalidConfig).with_cure("set AWS_REGION to the bucket's region")
        }
        (_, "EntityTooLarge") | (413, _) => stays(ErrorKind::TooLarge),
        (_, "KeyTooLongError") => stays(ErrorKind::InvalidKey),
        (416, _) => Fault::new(ErrorKind::Other, "the range goes beyond its end"),
        (404, _) => Fault::new(ErrorKind::NotFound, "it is not there"),
        (412, _) => Fault::new(ErrorKind::Precondition, "it has been replaced"),
        (401 | 403, _) => stays(ErrorKind::PermissionDenied).with_cure(
            "allow it for this role or user; S3 says so, too, of objects that do not exist, \
             unless s3:ListBucket is allowed",
        ),
        // A race with another conditional write, or a request that came too slowly.
        (408 | 409 | 429 | 500.., _) | (400, "RequestTimeout") => Fault::passing(reason),
        _ => stays(ErrorKind::Other),
    }
}

/// The cause at the end of the chain: the SDK's own words are "dispatch failure".
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    let last = texts.pop().unwrap_or_default();
    match texts.pop() {
        // The last but one often says what was being done, as in "tcp connect error: refused".
        Some(before) if before.len() < 60 && !before.contains(&last) && !last.contains(&before) => {
            format!("{before}: {last}")
        }
        Some(before) if before.contains(&last) => before,
        _ => last,
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_meaning() {
        let cases = [
            (404, "NoSuchKey", ErrorKind::NotFound, false),
            (404, "NoSuchBucket", ErrorKind::NotFound, false),
            (412, "PreconditionFailed", ErrorKind::Precondition, false),
            (403, "AccessDenied", ErrorKind::PermissionDenied, false),
            (403, "", ErrorKind::PermissionDenied, false),
            (400, "ExpiredToken", ErrorKind::PermissionDenied, false),
            (301, "PermanentRedirect", ErrorKind::InvalidConfig, false),
            (
                400,
                "AuthorizationHeaderMalformed",
                ErrorKind::InvalidConfig,
                false,
            ),
            (400, "EntityTooLarge", ErrorKind::TooLarge, false),
            (507, "", ErrorKind::StorageFull, false),
            (
                409,
                "ConditionalRequestConflict",
                ErrorKind::Unavailable,
                true,
            ),
            (400, "RequestTimeout", ErrorKind::Unavailable, true),
            (429, "", ErrorKind::Unavailable, true),
            (503, "SlowDown", ErrorKind::Unavailable, true),
            (500, "InternalError", ErrorKind::Unavailable, true),
            (400, "InvalidRequest", ErrorKind::Other, false),
        ];
        for (status, code, kind, retry) in cases {
            let fault = answered(status, code, Some("Words."));
            assert_eq!((fault.kind, fault.retry), (kind, retry), "{status} {code}");
        }
        let reason = answered(503, "SlowDown", Some("Please reduce your request rate.")).reason;
        assert_eq!(reason, "HTTP 503 SlowDown: Please reduce your request rate");
    }
}

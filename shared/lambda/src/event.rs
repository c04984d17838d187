//! An HTTP event, read once.

use lambda_http::request::LambdaRequest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An event that stands for a request.
///
/// `lambda_http` tries each kind of event on the whole JSON. Those of HTTP APIs and function URLs are its second, and
/// say at their beginning what they are: a body of megabytes need not be read in vain.
#[derive(Debug)]
pub(crate) struct HttpEvent(pub(crate) LambdaRequest);

impl<'de> Deserialize<'de> for HttpEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = <&RawValue>::deserialize(deserializer)?.get();
        if begins_as_version_2(event)
            && let Ok(request) = serde_json::from_str(event)
        {
            return Ok(Self(LambdaRequest::ApiGatewayV2(request)));
        }
        serde_json::from_str(event)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

fn begins_as_version_2(event: &str) -> bool {
    let mut characters = event.chars().filter(|character| !character.is_whitespace());
    r#"{"version":"2.0""#
        .chars()
        .all(|wanted| characters.next() == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_of_the_kind_that_they_say() {
        let kind = |event: &str| match serde_json::from_str::<HttpEvent>(event) {
            Ok(HttpEvent(LambdaRequest::ApiGatewayV2(_))) => "HTTP API",
            Ok(HttpEvent(LambdaRequest::ApiGatewayV1(_))) => "REST API",
            _ => "none",
        };
        let http = r#""requestContext": {"http": {"method": "GET", "path": "/"}}, "headers": {}, "isBase64Encoded": false"#;
        for (event, want) in [
            (format!(r#"{{"version": "2.0", {http}}}"#), "HTTP API"),
            (format!(r#"{{ {http}, "version":"2.0"}}"#), "HTTP API"),
            (
                r#"{"httpMethod": "GET", "path": "/", "headers": {}, "requestContext": {"httpMethod": "GET"}}"#.to_owned(),
                "REST API",
            ),
            ("[]".to_owned(), "none"),
        ] {
            assert_eq!(kind(&event), want, "{event}");
        }
    }
}

//! Replies that are larger than the host can carry: stored, and the caller is sent there (303).

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use dunlin_registry::ModelName;
use dunlin_storage::{ObjectKey, PutCondition};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde_json::json;
use uuid::Uuid;

use super::reply;
use crate::{Error, ErrorKind, Service};

/// The folder of such replies.
pub(crate) const FOLDER: &str = "replies/";

/// For how long the caller may fetch one.
const VALID: Duration = Duration::from_mins(15);

/// The answer in place of a reply that the host can't carry; `None` where it can.
pub(super) async fn stored(
    service: &Arc<Service>,
    model: &ModelName,
    body: &Bytes,
    content_type: &'static str,
) -> Result<Option<Response>, Error> {
    let Some(limit) = service.options().reply_bytes else {
        return Ok(None);
    };
    let size = carried(body, content_type);
    if size <= limit {
        return Ok(None);
    }
    let trouble = |error| Error::caused(ErrorKind::Store, error).of_model(model.as_str());
    let key = ObjectKey::new(format!("{FOLDER}{model}/{}", Uuid::now_v7())).map_err(trouble)?;
    let store = service.registry().store();
    // Signed first: a reply that nobody can fetch is not stored.
    let link = store.link(&key, VALID, content_type).await;
    let Some(url) = link.map_err(trouble)? else {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the reply takes {size} bytes, this host carries {limit}, and its store has no links: ask for fewer outputs"
            ),
        )
        .of_model(model.as_str()));
    };
    let place = HeaderValue::try_from(&url)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the link: {error}")))?;
    let put = store.put(&key, body.clone(), PutCondition::IfAbsent).await;
    put.map_err(trouble)?;
    let mut response = reply::json(&json!({
        "status": "stored",
        "url": url,
        "bytes": body.len(),
        "content_type": content_type,
        "expires_in": VALID.as_secs(),
    }))?;
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, place);
    Ok(Some(response))
}

/// The bytes of a body in the JSON of an event: text as a string, all else as base64.
fn carried(body: &Bytes, content_type: &str) -> usize {
    if content_type == "application/json" {
        // Our JSON has no control characters: these two are all that a string escapes.
        body.len()
            + body
                .iter()
                .filter(|byte| matches!(byte, b'"' | b'\\'))
                .count()
    } else {
        body.len().div_ceil(3) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_measured_as_an_event_carries_it() {
        let text = Bytes::from_static(br#"{"label":"a\\b"}"#);
        let string = serde_json::to_string(std::str::from_utf8(&text).unwrap()).unwrap();
        assert_eq!(carried(&text, "application/json"), string.len() - 2);
        for (length, size) in [(0, 0), (1, 4), (3, 4), (4, 8)] {
            let body = Bytes::from(vec![0; length]);
            assert_eq!(carried(&body, "application/octet-stream"), size);
        }
    }
}

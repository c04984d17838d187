//! From a message's body to inputs, whatever wraps it: S3 notifications, SNS, `EventBridge`.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dunlin_registry::Digest;
use dunlin_serving::batch::{Input, Where, Work};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

/// Wrappers that are undone, one in another: SQS in SNS in `EventBridge` is all there is.
const DEPTH: usize = 3;

/// The message that inputs are read from.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its id; empty: the input's digest stands for it.
    pub(super) id: String,
    /// What it came by.
    pub(super) via: Option<Where>,
}

/// A message of our own kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// `s3://bucket/key`, or a key.
    object: Option<String>,
    /// The input itself, base64.
    payload: Option<String>,
    content_type: Option<String>,
    id: Option<String>,
    model: Option<String>,
}

impl Message {
    /// A message that is the event itself.
    pub(super) fn of_event() -> Self {
        Self {
            id: String::new(),
            via: None,
        }
    }

    fn work(&self, input: Input) -> Work {
        Work {
            input,
            model: None,
            via: self.via.clone(),
        }
    }

    fn id_of(&self, own: Option<String>, body: &[u8]) -> String {
        let own = own.or_else(|| (!self.id.is_empty()).then(|| self.id.clone()));
        own.unwrap_or_else(|| Digest::of(body).hex())
    }

    fn payload(&self, body: Bytes, content_type: &str) -> Work {
        self.work(Input::Payload {
            id: self.id_of(None, &body),
            body,
            content_type: Some(content_type.to_owned()),
        })
    }

    fn unreadable(&self, id: Option<String>, body: &Value, reason: String) -> Work {
        let body = Bytes::from(body.to_string());
        self.work(Input::Unreadable {
            id: self.id_of(id, &body),
            body,
            reason,
        })
    }
}

/// The inputs of a body that is text.
pub(super) fn read_text(message: &Message, body: &str) -> Vec<Work> {
    read_text_within(message, body, DEPTH)
}

/// The inputs of a body that is JSON.
pub(super) fn read(message: &Message, body: &Value) -> Vec<Work> {
    read_within(message, body, DEPTH)
}

fn read_text_within(message: &Message, body: &str, depth: usize) -> Vec<Work> {
    match serde_json::from_str::<Value>(body) {
        Ok(json) if json.is_object() => read_within(message, &json, depth),
        _ => vec![message.payload(Bytes::from(body.to_owned()), "text/plain")],
    }
}

fn read_within(message: &Message, body: &Value, depth: usize) -> Vec<Work> {
    let has = |field: &str| body.get(field).is_some();
    if depth > 0 {
        if body["Records"][0]["eventSource"] == "aws:s3" {
            return of_bucket(message, body);
        }
        if body["Event"] == "s3:TestEvent" {
            return Vec::new();
        }
        if let (true, Some(inner)) = (has("TopicArn"), body["Message"].as_str()) {
            let inner_message = Message {
                id: body["MessageId"].as_str().unwrap_or(&message.id).to_owned(),
                via: message.via.clone(),
            };
            return read_text_within(&inner_message, inner, depth - 1);
        }
        if has("detail-type") && has("source") {
            return match serde_json::from_value(body.clone()) {
                Ok(event) => of_rule_within(message, event, depth - 1),
                Err(error) => vec![message.unreadable(None, body, error.to_string())],
            };
        }
    }
    if has("object") || has("payload") {
        return vec![of_document(message, body)];
    }
    let bytes = Bytes::from(body.to_string());
    vec![message.payload(bytes, "application/json")]
}

/// The objects of an S3 notification. Those that tell of other things than new objects are none.
///
/// Only what names an object is read: services that are not AWS's own write other fields as they
/// like.
fn of_bucket(message: &Message, body: &Value) -> Vec<Work> {
    let records = body["Records"].as_array();
    let created = records.into_iter().flatten().filter(|record| {
        let name = record["eventName"].as_str().unwrap_or_default();
        name.trim_start_matches("s3:").starts_with("ObjectCreated")
    });
    created
        .map(|record| {
            let (bucket, object) = (&record["s3"]["bucket"], &record["s3"]["object"]);
            let given = object["urlDecodedKey"].as_str().map(str::to_owned);
            let Some(key) = given.or_else(|| object["key"].as_str().map(decoded)) else {
                return message.unreadable(None, record, "it names no object".to_owned());
            };
            message.work(Input::Object {
                bucket: bucket["name"].as_str().map(str::to_owned),
                key,
            })
        })
        .collect()
}

/// A key as notifications encode it: a form's field, in which a blank is a plus.
fn decoded(key: &str) -> String {
    let key = key.replace('+', " ");
    percent_decode_str(&key).decode_utf8_lossy().into_owned()
}

/// The inputs of an event that a rule let through. Its keys are not encoded.
pub(super) fn of_rule(message: &Message, event: EventBridgeEvent) -> Vec<Work> {
    of_rule_within(message, event, DEPTH)
}

fn of_rule_within(message: &Message, event: EventBridgeEvent, depth: usize) -> Vec<Work> {
    let resources = event.resources.unwrap_or_default();
    // arn:aws:events:region:account:rule/[bus/]name
    let rule = resources.iter().find_map(|arn| {
        let (_, path) = arn.split_once(":rule/")?;
        Some(Where::Rule(path.rsplit('/').next()?.to_owned()))
    });
    let message = Message {
        id: event.id.unwrap_or_else(|| message.id.clone()),
        via: message.via.clone().or(rule),
    };
    if event.source != "aws.s3" {
        return read_within(&message, &event.detail, depth);
    }
    if event.detail_type != "Object Created" {
        return Vec::new();
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let bucket = text(&event.detail["bucket"]["name"]);
    match text(&event.detail["object"]["key"]) {
        Some(key) => vec![message.work(Input::Object { bucket, key })],
        None => vec![message.unreadable(None, &event.detail, "it names no object".to_owned())],
    }
}

fn of_document(message: &Message, body: &Value) -> Work {
    let id = || body["id"].as_str().map(str::to_owned);
    let document: Document = match serde_json::from_value(body.clone()) {
        Ok(document) => document,
        Err(error) => return message.unreadable(id(), body, error.to_string()),
    };
    let model = match document.model.map(|model| model.parse()).transpose() {
        Ok(model) => model,
        Err(error) => return message.unreadable(id(), body, format!("model: {error}")),
    };
    let input = match (document.object, document.payload) {
        (Some(object), None) => {
            let (bucket, key) = match object
                .strip_prefix("s3://")
                .map(|place| place.split_once('/'))
            {
                Some(Some((bucket, key))) => (Some(bucket.to_owned()), key.to_owned()),
                Some(None) => {
                    return message.unreadable(id(), body, format!("{object} names no object"));
                }
                None => (None, object),
            };
            Input::Object { bucket, key }
        }
        (None, Some(payload)) => match BASE64_STANDARD.decode(&payload) {
            Ok(bytes) => Input::Payload {
                id: message.id_of(document.id, &bytes),
                body: bytes.into(),
                content_type: document.content_type,
            },
            Err(error) => return message.unreadable(id(), body, format!("payload: {error}")),
        },
        _ => {
            let reason = "it has an object and a payload; give one of them".to_owned();
            return message.unreadable(id(), body, reason);
        }
    };
    Work {
        model,
        ..message.work(input)
    }
}

//! From an event to inputs: which service sent it, what it carries, and how inputs that were not
//! answered are given back.

mod message;

use std::collections::BTreeSet;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_lambda_events::sns::SnsEvent;
use aws_lambda_events::sqs::SqsEvent;
use dunlin_serving::batch::{Where, Work};
use lambda_http::Error;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::message::Message;

/// Who sent an event: that decides how failures are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Takes back messages one by one.
    Queue,
    /// Takes back all or nothing, by an error: S3, SNS, `EventBridge`.
    Service,
    /// Reads the answer.
    Caller,
}

/// The inputs of an event.
#[derive(Debug)]
pub struct Intake {
    /// Who sent it.
    pub sender: Sender,
    /// The inputs.
    pub works: Vec<Work>,
    /// For each input the message that brought it; empty where there is none.
    pub messages: Vec<String>,
    /// Whether it asks for all that is unanswered.
    pub sweeps: bool,
}

/// What a direct invocation may say: one message, or many, or a sweep.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    works: Vec<Value>,
    #[serde(default)]
    sweep: bool,
}

impl Intake {
    /// Reads an event.
    pub fn of(event: Value) -> Result<Self, Error> {
        let record = &event["Records"][0];
        match (
            record["eventSource"].as_str(),
            record["EventSource"].as_str(),
        ) {
            (Some("aws:sqs"), _) => Ok(Self::queue(parse(event)?)),
            (_, Some("aws:sns")) => Ok(Self::topic(parse(event)?)),
            (Some("aws:s3"), _) => Ok(Self::service(message::read(&Message::of_event(), &event))),
            (Some(other), _) | (_, Some(other)) => {
                Err(format!("events of {other} are none that this function serves").into())
            }
            (None, None) if event.get("detail-type").is_some() => Ok(Self::rule(parse(event)?)),
            (None, None) => Self::caller(event),
        }
    }

    /// More inputs, and the message that brought them.
    pub fn add(&mut self, message: &str, works: Vec<Work>) {
        let messages = works.iter().map(|_| message.to_owned());
        self.messages.extend(messages);
        self.works.extend(works);
    }

    /// What a queue or a service is answered, where `returned` says for each input why it was not
    /// answered. A queue is told which messages it shall send again; a service gets an error, so
    /// that it sends all of the event again.
    pub fn give_back(&self, returned: &[Option<String>], done: Value) -> Result<Value, Error> {
        let failed: Vec<(usize, &String)> = returned
            .iter()
            .enumerate()
            .filter_map(|(place, why)| Some((place, why.as_ref()?)))
            .collect();
        match (self.sender, failed.first()) {
            (Sender::Queue, _) => {
                let messages: BTreeSet<&str> = failed
                    .iter()
                    .map(|(place, _)| self.messages[*place].as_str())
                    .collect();
                // ReportBatchItemFailures
                let messages = messages.iter().map(|id| json!({"itemIdentifier": id}));
                Ok(json!({"batchItemFailures": messages.collect::<Vec<_>>()}))
            }
            (_, None) => Ok(done),
            (_, Some((_, first))) => {
                let (count, of) = (failed.len(), returned.len());
                Err(format!("{count} of {of} inputs are returned; the first: {first}").into())
            }
        }
    }

    fn empty(sender: Sender) -> Self {
        Self {
            sender,
            works: Vec::new(),
            messages: Vec::new(),
            sweeps: false,
        }
    }

    fn service(works: Vec<Work>) -> Self {
        let mut intake = Self::empty(Sender::Service);
        intake.add("", works);
        intake
    }

    fn queue(event: SqsEvent) -> Self {
        let mut intake = Self::empty(Sender::Queue);
        for record in event.records {
            let id = record.message_id.unwrap_or_default();
            // arn:aws:sqs:region:account:name
            let arn = record.event_source_arn.unwrap_or_default();
            let name = arn.rsplit(':').next().unwrap_or_default();
            let message = Message {
                id: id.clone(),
                via: Some(Where::Queue(name.to_owned())),
            };
            let body = record.body.unwrap_or_default();
            intake.add(&id, message::read_text(&message, &body));
        }
        intake
    }

    fn topic(event: SnsEvent) -> Self {
        let works = event.records.into_iter().flat_map(|record| {
            let name = record.sns.topic_arn.rsplit(':').next().unwrap_or_default();
            let message = Message {
                via: Some(Where::Topic(name.to_owned())),
                id: record.sns.message_id,
            };
            message::read_text(&message, &record.sns.message)
        });
        Self::service(works.collect())
    }

    fn rule(event: EventBridgeEvent) -> Self {
        let mut intake = Self::empty(Sender::Service);
        if event.detail_type == "Scheduled Event" {
            intake.sweeps = true;
        } else {
            let works = message::of_rule(&Message::of_event(), event);
            intake.add("", works);
        }
        intake
    }

    fn caller(event: Value) -> Result<Self, Error> {
        // As S3 sends it once, when a notification is set up.
        if event["Event"] == "s3:TestEvent" {
            return Ok(Self::empty(Sender::Service));
        }
        let mut intake = Self::empty(Sender::Caller);
        let documents = if event.get("works").is_some() || event.get("sweep").is_some() {
            let asked: Asked = parse(event)?;
            intake.sweeps = asked.sweep;
            asked.works
        } else {
            vec![event]
        };
        for document in documents {
            let works = message::read(&Message::of_event(), &document);
            intake.add("", works);
        }
        Ok(intake)
    }
}

fn parse<T: DeserializeOwned>(event: Value) -> Result<T, Error> {
    serde_json::from_value(event)
        .map_err(|error| format!("the event can't be read: {error}").into())
}

#[cfg(test)]
mod tests {
    use dunlin_serving::batch::Input;

    use super::*;

    fn fixture(name: &str) -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events");
        let text = std::fs::read(format!("{folder}/{name}.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Every input in words: where it came by, its message, what it is.
    fn told(intake: &Intake) -> Vec<String> {
        let works = intake.works.iter().zip(&intake.messages);
        works
            .map(|(work, message)| {
                let via = work.via.as_ref().map(ToString::to_string);
                let input = match &work.input {
                    Input::Object { bucket, key } => {
                        format!("{}/{key}", bucket.as_deref().unwrap_or("-"))
                    }
                    Input::Payload {
                        id,
                        body,
                        content_type,
                    } => format!(
                        "{id} {} {}",
                        content_type.as_deref().unwrap_or("-"),
                        String::from_utf8_lossy(body)
                    ),
                    Input::Unreadable { id, reason, .. } => format!("{id}: {reason}"),
                };
                format!("{} [{message}] {input}", via.as_deref().unwrap_or("-"))
            })
            .collect()
    }

    /// Captured events, as `aws_lambda_events` has them, and what they mean here.
    #[test]
    fn captured_events() {
        let cases = [
            (
                "s3",
                Sender::Service,
                false,
                &["- [] sourcebucket/Happy Face.jpg"][..],
            ),
            (
                "s3-moto",
                Sender::Service,
                false,
                &["- [] sourcebucket/in/a b+ü.png"],
            ),
            (
                "s3-with-decoded",
                Sender::Service,
                false,
                &["- [] sourcebucket/Happy Face.jpg"],
            ),
            (
                "s3-several",
                Sender::Service,
                false,
                &[
                    "- [] sourcebucket/inbox/a b+c.png",
                    "- [] sourcebucket/inbox/ü/100%.png",
                ],
            ),
            (
                "sqs",
                Sender::Queue,
                false,
                &["queue:SQSQueue [MessageID_1] MessageID_1 text/plain Message Body"],
            ),
            (
                "sqs-s3",
                Sender::Queue,
                false,
                &[
                    "queue:jobs [m1] sourcebucket/inbox/a b+c.png",
                    "queue:jobs [m1] sourcebucket/inbox/ü/100%.png",
                    "queue:jobs [m2] sourcebucket/inbox/from topic.png",
                    "queue:jobs [m3] sourcebucket/inbox/from rule+.png",
                ],
            ),
            (
                "sns",
                Sender::Service,
                false,
                &[
                    "topic:snsNetTest [] 82833b5c-8d5d-56d0-b0e1-7511f8253eb8 text/plain Hello\r\nworld!",
                ],
            ),
            (
                "eventbridge-s3",
                Sender::Service,
                false,
                &["- [] sourcebucket/inbox/from rule+.png"],
            ),
            (
                "eventbridge-event-obj",
                Sender::Service,
                false,
                &[
                    "- [] 7bf73129-1428-4cd3-a780-95db273d1602 application/json \
                 {\"instance-id\":\"i-abcd1111\",\"state\":\"pending\"}",
                ],
            ),
            ("eventbridge-schedule", Sender::Service, true, &[]),
            ("s3-test", Sender::Service, false, &[]),
        ];
        for (name, sender, sweeps, want) in cases {
            let intake = Intake::of(fixture(name)).unwrap();
            assert_eq!((intake.sender, intake.sweeps), (sender, sweeps), "{name}");
            assert_eq!(told(&intake), want, "{name}");
        }
    }

    #[test]
    fn what_a_caller_may_ask() {
        let of = |event: &str| Intake::of(serde_json::from_str(event).unwrap());
        let asked = of(
            r#"{"works": [{"object": "s3://b/in/a.png", "model": "digits@3"},
            {"payload": "aGk=", "id": "x", "content_type": "image/png"},
            {"payload": "no base64", "id": "y"}, {"object": "in/a.png", "modle": "digits"}]}"#,
        );
        let asked = asked.unwrap();
        assert_eq!(asked.sender, Sender::Caller);
        let works = told(&asked);
        assert_eq!(works[..2], ["- [] b/in/a.png", "- [] x image/png hi"]);
        assert!(works[2].starts_with("- [] y: payload:"), "{works:?}");
        assert!(works[3].contains("modle"), "{works:?}");
        assert_eq!(
            asked.works[0].model.as_ref().unwrap().to_string(),
            "digits@3"
        );

        assert!(of(r#"{"sweep": true}"#).unwrap().sweeps);
        assert!(of(r#"{"sweep": true, "else": 1}"#).is_err());
        let error = of(r#"{"Records": [{"eventSource": "aws:kinesis"}]}"#).unwrap_err();
        assert!(error.to_string().contains("aws:kinesis"), "{error}");
        // The same request has the same id, and so one result.
        let request = r#"{"inputs": [{"name": "image"}]}"#;
        assert_eq!(told(&of(request).unwrap()), told(&of(request).unwrap()));
    }
}

//! From inputs to results, as parallel as the cores allow, and in time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_registry::ModelRef;
use dunlin_storage::{ErrorKind as Storage, ObjectKey, PutCondition, Store, key_in_store};
use futures_util::{StreamExt as _, stream};

use super::record::{self, Address, Name};
use super::{Input, Outcome, Routes, Work};
use crate::later::model_of;
use crate::{Call, Error, ErrorKind, PredictBody, Service, facts};

/// Time that an input needs at least, before any was seen.
const LEAST: Duration = Duration::from_millis(300);

/// How a batch is run.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    /// Which model serves what.
    pub routes: Routes,
    /// Inputs that are worked on at one time: those being run, and those being fetched or stored
    /// beside them.
    pub at_once: usize,
}

/// Answers inputs of one store into the store of a service.
#[derive(Debug)]
pub struct Batch {
    service: Arc<Service>,
    inputs: Arc<dyn Store>,
    options: BatchOptions,
    /// Where the service's own store lies within the inputs', if it does.
    own: Option<String>,
    /// The longest that an input has taken so far, in milliseconds.
    slowest: AtomicU64,
}

/// An input on its way: what it is called, and what to say of it.
struct Known<'a> {
    work: &'a Work,
    model: Option<ModelRef>,
    name: Name,
    /// Of an object: where it is.
    url: Option<String>,
    body: Option<&'a Bytes>,
}

impl Batch {
    /// Inputs from one store, results into the service's own.
    pub fn new(service: Arc<Service>, inputs: Arc<dyn Store>, options: BatchOptions) -> Self {
        let own = within(&service.registry().store().url(), &inputs.url());
        Self {
            service,
            inputs,
            options,
            own,
            slowest: AtomicU64::new(0),
        }
    }

    /// Answers the inputs, and says how each ended, in their order.
    ///
    /// None is begun that would not end before the deadline, by what the others took: it is
    /// returned at once.
    pub async fn run(&self, works: &[Work], deadline: Option<Instant>) -> Vec<Outcome> {
        stream::iter(works)
            .map(|work| self.in_time(work, deadline))
            .buffered(self.options.at_once.max(1))
            .collect()
            .await
    }

    /// The inputs under the routes' prefixes that have neither result nor dead letter: what events
    /// that never came have left behind.
    pub async fn unanswered(&self) -> Result<Vec<Work>, Error> {
        let store = self.service.registry().store();
        let mut works = Vec::new();
        for (prefix, model) in self.options.routes.prefixes() {
            let objects = self.inputs.list(prefix).await.map_err(trouble)?;
            for object in objects {
                let work = Work {
                    model: Some(model.clone()),
                    ..Work::object(object.key.as_str())
                };
                // A longer prefix may serve it.
                let routed = self.options.routes.model(&Work {
                    model: None,
                    ..work.clone()
                });
                if routed.as_ref() != Some(model) || self.is_own(object.key.as_str()) {
                    continue;
                }
                let name = Name::Object {
                    key: object.key,
                    etag: Some(object.etag),
                };
                let places = [name.result(model), name.letter(Some(model))];
                let mut answered = false;
                for place in places.into_iter().flatten() {
                    answered = answered || exists(store.as_ref(), &place).await?;
                }
                if !answered {
                    works.push(work);
                }
            }
        }
        Ok(works)
    }

    /// Answers one input, unless too little time is left.
    pub(crate) async fn in_time(&self, work: &Work, deadline: Option<Instant>) -> Outcome {
        let started = Instant::now();
        let needed = LEAST.max(Duration::from_millis(self.slowest.load(Ordering::Relaxed)) * 5 / 4);
        if deadline.is_some_and(|deadline| started + needed > deadline) {
            return Outcome::Returned(Error::new(
                ErrorKind::Deadline,
                format!("not begun: an input may take {needed:?}, more than is left"),
            ));
        }
        let outcome = match self.one(work, deadline).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Returned(error),
        };
        if matches!(outcome, Outcome::Done { already: false, .. }) {
            let took = started.elapsed().as_millis() as u64;
            self.slowest.fetch_max(took, Ordering::Relaxed);
        }
        tell(work, &outcome, started.elapsed());
        outcome
    }

    /// An error is of the moment; an input that can never be answered is no error.
    async fn one(&self, work: &Work, deadline: Option<Instant>) -> Result<Outcome, Error> {
        let model = self.options.routes.model(work);
        match &work.input {
            Input::Object { bucket, key } => {
                self.object(work, model, bucket.as_deref(), key, deadline)
                    .await
            }
            Input::Payload {
                id,
                body,
                content_type,
            } => {
                let known = Known {
                    work,
                    model,
                    name: Name::Message(id.clone()),
                    url: None,
                    body: Some(body),
                };
                let content_type = content_type.clone();
                self.answer(&known, body.clone(), content_type, deadline)
                    .await
            }
            Input::Unreadable { id, body, reason } => {
                let known = Known {
                    work,
                    model,
                    name: Name::Message(id.clone()),
                    url: None,
                    body: Some(body),
                };
                self.bury(&known, ErrorKind::InvalidRequest, reason).await
            }
        }
    }

    async fn object(
        &self,
        work: &Work,
        model: Option<ModelRef>,
        bucket: Option<&str>,
        key: &str,
        deadline: Option<Instant>,
    ) -> Result<Outcome, Error> {
        // The console marks folders so.
        if key.ends_with('/') {
            return Ok(Outcome::Ignored);
        }
        let message = |text: String| Known {
            work,
            model: model.clone(),
            name: Name::Message(text),
            url: None,
            body: None,
        };
        let own = match bucket {
            Some(bucket) => key_in_store(&self.inputs.url(), bucket, key),
            None => Some(key),
        };
        let Some(key) = own else {
            let bucket = bucket.unwrap_or_default();
            let reason = format!(
                "bucket {bucket} is not where inputs are taken from: {}",
                self.inputs.url()
            );
            let known = message(format!("{bucket}/{key}"));
            return self.bury(&known, ErrorKind::InvalidRequest, &reason).await;
        };
        if self.is_own(key) {
            return Ok(Outcome::Ignored);
        }
        let key = match ObjectKey::new(key) {
            Ok(key) => key,
            Err(error) => {
                let reason = error.to_string();
                return self
                    .bury(&message(key.to_owned()), ErrorKind::InvalidName, &reason)
                    .await;
            }
        };
        // A request that was stored to be answered later names its model, and is named below the
        // service's own store, by whomever it is answered.
        let own = self
            .own
            .as_deref()
            .and_then(|own| key.as_str().strip_prefix(own));
        let (named, model) = match own.and_then(|own| Some((own, model_of(own)?))) {
            Some((own, asked)) => (ObjectKey::new(own).map_err(trouble)?, Some(asked)),
            None => (key.clone(), model.clone()),
        };
        let known = |etag| Known {
            work,
            model: model.clone(),
            name: Name::Object {
                key: named.clone(),
                etag,
            },
            url: Some(format!("{}/{key}", self.inputs.url().trim_end_matches('/'))),
            body: None,
        };
        let object = match self.inputs.get(&key).await {
            Ok(object) => object,
            Err(error) => {
                let (kind, why) = match error.kind() {
                    Storage::NotFound => (ErrorKind::InvalidRequest, "it is not there"),
                    Storage::TooLarge => (ErrorKind::TooLarge, "it is larger than a host reads"),
                    _ => return Err(trouble(error)),
                };
                // What it was is not known; its name is. The reason is the same each time, so that letters are.
                let reason = format!("{}: {why}", error.object());
                return self.bury(&known(None), kind, &reason).await;
            }
        };
        let ending = Path::new(key.as_str()).extension();
        let is = |wanted: &str| ending.is_some_and(|ending| ending.eq_ignore_ascii_case(wanted));
        let content_type = match (is("json"), is("txt")) {
            (true, _) => Some("application/json".to_owned()),
            (_, true) => Some("text/plain".to_owned()),
            _ => None,
        };
        let known = known(Some(object.meta.etag));
        self.answer(&known, object.bytes, content_type, deadline)
            .await
    }

    /// An object that the service itself keeps: an event about it is an echo of our own work.
    fn is_own(&self, key: &str) -> bool {
        let own = self.own.as_deref().and_then(|own| key.strip_prefix(own));
        own.is_some_and(record::is_own)
    }

    /// Answers a body into its result.
    async fn answer(
        &self,
        known: &Known<'_>,
        body: Bytes,
        content_type: Option<String>,
        deadline: Option<Instant>,
    ) -> Result<Outcome, Error> {
        let Some(model) = &known.model else {
            let reason = "no route fits it, and it names no model; DUNLIN_ROUTES says which model serves what";
            return self.bury(known, ErrorKind::InvalidRequest, reason).await;
        };
        let result = match known.name.result(model) {
            Ok(result) => result,
            Err(error) => {
                return self.bury(known, error.kind(), &error.to_string()).await;
            }
        };
        let store = self.service.registry().store();
        // A second delivery is the rule, not the exception: it should cost a look and no run.
        if exists(store.as_ref(), &result).await? {
            return Ok(Outcome::Done {
                result,
                already: true,
            });
        }
        let limit = self.service.options().limits.body_bytes;
        if body.len() > limit {
            let reason = format!("it has {} bytes; the limit is {limit}", body.len());
            return self.bury(known, ErrorKind::TooLarge, &reason).await;
        }
        let mut call = Call::new(Some(&known.name.request_id()));
        call.deadline = deadline;
        let body = PredictBody {
            body,
            content_type,
            header_length: None,
        };
        let reply = match self.service.predict(model, body, &mut call).await {
            Ok(reply) => reply,
            Err(error) if error.kind().is_the_inputs() => {
                return self.bury(known, error.kind(), &error.chain()).await;
            }
            Err(error) => return Err(error),
        };
        let document = record::result(&known.address(), model, &call.id, &reply.body)?;
        let put = store.put(&result, document, PutCondition::IfAbsent).await;
        let already = match put {
            Ok(_) => false,
            Err(error) if error.kind() == Storage::AlreadyExists => true,
            Err(error) if error.kind() == Storage::Precondition => true,
            Err(error) => return Err(trouble(error)),
        };
        Ok(Outcome::Done { result, already })
    }

    /// Writes the dead letter of an input.
    async fn bury(
        &self,
        known: &Known<'_>,
        kind: ErrorKind,
        reason: &str,
    ) -> Result<Outcome, Error> {
        let model = known.model.as_ref();
        let letter = known.name.letter(model)?;
        let address = known.address();
        let document = record::letter(&address, model, facts(kind).word, reason, known.body)?;
        let store = self.service.registry().store();
        match store.put(&letter, document, PutCondition::IfAbsent).await {
            Ok(_) => {}
            Err(error) if error.kind() == Storage::AlreadyExists => {}
            Err(error) if error.kind() == Storage::Precondition => {}
            Err(error) => return Err(trouble(error)),
        }
        Ok(Outcome::Dead {
            letter,
            reason: reason.to_owned(),
        })
    }
}

/// Logs how an input ended; nothing of what it holds.
fn tell(work: &Work, outcome: &Outcome, took: Duration) {
    let input = match &work.input {
        Input::Object { key, .. } => key,
        Input::Payload { id, .. } | Input::Unreadable { id, .. } => id,
    };
    let elapsed_ms = took.as_secs_f64() * 1e3;
    match outcome {
        Outcome::Done { result, already } => {
            tracing::debug!(input, %result, already, elapsed_ms, "answered");
        }
        Outcome::Dead { letter, reason } => {
            tracing::warn!(input, %letter, reason, elapsed_ms, "dead");
        }
        Outcome::Ignored => tracing::debug!(input, "no input"),
        Outcome::Returned(error) => {
            tracing::warn!(input, error = error.chain(), elapsed_ms, "returned");
        }
    }
}

impl Known<'_> {
    fn address(&self) -> Address {
        let (object, etag, message) = match &self.name {
            Name::Object { etag, .. } => {
                let object = self.url.clone();
                let etag = etag.as_ref().map(|etag| etag.as_str().to_owned());
                (object, etag, None)
            }
            Name::Message(id) => (None, None, Some(id.clone())),
        };
        Address {
            object,
            etag,
            message,
            via: self.work.via.as_ref().map(ToString::to_string),
        }
    }
}

/// The path of one store within another: empty, or with a slash at its end.
fn within(inner: &str, outer: &str) -> Option<String> {
    let rest = inner
        .trim_end_matches('/')
        .strip_prefix(outer.trim_end_matches('/'))?;
    match rest.strip_prefix('/') {
        Some(path) => Some(format!("{path}/")),
        None => rest.is_empty().then(String::new),
    }
}

async fn exists(store: &dyn Store, key: &ObjectKey) -> Result<bool, Error> {
    match store.head(key).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Storage::NotFound => Ok(false),
        Err(error) => Err(trouble(error)),
    }
}

fn trouble(error: dunlin_storage::Error) -> Error {
    Error::caused(ErrorKind::Store, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_within_another() {
        for (inner, outer, want) in [
            ("s3://b", "s3://b", Some("")),
            ("s3://b/models", "s3://b", Some("models/")),
            ("s3://b/a/c/", "s3://b/a", Some("c/")),
            ("s3://bb", "s3://b", None),
            ("s3://b", "s3://b/models", None),
        ] {
            assert_eq!(within(inner, outer).as_deref(), want, "{inner} in {outer}");
        }
    }
}

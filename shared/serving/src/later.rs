//! Requests whose answer is asked for later (`Prefer: respond-async`, RFC 7240).
//!
//! The request becomes an object, `requests/<model>/<version or alias>/<id>`, and an input of
//! [`batch`](crate::batch) as any other: its answer is that input's result, its failure that
//! input's dead letter. Who answers it is the host's affair: this process, by a task in the
//! background, or a function that is told of new objects.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dunlin_registry::{ModelRef, Selector};
use dunlin_storage::{ETag, ErrorKind as Storage, ObjectKey, PutCondition, Store};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::batch::record;
use crate::batch::{Batch, BatchOptions, Outcome, Routes, Work};
use crate::{Error, ErrorKind, PredictBody, Service};

/// The folder of requests.
pub(crate) const FOLDER: &str = "requests/";

/// Who answers requests that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// This process, in the background; at most so many at one time, more are refused with 429.
    Here(usize),
    /// A function that is told of new objects.
    Events,
}

/// The requests that this process answers now.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashSet<ObjectKey>>);

/// What became of a request.
pub(crate) enum State {
    /// The JSON of the reply.
    Answered(Bytes),
    /// Why there is none.
    Failed(Error),
    /// Not yet.
    Waiting,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    answer: &'a RawValue,
}

#[derive(Deserialize)]
struct Letter {
    kind: String,
    reason: String,
}

/// A request that is stored: its key, and what its result is called by.
struct Request {
    key: ObjectKey,
    tag: String,
}

impl Request {
    /// By what its caller was told: `<id>-<tag><ending>`.
    fn of(model: &ModelRef, id: &str) -> Result<Self, Error> {
        let (stem, ending) = id
            .split_once('.')
            .map_or((id, String::new()), |(stem, ending)| {
                (stem, format!(".{ending}"))
            });
        let hex =
            |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match stem.rsplit_once('-') {
            Some((id, tag)) if hex(tag) && Uuid::try_parse(id).is_ok() => Ok(Self {
                key: key(model, &format!("{id}{ending}"))?,
                tag: tag.to_owned(),
            }),
            _ => Err(unknown()),
        }
    }
}

fn unknown() -> Error {
    Error::new(
        ErrorKind::RequestNotFound,
        "there is no such request; its answer may have been removed",
    )
}

fn key(model: &ModelRef, name: &str) -> Result<ObjectKey, Error> {
    let key = format!("{FOLDER}{}/{name}", record::folder(model));
    ObjectKey::new(key).map_err(|error| Error::new(ErrorKind::InvalidName, error))
}

/// The model that a request's key names: `requests/<model>/<version or alias>/…`.
pub(crate) fn model_of(key: &str) -> Option<ModelRef> {
    let mut segments = key.strip_prefix(FOLDER)?.split('/');
    let name = segments.next()?.parse().ok()?;
    let selector = match segments.next()? {
        "default" => Selector::Default,
        selector => selector.parse().ok()?,
    };
    segments.next()?;
    Some(ModelRef { name, selector })
}

/// Stores a request, and has it answered; gives what its answer is asked for by.
pub(crate) async fn submit(
    service: &Arc<Service>,
    later: Later,
    model: &ModelRef,
    body: PredictBody,
) -> Result<String, Error> {
    if body.header_length.is_some() {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "a request with binary tensors is not answered later; send JSON, or drop Prefer",
        ));
    }
    if let Later::Here(limit) = later {
        service.running.check(limit)?;
    }
    // Who asks for a model that is not there is told at once.
    let route = service.registry().route(model).await;
    route.map_err(|error| Error::from(error).of_model(model.name.as_str()))?;
    let ending = match body.content_type.as_deref() {
        Some(kind) if kind.starts_with("application/json") => ".json",
        Some(kind) if kind.starts_with("text/plain") => ".txt",
        _ => "",
    };
    let id = Uuid::now_v7().to_string();
    let key = key(model, &format!("{id}{ending}"))?;
    let store = service.registry().store();
    let put = store.put(&key, body.body, PutCondition::IfAbsent).await;
    let etag: ETag = put.map_err(|error| Error::caused(ErrorKind::Store, error))?;
    if let Later::Here(_) = later {
        begin(service, model, &key);
    }
    Ok(format!("{id}-{}{ending}", record::tag(etag.as_str())))
}

/// What became of a request.
pub(crate) async fn look(
    service: &Arc<Service>,
    later: Later,
    model: &ModelRef,
    id: &str,
) -> Result<State, Error> {
    let Request { key, tag } = Request::of(model, id)?;
    let store = service.registry().store();
    let (result, letter) = record::places(model, key.as_str(), &tag)?;
    if let Some(state) = ended(store, &result, &letter).await? {
        return Ok(state);
    }
    match store.head(&key).await {
        Ok(_) => {
            if later != Later::Events {
                // Its task may have died with an earlier process, or failed at the store.
                begin(service, model, &key);
            }
            Ok(State::Waiting)
        }
        // A request goes once its answer is there: it may have come since.
        Err(error) if error.kind() == Storage::NotFound => {
            ended(store, &result, &letter).await?.ok_or_else(unknown)
        }
        Err(error) => Err(Error::caused(ErrorKind::Store, error)),
    }
}

/// How a request ended, if it has.
async fn ended(
    store: &Arc<dyn Store>,
    result: &ObjectKey,
    letter: &ObjectKey,
) -> Result<Option<State>, Error> {
    if let Some(bytes) = read(store, result).await? {
        let read: Answer<'_> = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        let answer = Bytes::from(read.answer.get().to_owned());
        return Ok(Some(State::Answered(answer)));
    }
    if let Some(bytes) = read(store, letter).await? {
        let letter: Letter = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        let error = Error::new(ErrorKind::of_input(&letter.kind), letter.reason);
        return Ok(Some(State::Failed(error)));
    }
    Ok(None)
}

fn damaged(error: &serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the stored answer can't be read: {error}"),
    )
}

async fn read(store: &Arc<dyn Store>, key: &ObjectKey) -> Result<Option<Bytes>, Error> {
    match store.get(key).await {
        Ok(object) => Ok(Some(object.bytes)),
        Err(error) if error.kind() == Storage::NotFound => Ok(None),
        Err(error) => Err(Error::caused(ErrorKind::Store, error)),
    }
}

/// Answers a stored request by a task of its own, unless one does so already.
fn begin(service: &Arc<Service>, model: &ModelRef, key: &ObjectKey) {
    if !service.running.add(key) {
        return;
    }
    let (service, model, key) = (service.clone(), model.clone(), key.clone());
    tokio::spawn(async move {
        let store = service.registry().store().clone();
        let options = BatchOptions {
            routes: Routes::default(),
            at_once: 1,
        };
        let work = Work {
            model: Some(model),
            ..Work::object(key.as_str())
        };
        let batch = Batch::new(service.clone(), store.clone(), options);
        let outcome = batch.in_time(&work, None).await;
        if matches!(outcome, Outcome::Done { .. } | Outcome::Dead { .. })
            && let Err(error) = store.delete(&key).await
        {
            tracing::warn!(%error, %key, "an answered request stays");
        }
        service.running.remove(&key);
    });
}

impl Running {
    fn with<T>(&self, work: impl FnOnce(&mut HashSet<ObjectKey>) -> T) -> T {
        // Nothing panics while it holds the lock.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check(&self, limit: usize) -> Result<(), Error> {
        if self.with(|running| running.len()) < limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Overloaded,
            format!("{limit} requests are answered in the background already; try again"),
        ))
    }

    fn add(&self, key: &ObjectKey) -> bool {
        self.with(|running| running.insert(key.clone()))
    }

    fn remove(&self, key: &ObjectKey) {
        self.with(|running| running.remove(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_key_names_its_model() {
        for (reference, folder) in [
            ("digits", "requests/digits/default/x"),
            ("digits@3", "requests/digits/3/x"),
            ("digits@production", "requests/digits/production/x"),
        ] {
            let model: ModelRef = reference.parse().unwrap();
            assert_eq!(key(&model, "x").unwrap().as_str(), folder);
            assert_eq!(model_of(folder), Some(model));
        }
        for other in [
            "requests/",
            "requests/digits",
            "requests/digits/3",
            "inbox/digits/3/x",
        ] {
            assert_eq!(model_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_id_is_unknown() {
        let model: ModelRef = "digits".parse().unwrap();
        let id = Uuid::nil().to_string();
        let good = format!("{id}-0123456789abcdef.json");
        let request = Request::of(&model, &good).unwrap();
        assert_eq!(
            request.key.as_str(),
            format!("requests/digits/default/{id}.json")
        );
        assert_eq!(request.tag, "0123456789abcdef");
        for bad in [
            "",
            &id,
            "x-0123456789abcdef",
            &format!("{id}-0123"),
            "../../models/x",
            &format!("{id}-0123456789abcdef./../x"),
        ] {
            assert!(Request::of(&model, bad).is_err(), "{bad}");
        }
    }
}

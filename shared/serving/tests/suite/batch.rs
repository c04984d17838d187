//! Inputs answered into storage, each once.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dunlin_registry::{Alias, ModelName, Version};
use dunlin_serving::batch::{Batch, BatchOptions, Input, Outcome, Where, Work};
use dunlin_serving::{Error, ErrorKind};
use dunlin_storage::{ObjectKey, PutCondition, Store, StoreOptions, open};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Served, options, picture};

/// A service over digits, and inputs in a store of their own.
struct Inbox {
    served: Served,
    inputs: Arc<dyn Store>,
    batch: Batch,
    _folder: TempDir,
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a key")
}

impl Inbox {
    async fn new(routes: &str) -> Self {
        let served = Served::digits(options()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("file:{}", folder.path().display());
        let inputs = open(&url, &StoreOptions::default()).await.expect("a store");
        let options = BatchOptions {
            routes: routes.parse().expect("routes"),
            at_once: 4,
        };
        let batch = Batch::new(served.service.clone(), inputs.clone(), options);
        Self {
            served,
            inputs,
            batch,
            _folder: folder,
        }
    }

    async fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        let key = key(name);
        let put = self.inputs.put(&key, bytes.into(), PutCondition::Always);
        put.await.expect("it is stored");
    }

    async fn run(&self, works: &[Work]) -> Vec<Outcome> {
        self.batch.run(works, None).await
    }

    /// What lies under a prefix of the service's store.
    async fn stored(&self, prefix: &str) -> Vec<String> {
        let objects = self
            .served
            .registry
            .store()
            .list(prefix)
            .await
            .expect("a list");
        objects
            .iter()
            .map(|object| object.key.to_string())
            .collect()
    }

    async fn read(&self, key: &ObjectKey) -> Value {
        let object = self
            .served
            .registry
            .store()
            .get(key)
            .await
            .expect("it is there");
        serde_json::from_slice(&object.bytes).expect("JSON")
    }
}

fn payload(id: &str, body: Bytes) -> Work {
    Work {
        input: Input::Payload {
            id: id.to_owned(),
            body,
            content_type: None,
        },
        model: None,
        via: Some(Where::Queue("jobs".to_owned())),
    }
}

fn done(outcome: &Outcome) -> (&ObjectKey, bool) {
    match outcome {
        Outcome::Done { result, already } => (result, *already),
        other => panic!("{other:?}"),
    }
}

fn dead(outcome: &Outcome) -> (&ObjectKey, &str) {
    match outcome {
        Outcome::Dead { letter, reason } => (letter, reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_input_has_one_result_however_often_it_comes() {
    let inbox = Inbox::new("inbox/=digits,queue:jobs=digits@1").await;
    for digit in 0..10 {
        inbox
            .put(&format!("inbox/{digit}.png"), picture(digit))
            .await;
    }
    let mut works: Vec<Work> = (0..10)
        .map(|digit| Work::object(format!("inbox/{digit}.png")))
        .collect();
    works.push(payload("order-17", picture(3)));
    // Twice in one event, then again at the same time by four.
    let twice = [works.clone(), works.clone()].concat();
    let first = inbox.run(&twice).await;
    let (a, b, c) = tokio::join!(inbox.run(&works), inbox.run(&works), inbox.run(&works));
    for again in [a, b, c] {
        for (outcome, first) in again.iter().zip(&first) {
            assert_eq!(done(outcome), (done(first).0, true));
        }
    }
    let results = inbox.stored("results/").await;
    assert_eq!(results.len(), 11, "{results:?}");
    let fresh = first.iter().filter(|outcome| !done(outcome).1).count();
    assert_eq!(fresh, 11);
    for digit in 0..10u8 {
        let (result, _) = done(&first[usize::from(digit)]);
        let result = inbox.read(result).await;
        let best = &result["answer"]["predictions"][0]["label"];
        assert_eq!(*best, digit.to_string(), "{result}");
        let object = result["input"]["object"].as_str().expect("an address");
        assert!(object.ends_with(&format!("/inbox/{digit}.png")), "{object}");
        assert_eq!(result["answer"]["version"], 1);
    }
    let (message, _) = done(&first[10]);
    assert_eq!(message.as_str(), "results/digits/1/messages/order-17.json");
    let message = inbox.read(message).await;
    assert_eq!(message["input"]["via"], "queue:jobs");

    // Written anew, it is another input.
    inbox.put("inbox/1.png", picture(2)).await;
    let again = inbox.run(&works[1..2]).await;
    let (result, already) = done(&again[0]);
    assert!(!already && result != done(&first[1]).0);
    assert_eq!(
        inbox.read(result).await["answer"]["predictions"][0]["label"],
        "2"
    );
}

#[tokio::test]
async fn an_alias_that_moves_makes_no_second_result() {
    let inbox = Inbox::new("inbox/=digits@production").await;
    inbox.served.publish("digits").await;
    let name: ModelName = "digits".parse().expect("a name");
    let production = Alias::production();
    inbox.put("inbox/5.png", picture(5)).await;
    for (version, again) in [(1, false), (2, true)] {
        let version = Version::new(version).expect("a number");
        let promoted = inbox
            .served
            .registry
            .promote(&name, &production, version, None);
        promoted.await.expect("it moves");
        let outcomes = inbox.run(&[Work::object("inbox/5.png")]).await;
        let (result, already) = done(&outcomes[0]);
        assert_eq!(already, again);
        assert_eq!(inbox.read(result).await["answer"]["version"], 1);
    }
    assert_eq!(inbox.stored("results/").await.len(), 1);
}

#[tokio::test]
async fn what_can_never_be_answered_gets_a_letter_that_says_why() {
    let inbox = Inbox::new("inbox/=digits,queue:jobs=digits").await;
    inbox.put("inbox/text.png", "this is no picture").await;
    inbox.put("inbox/empty.png", "").await;
    inbox.put("elsewhere/1.png", picture(1)).await;
    let mut far = Work::object("inbox/1.png");
    far.input = Input::Object {
        bucket: Some("any".to_owned()),
        key: "inbox/../x".to_owned(),
    };
    let unreadable = Work {
        input: Input::Unreadable {
            id: "m-9".to_owned(),
            body: "{".into(),
            reason: "it is no JSON".to_owned(),
        },
        ..payload("m-9", Bytes::new())
    };
    let works = [
        Work::object("inbox/text.png"),
        Work::object("inbox/empty.png"),
        Work::object("inbox/gone.png"),
        Work::object("elsewhere/1.png"),
        far,
        payload("m-8", "no picture either".into()),
        unreadable,
    ];
    let wanted = [
        (
            "unsupported_media_type",
            "dead-letters/digits/default/inbox/text.png/",
            "picture",
        ),
        (
            "invalid_request",
            "dead-letters/digits/default/inbox/empty.png/",
            "empty",
        ),
        (
            "invalid_request",
            "dead-letters/digits/default/inbox/gone.png/",
            "inbox/gone.png",
        ),
        (
            "invalid_request",
            "dead-letters/unrouted/elsewhere/1.png/",
            "no route",
        ),
        (
            "invalid_name",
            "dead-letters/digits/default/messages/",
            "segments",
        ),
        (
            "unsupported_media_type",
            "dead-letters/digits/default/messages/m-8.json",
            "picture",
        ),
        (
            "invalid_request",
            "dead-letters/digits/default/messages/m-9.json",
            "no JSON",
        ),
    ];
    for _ in 0..2 {
        let outcomes = inbox.run(&works).await;
        for (outcome, (kind, place, words)) in outcomes.iter().zip(wanted) {
            let (letter, reason) = dead(outcome);
            assert!(letter.as_str().starts_with(place), "{letter}, want {place}");
            let document = inbox.read(letter).await;
            assert_eq!(document["kind"], kind, "{document}");
            assert_eq!(document["reason"], reason);
            assert!(reason.contains(words), "{reason}, want {words}");
        }
    }
    let message = inbox
        .read(&key("dead-letters/digits/default/messages/m-8.json"))
        .await;
    assert_eq!(message["message"]["text"], "no picture either");
    assert_eq!(inbox.stored("dead-letters/").await.len(), works.len());
    assert!(inbox.stored("results/").await.is_empty());

    let ignored = inbox.run(&[Work::object("inbox/")]).await;
    assert!(matches!(ignored[0], Outcome::Ignored));
}

fn returned(outcome: &Outcome) -> &Error {
    match outcome {
        Outcome::Returned(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_can_not_be_answered_now_is_returned() {
    let inbox = Inbox::new("inbox/=digits,later/=absent").await;
    inbox.put("inbox/1.png", picture(1)).await;
    inbox.put("later/1.png", picture(1)).await;
    let works = [Work::object("inbox/1.png")];
    let past = inbox.batch.run(&works, Some(Instant::now())).await;
    assert_eq!(returned(&past[0]).kind(), ErrorKind::Deadline);
    // A model may be published yet.
    let later = inbox.run(&[Work::object("later/1.png")]).await;
    assert_eq!(returned(&later[0]).kind(), ErrorKind::ModelNotFound);
    assert!(inbox.stored("dead-letters/").await.is_empty());
    inbox.served.publish("absent").await;
    done(&inbox.run(&[Work::object("later/1.png")]).await[0]);
}

#[tokio::test]
async fn a_sweep_finds_what_events_have_missed() {
    let inbox = Inbox::new("inbox/=digits,inbox/deep/=digits@1").await;
    for name in [
        "inbox/1.png",
        "inbox/2.png",
        "inbox/deep/3.png",
        "other/4.png",
    ] {
        inbox.put(name, picture(1)).await;
    }
    inbox.put("inbox/poison.png", "poison").await;
    inbox.run(&[Work::object("inbox/1.png")]).await;
    let unanswered = inbox.batch.unanswered().await.expect("a list");
    let mut keys: Vec<&str> = unanswered
        .iter()
        .map(|work| match &work.input {
            Input::Object { key, .. } => key.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["inbox/2.png", "inbox/deep/3.png", "inbox/poison.png"]
    );
    inbox.run(&unanswered).await;
    assert!(inbox.batch.unanswered().await.expect("a list").is_empty());
    assert_eq!(inbox.stored("results/digits/1/").await.len(), 1);
}

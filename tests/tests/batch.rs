//! The built `bootstrap-batch` under AWS's Runtime Interface Emulator (`DUNLIN_TEST_RIE` names it),
//! with inputs and results in an S3 server of this process. What is not there is reported as
//! skipped; `.ci/run lambda` has it all.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use dunlin_storage::{ObjectKey, PutCondition, Store};
use dunlin_tests::hosts::{Emulator, Function, binary, publish_to};
use dunlin_tests::requests::picture;
use dunlin_tests::s3_server::{BUCKET, Fault, On, S3Server};
use serde_json::{Value, json};

const ROUTES: &str = "inbox/=digits,queue:jobs=digits,topic:uploads=digits,rule:nightly=digits";

/// A function over digits in a bucket, and that bucket.
struct Inbox {
    server: S3Server,
    bucket: Arc<dyn Store>,
    function: Function,
}

impl Inbox {
    async fn start() -> Option<Self> {
        let Some(rie) = std::env::var_os("DUNLIN_TEST_RIE").map(PathBuf::from) else {
            eprintln!("skipped: DUNLIN_TEST_RIE is not set");
            return None;
        };
        let Some(bootstrap) = binary("bootstrap-batch") else {
            eprintln!("skipped: `bootstrap-batch` is not built");
            return None;
        };
        let server = S3Server::start().await;
        let options = server.options();
        publish_to(server.store("models", &options).await, "models/digits").await;
        let bucket = server.store("", &options).await;
        let credentials = options.credentials.expect("the server has some");
        let settings = [
            ("DUNLIN_STORE", format!("s3://{BUCKET}/models")),
            ("DUNLIN_S3_ENDPOINT", server.endpoint()),
            ("DUNLIN_PRELOAD", "digits".to_owned()),
            ("DUNLIN_ROUTES", ROUTES.to_owned()),
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
        ];
        let function = Function::launch(&Emulator::Aws(rie), &bootstrap, &settings).await;
        Some(Self {
            server,
            bucket,
            function,
        })
    }

    async fn put(&self, key: &str, bytes: impl Into<bytes::Bytes>) {
        let key = ObjectKey::new(key).expect("a key");
        let put = self.bucket.put(&key, bytes.into(), PutCondition::Always);
        put.await.expect("it is stored");
    }

    /// The documents below a folder of the models' store.
    async fn documents(&self, folder: &str) -> Vec<(String, Value)> {
        let prefix = format!("models/{folder}/");
        let mut documents = Vec::new();
        for object in self.bucket.list(&prefix).await.expect("a list") {
            let bytes = self
                .bucket
                .get(&object.key)
                .await
                .expect("it is there")
                .bytes;
            let document = serde_json::from_slice(&bytes).expect("JSON");
            let key = object.key.as_str().trim_start_matches(&prefix).to_owned();
            documents.push((key, document));
        }
        documents
    }

    async fn labels(&self) -> Vec<String> {
        let results = self.documents("results").await;
        let labels = results.iter().map(|(_, result)| {
            let label = &result["answer"]["predictions"][0]["label"];
            label.as_str().expect("a label").to_owned()
        });
        let mut labels: Vec<String> = labels.collect();
        labels.sort();
        labels
    }
}

/// A captured event.
fn captured(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/lambda/tests/events");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).expect("the event");
    // The captured bucket, as the one of these tests is called.
    let text = text.replace("sourcebucket", BUCKET);
    serde_json::from_str(&text).expect("JSON")
}

fn message(id: &str, body: &str) -> Value {
    let mut record = captured("sqs")["Records"][0].clone();
    record["messageId"] = id.into();
    record["body"] = body.into();
    record["eventSourceARN"] = "arn:aws:sqs:us-west-2:123456789012:jobs".into();
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_that_an_object_is_told_of() {
    let Some(inbox) = Inbox::start().await else {
        return;
    };
    for (key, digit) in [
        ("inbox/a b+c.png", 1),
        ("inbox/ü/100%.png", 2),
        ("inbox/from topic.png", 3),
        ("inbox/from rule+.png", 4),
    ] {
        inbox.put(key, picture(digit)).await;
    }
    // Each event twice: the second finds all done.
    for _ in 0..2 {
        let several = inbox.function.invoke(&captured("s3-several")).await;
        assert_eq!(several, json!({"done": 2, "dead": 0}));
        let queue = inbox.function.invoke(&captured("sqs-s3")).await;
        assert_eq!(queue, json!({"batchItemFailures": []}));
        let rule = inbox.function.invoke(&captured("eventbridge-s3")).await;
        assert_eq!(rule, json!({"done": 1, "dead": 0}));
    }
    assert_eq!(inbox.labels().await, ["1", "2", "3", "4"]);

    // A schedule sweeps up what no event told of, and nothing else.
    inbox.put("inbox/missed.png", picture(5)).await;
    inbox.put("elsewhere/6.png", picture(6)).await;
    for done in [1, 0] {
        let swept = inbox
            .function
            .invoke(&captured("eventbridge-schedule"))
            .await;
        assert_eq!(swept, json!({"done": done, "dead": 0}));
    }
    assert_eq!(inbox.labels().await, ["1", "2", "3", "4", "5"]);
    assert!(inbox.documents("dead-letters").await.is_empty());

    // An object that nobody has a route for, or in another bucket: a letter each.
    let unrouted = inbox
        .function
        .invoke(&json!({"object": "elsewhere/6.png"}))
        .await;
    assert_eq!(unrouted["works"][0]["outcome"], "dead", "{unrouted}");
    let mut far = captured("s3");
    far["Records"][0]["s3"]["bucket"]["name"] = "another-bucket".into();
    let far = inbox.function.invoke(&far).await;
    assert_eq!(far, json!({"done": 0, "dead": 1}));
    let letters = inbox.documents("dead-letters").await;
    assert_eq!(letters.len(), 2, "{letters:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_fail_alone() {
    let Some(inbox) = Inbox::start().await else {
        return;
    };
    inbox.put("inbox/1.png", picture(1)).await;
    let seven = base64::prelude::BASE64_STANDARD.encode(picture(7));
    let event = json!({"Records": [
        message("reference", &json!({"object": format!("s3://{BUCKET}/inbox/1.png")}).to_string()),
        message("payload", &json!({"payload": seven, "content_type": "image/png"}).to_string()),
        message("poison", "this is no picture"),
        message("later", &json!({"payload": seven, "model": "not-yet"}).to_string()),
    ]});
    for _ in 0..2 {
        let reply = inbox.function.invoke(&event).await;
        assert_eq!(
            reply,
            json!({"batchItemFailures": [{"itemIdentifier": "later"}]})
        );
    }
    assert_eq!(inbox.labels().await, ["1", "7"]);
    let letters = inbox.documents("dead-letters").await;
    let [(key, letter)] = &letters[..] else {
        panic!("{letters:?}")
    };
    assert_eq!(key, "digits/default/messages/poison.json");
    assert_eq!(letter["message"]["text"], "this is no picture");
    assert_eq!(letter["input"]["via"], "queue:jobs");

    // A message of a topic, and of a rule of one's own.
    let mut sns = captured("sns");
    sns["Records"][0]["Sns"]["TopicArn"] = "arn:aws:sns:us-east-1:1:uploads".into();
    sns["Records"][0]["Sns"]["Message"] = json!({"payload": seven}).to_string().into();
    assert_eq!(
        inbox.function.invoke(&sns).await,
        json!({"done": 1, "dead": 0})
    );
    let mut rule = captured("eventbridge-event-obj");
    rule["resources"] = json!(["arn:aws:events:us-east-1:1:rule/nightly"]);
    rule["detail"] = json!({"payload": seven});
    assert_eq!(
        inbox.function.invoke(&rule).await,
        json!({"done": 1, "dead": 0})
    );

    // Who asks directly is told of each.
    let asked =
        json!({"works": [{"object": "inbox/1.png"}, {"object": "inbox/2.png"}, {"payload": "?"}]});
    let told = inbox.function.invoke(&asked).await;
    let outcomes: Vec<_> = (0..3)
        .map(|n| told["works"][n]["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["done", "dead", "dead"], "{told}");
    assert_eq!(told["works"][0]["already"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_transform_is_asked_for_directly() {
    let Some(inbox) = Inbox::start().await else {
        return;
    };
    for digit in 0..10 {
        inbox
            .put(&format!("pile/{digit}.png"), picture(digit))
            .await;
    }
    let lines = (0..50u8).map(|row| {
        let payload = base64::prelude::BASE64_STANDARD.encode(picture(row % 10));
        json!({"id": row, "payload": payload}).to_string()
    });
    let lines: Vec<String> = lines.collect();
    inbox.put("rows.jsonl", lines.join("\n")).await;
    let ask = |source: &str, to: &str, format: Option<&str>| {
        let source = format!("s3://{BUCKET}/{source}");
        json!({"batch": {"model": "digits", "source": source, "to": to, "format": format, "part_rows": 20}})
    };
    // Twice: the second does nothing, and says the same.
    let first = inbox
        .function
        .invoke(&ask("pile/", "results/pile", None))
        .await;
    assert_eq!(
        [&first["finished"], &first["answered"]],
        [&json!(true), &json!(10)],
        "{first}"
    );
    let results = inbox.documents("results/pile/results").await;
    let labels = results
        .iter()
        .map(|(_, result)| &result["answer"]["predictions"][0]["label"]);
    assert!(labels.eq(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]));
    let again = inbox
        .function
        .invoke(&ask("pile/", "results/pile", None))
        .await;
    assert_eq!(again, first);

    let rows = inbox
        .function
        .invoke(&ask("rows.jsonl", "results/rows", Some("csv")))
        .await;
    assert_eq!([&rows["inputs"], &rows["answered"]], [50, 50], "{rows}");
    assert_eq!(rows["parts"].as_array().map(Vec::len), Some(3), "{rows}");
    for (event, words) in [
        (ask("rows.jsonl", "blobs/x", None), "results/NAME"),
        (ask("nothing/", "results/x", None), "no object"),
        (json!({"batch": {"modle": "digits"}}), "modle"),
    ] {
        let told = inbox.function.invoke(&event).await;
        let error = told["errorMessage"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_trouble_gives_all_back() {
    let Some(inbox) = Inbox::start().await else {
        return;
    };
    inbox.put("inbox/1.png", picture(1)).await;
    inbox.put("inbox/2.png", picture(2)).await;
    let put = || On::new(&http::Method::PUT, "results/");
    let object = |key: &str| json!({"object": key}).to_string();
    let event = json!({"Records": [
        message("one", &object("inbox/1.png")),
        message("two", &object("inbox/2.png")),
    ]});
    // Permission denied is not tried again by the store's client.
    inbox.server.faults().add(put(), 2, Fault::Status(403));
    let reply = inbox.function.invoke(&event).await;
    assert_eq!(
        reply["batchItemFailures"].as_array().map(Vec::len),
        Some(2),
        "{reply}"
    );
    // A service that takes back all or nothing is told by an error.
    inbox.server.faults().add(put(), 1, Fault::Status(403));
    let mut notified = captured("s3");
    notified["Records"][0]["s3"]["object"]["key"] = "inbox/1.png".into();
    let reply = inbox.function.invoke(&notified).await;
    let error = reply["errorMessage"].as_str().unwrap_or_default();
    assert!(error.contains("1 of 1 inputs are returned"), "{reply}");
    // The answer of a write that was done gets lost: there is one result all the same.
    inbox.server.faults().add(put(), 1, Fault::LoseAnswer);
    let reply = inbox.function.invoke(&event).await;
    assert_eq!(reply, json!({"batchItemFailures": []}));
    assert_eq!(inbox.labels().await, ["1", "2"]);
    assert!(inbox.documents("dead-letters").await.is_empty());
}

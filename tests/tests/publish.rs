//! The built `bootstrap-publish` under AWS's Runtime Interface Emulator (`DUNLIN_TEST_RIE` names
//! it), with an S3 server of this process. What is not there is reported as skipped;
//! `.ci/run lambda` has it all.

use std::path::PathBuf;

use dunlin_registry::Registry;
use dunlin_storage::{ObjectKey, PutCondition};
use dunlin_tests::hosts::{Emulator, Function, binary};
use dunlin_tests::s3_server::{BUCKET, Fault, On, S3Server};
use serde_json::{Value, json};

fn event(keys: &[&str]) -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/lambda/tests/events/s3.json"
    );
    let text = std::fs::read_to_string(path).expect("the event");
    let mut event: Value =
        serde_json::from_str(&text.replace("sourcebucket", BUCKET)).expect("JSON");
    let record = event["Records"][0].clone();
    let records = keys.iter().map(|key| {
        let mut record = record.clone();
        record["s3"]["object"]["key"] = (*key).into();
        record
    });
    event["Records"] = records.collect();
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_becomes_a_version_and_a_report() {
    let Some(rie) = std::env::var_os("DUNLIN_TEST_RIE").map(PathBuf::from) else {
        eprintln!("skipped: DUNLIN_TEST_RIE is not set");
        return;
    };
    let Some(bootstrap) = binary("bootstrap-publish") else {
        eprintln!("skipped: `bootstrap-publish` is not built");
        return;
    };
    let server = S3Server::start().await;
    let options = server.options();
    let store = server.store("models", &options).await;
    let credentials = options.credentials.clone().expect("the server has some");
    let settings = [
        ("DUNLIN_STORE", format!("s3://{BUCKET}/models")),
        ("DUNLIN_S3_ENDPOINT", server.endpoint()),
        ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
    ];
    let emulator = Emulator::Aws(rie);
    // Two environments of the function, as Lambda starts them.
    let one = Function::launch(&emulator, &bootstrap, &settings).await;
    let other = Function::launch(&emulator, &bootstrap, &settings).await;

    let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits/model.onnx");
    let graph = std::fs::read(graph).expect("the sample");
    for (key, bytes) in [
        ("uploads/plain/a net.onnx", graph),
        ("uploads/plain/bad.onnx", b"no graph".to_vec()),
        ("uploads/plain/notes.txt", b"for people".to_vec()),
    ] {
        let key = ObjectKey::new(key).expect("a key");
        let put = store.put(&key, bytes.into(), PutCondition::Always).await;
        put.expect("it is stored");
    }
    let keys = [
        "models/uploads/plain/a+net.onnx",
        "models/uploads/plain/bad.onnx",
        "models/uploads/plain/notes.txt",
        "models/uploads/plain/bad.onnx.report.json",
    ];
    // The store in trouble: the event is given back.
    let denied = On::new(&http::Method::PUT, "/blobs/");
    server.faults().add(denied, 1, Fault::Status(403));
    let failed = one.invoke(&event(&keys[..1])).await;
    assert!(failed["errorMessage"].is_string(), "{failed}");

    let event = event(&keys);
    let (a, b) = tokio::join!(one.invoke(&event), other.invoke(&event));
    let again = other.invoke(&event).await;
    for answer in [a, b, again] {
        let uploads = answer["uploads"].as_array().expect("reports");
        let [good, bad] = &uploads[..] else {
            panic!("{answer}")
        };
        assert_eq!(good["version"], uploads[0]["version"]);
        assert!(good["version"].is_number(), "{answer}");
        assert!(
            bad["refused"][0]
                .as_str()
                .is_some_and(|why| !why.is_empty()),
            "{answer}"
        );
    }
    let registry = Registry::new(store.clone());
    let versions = registry.versions(&"plain".parse().expect("a name")).await;
    assert_eq!(versions.expect("a list").len(), 1);
    let report = ObjectKey::new("uploads/plain/a net.onnx.report.json").expect("a key");
    let report = store.get(&report).await.expect("it is there").bytes;
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["model"], json!("plain"));
    assert!(report["notes"].is_array(), "{report}");
}

//! S3 that is not there, keys that do not fit, an environment that says too little.
//!
//! The environment's cases run in this program again, told by `DUNLIN_TEST_ALONE` which one.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use dunlin_storage::{Credentials, ErrorKind, ObjectKey, PutCondition, StoreOptions, open};
use dunlin_tests::s3_server::S3Server;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

#[tokio::test]
async fn wrong_places_and_keys_are_explained() {
    let server = S3Server::start().await;
    let wrong_key = |id: &str, secret: &str| StoreOptions {
        credentials: Some(Credentials {
            access_key_id: id.into(),
            secret_access_key: secret.into(),
            session_token: None,
        }),
        ..server.options()
    };
    let nobody = StoreOptions {
        // Nothing listens on the discard port.
        endpoint: Some("http://127.0.0.1:9".into()),
        tries: 2,
        ..server.options()
    };
    let absent = StoreOptions {
        endpoint: Some("http://dunlin.invalid".into()),
        tries: 2,
        ..server.options()
    };
    let tls = StoreOptions {
        endpoint: Some(server.endpoint().replace("http:", "https:")),
        tries: 2,
        ..server.options()
    };
    let cases = [
        (
            "s3://models",
            wrong_key("dunlin-test", "wrong"),
            ErrorKind::PermissionDenied,
            "check AWS_",
        ),
        (
            "s3://models",
            wrong_key("stranger", "x"),
            ErrorKind::PermissionDenied,
            "AWS_",
        ),
        (
            "s3://absent",
            server.options(),
            ErrorKind::NotFound,
            "make the bucket",
        ),
        ("s3://models", nobody, ErrorKind::Unavailable, "refused"),
        ("s3://models", absent, ErrorKind::Unavailable, "lookup"),
        ("s3://models", tls, ErrorKind::Unavailable, "tries"),
    ];
    for (url, options, kind, words) in cases {
        let store = open(url, &options).await.unwrap();
        let start = Instant::now();
        let error = store.get(&key("x")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{words:?}: {error}");
        assert!(start.elapsed() < Duration::from_secs(15), "{error}");
        println!("{error}");
    }
}

#[tokio::test]
async fn bad_options_are_explained() {
    for endpoint in ["localhost:9000", "ftp://x", "http://", "not an address"] {
        let options = StoreOptions {
            endpoint: Some(endpoint.into()),
            ..StoreOptions::default()
        };
        let error = open("s3://models", &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{endpoint}");
        let text = error.to_string();
        assert!(
            text.contains(endpoint) && text.contains("http://host:port"),
            "{text}"
        );
    }
}

const ALONE: &str = "DUNLIN_TEST_ALONE";

/// This program again, without any of the caller's environment.
fn alone(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "access::bare", "--ignored", "--nocapture"]);
    command
        .env_clear()
        .env(ALONE, role)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

#[tokio::test]
#[ignore = "the other side of the test below, which starts it"]
async fn bare() {
    match env::var(ALONE).as_deref() {
        Ok("no credentials") => {
            let store = open("s3://models", &StoreOptions::default()).await.unwrap();
            let error = store.get(&key("x")).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.tries()),
                (ErrorKind::NoCredentials, 1),
                "{error}"
            );
            let text = error.to_string();
            assert!(text.contains("no AWS credentials were found"), "{text}");
            assert!(
                text.contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
                "{text}"
            );
        }
        Ok("no region") => {
            let error = open("s3://models", &StoreOptions::default())
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains("set AWS_REGION"), "{error}");
        }
        Ok("all from the environment") => {
            let store = open("s3://models", &StoreOptions::default()).await.unwrap();
            store
                .put(&key("from/environment"), "x".into(), PutCondition::IfAbsent)
                .await
                .unwrap();
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_enough_or_the_error_says_what_is_missing() {
    let server = S3Server::start().await;
    let options = server.options();
    let credentials = options.credentials.clone().unwrap();
    let mut none = alone("no credentials");
    none.env("AWS_REGION", "eu-west-1");
    let mut all = alone("all from the environment");
    all.env("AWS_ENDPOINT_URL", server.endpoint())
        .env("AWS_ACCESS_KEY_ID", credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key);
    for mut command in [none, alone("no region"), all] {
        let status = tokio::task::spawn_blocking(move || command.status())
            .await
            .unwrap();
        assert!(status.unwrap().success());
    }
    let store = server.store("", &options).await;
    assert_eq!(store.list("from/").await.unwrap().len(), 1);
}

//! S3 when things go wrong: over real HTTP, each ends well or in a clear error, within bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dunlin_storage::{
    DownloadOptions, ErrorKind, ObjectKey, PutCondition, Store, StoreOptions, download,
};
use dunlin_tests::conformance::pattern;
use dunlin_tests::s3_server::{BUCKET, Fault, On, S3Server};
use http::Method;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

/// A server and a store there that loses patience soon.
async fn set_up() -> (S3Server, Arc<dyn Store>) {
    let server = S3Server::start().await;
    let options = StoreOptions {
        tries: 4,
        stall_timeout: Duration::from_millis(300),
        timeout: Duration::from_secs(4),
        ..server.options()
    };
    let store = server.store("", &options).await;
    (server, store)
}

#[tokio::test]
async fn a_link_gives_the_object_to_whoever_has_it_until_it_ends() {
    let (_server, store) = set_up().await;
    let name = key("replies/a b+ü");
    let content = Bytes::from(pattern(100_000, 1));
    let put = store.put(&name, content.clone(), PutCondition::Always);
    put.await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let link = async |valid| {
        let link = store.link(&name, valid, "application/json").await;
        link.unwrap().expect("S3 has links")
    };
    let url = link(Duration::from_mins(1)).await;
    let got = client.get(&url).send().await.unwrap();
    assert_eq!(got.status(), 200, "{url}");
    assert!(got.bytes().await.unwrap() == content);
    // Of this object alone, for so long alone, and for reading alone.
    let other = url.replacen("replies", "blobs", 1);
    assert_eq!(client.get(&other).send().await.unwrap().status(), 403);
    assert_eq!(client.put(&url).send().await.unwrap().status(), 403);
    let short = link(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(client.get(&short).send().await.unwrap().status(), 403);
    let never = store.link(&name, Duration::from_hours(24 * 8), "text/plain");
    assert_eq!(never.await.unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn passing_faults_pass() {
    let (server, store) = set_up().await;
    let content = Bytes::from(pattern(500_000, 1));
    store
        .put(&key("object"), content.clone(), PutCondition::Always)
        .await
        .unwrap();
    let object = On::new(&Method::GET, "/object");
    for (number, fault) in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::CutAfter(0),
        Fault::CutAfter(123_456),
        Fault::StallAfter(123_456),
        Fault::Delay(Duration::from_secs(1)),
        Fault::LoseAnswer,
    ]
    .into_iter()
    .enumerate()
    {
        server.faults().add(object.clone(), 2, fault);
        let got = store
            .get(&key("object"))
            .await
            .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert!(got.bytes == content, "{fault:?}");
        assert_eq!(
            server.faults().count(&object),
            (number + 1) * 3,
            "{fault:?}"
        );
    }
    let list = On::new(&Method::GET, "list-type=2");
    server.faults().add(list.clone(), 2, Fault::CutAfter(50));
    assert_eq!(store.list("").await.unwrap().len(), 1);
    assert_eq!(server.faults().count(&list), 3);
}

#[tokio::test]
async fn lasting_faults_are_told_in_time() {
    let (server, store) = set_up().await;
    let content = Bytes::from(pattern(500_000, 1));
    store
        .put(&key("object"), content, PutCondition::Always)
        .await
        .unwrap();
    let cases = [
        (Fault::Status(500), "HTTP 500"),
        (Fault::Status(503), "HTTP 503"),
        (Fault::CutAfter(1000), "cut after 1000 of 500000 bytes"),
        (
            Fault::StallAfter(1000),
            "silence for 300ms after 1000 of 500000 bytes",
        ),
        (
            Fault::Delay(Duration::from_mins(1)),
            "no answer within 300ms",
        ),
        (Fault::LoseAnswer, "connection"),
    ];
    for (number, (fault, words)) in cases.into_iter().enumerate() {
        // Another name each, so that each fault meets its own requests.
        let name = key(&format!("object-{number}"));
        let small = Bytes::from(pattern(500_000, 2));
        store.put(&name, small, PutCondition::Always).await.unwrap();
        server
            .faults()
            .add(On::new(&Method::GET, name.as_str()), usize::MAX, fault);
        let start = Instant::now();
        let error = store.get(&name).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(
            (error.kind(), error.tries()),
            (ErrorKind::Unavailable, 4),
            "{text}"
        );
        assert!(text.contains(words), "{fault:?}: {text}");
        assert!(text.contains(&format!("s3://{BUCKET}/{name}")), "{text}");
        assert!(text.contains("(4 tries in "), "{text}");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{fault:?}: {:?}",
            start.elapsed()
        );
        assert!(error.elapsed() <= start.elapsed());
    }
}

#[tokio::test]
async fn faults_that_stay_are_not_tried_again() {
    let (server, store) = set_up().await;
    for (number, (status, kind)) in [
        (400, ErrorKind::Other),
        (403, ErrorKind::PermissionDenied),
        (404, ErrorKind::NotFound),
        (507, ErrorKind::StorageFull),
    ]
    .into_iter()
    .enumerate()
    {
        let name = key(&format!("refused-{number}"));
        let put = On::new(&Method::PUT, name.as_str());
        server
            .faults()
            .add(put.clone(), usize::MAX, Fault::Status(status));
        let error = store
            .put(&name, "x".into(), PutCondition::Always)
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.tries()), (kind, 1), "{error}");
        assert_eq!(server.faults().count(&put), 1);
    }
}

/// The put took place, its answer was lost, and the next try meets its own work.
#[tokio::test]
async fn a_lost_answer_does_not_undo_a_put() {
    let (server, store) = set_up().await;
    let lose = |name: &str, method: &Method| {
        server
            .faults()
            .add(On::new(method, name), 1, Fault::LoseAnswer);
    };
    lose("created", &Method::PUT);
    let etag = store
        .put(&key("created"), "mine".into(), PutCondition::IfAbsent)
        .await
        .unwrap();
    assert_eq!(store.head(&key("created")).await.unwrap().etag, etag);

    lose("created", &Method::PUT);
    let condition = PutCondition::IfMatch(etag.clone());
    let swapped = store
        .put(&key("created"), "swapped".into(), condition)
        .await
        .unwrap();
    assert_ne!(swapped, etag);

    // The same bytes by somebody else are not this put's work.
    store
        .put(&key("taken"), "same".into(), PutCondition::Always)
        .await
        .unwrap();
    lose("taken", &Method::PUT);
    let error = store
        .put(&key("taken"), "same".into(), PutCondition::IfAbsent)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);

    // In parts: the answer to joining them is lost.
    let options = StoreOptions {
        multipart_bytes: 1 << 20,
        ..server.options()
    };
    let in_parts = server.store("", &options).await;
    lose("uploadId", &Method::POST);
    server
        .faults()
        .add(On::new(&Method::PUT, "partNumber=2"), 2, Fault::Status(500));
    let content = Bytes::from(pattern(40 << 20, 3));
    let put = in_parts
        .put(&key("large"), content.clone(), PutCondition::IfAbsent)
        .await;
    let etag = put.unwrap();
    let all = 0..content.len() as u64;
    let got = in_parts
        .get_range(&key("large"), all, Some(&etag), BytesMut::new())
        .await;
    assert!(got.unwrap().1 == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn downloads_survive_faults_of_parts() {
    const PART: u64 = 256 << 10;
    let (server, store) = set_up().await;
    let content = Bytes::from(pattern(5_000_000, 4));
    store
        .put(&key("large"), content.clone(), PutCondition::Always)
        .await
        .unwrap();
    let part =
        |number: u64| On::new(&Method::GET, "/large").range(&format!("bytes={}-", number * PART));
    server.faults().add(part(0), 1, Fault::Status(503));
    server.faults().add(part(1), 2, Fault::Status(500));
    server.faults().add(part(3), 1, Fault::CutAfter(100_000));
    server.faults().add(part(5), 1, Fault::StallAfter(100_000));
    server.faults().add(part(7), 1, Fault::LoseAnswer);
    let options = DownloadOptions {
        part_bytes: PART,
        hedge: None,
        ..DownloadOptions::default()
    };
    let got = download(&store, &key("large"), &options).await.unwrap();
    assert!(got.bytes == content);
    for (number, requests) in [(0, 2), (1, 3), (2, 1), (3, 2), (5, 2), (7, 2), (8, 1)] {
        assert_eq!(
            server.faults().count(&part(number)),
            requests,
            "part {number}"
        );
    }
    server.faults().add(part(9), usize::MAX, Fault::Status(500));
    let error = download(&store, &key("large"), &options).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.tries()),
        (ErrorKind::Unavailable, 4),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_straggling_part_is_asked_for_twice() {
    const PART: u64 = 256 << 10;
    let server = S3Server::start().await;
    let store = server.store("", &server.options()).await;
    let content = Bytes::from(pattern(5_000_000, 5));
    store
        .put(&key("large"), content.clone(), PutCondition::Always)
        .await
        .unwrap();
    let part = On::new(&Method::GET, "/large").range(&format!("bytes={}-", 6 * PART));
    server
        .faults()
        .add(part.clone(), 1, Fault::Delay(Duration::from_secs(8)));
    let options = DownloadOptions {
        part_bytes: PART,
        ..DownloadOptions::default()
    };
    let start = Instant::now();
    let got = download(&store, &key("large"), &options).await.unwrap();
    assert!(got.bytes == content);
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(server.faults().count(&part), 2);
}

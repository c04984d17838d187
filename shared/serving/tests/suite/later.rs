//! Requests whose answer is asked for later.

use axum::body::Body;
use dunlin_serving::batch::{Batch, BatchOptions, Outcome, Routes, Work};
use dunlin_serving::{Later, ServiceOptions};
use dunlin_storage::{StoreOptions, open};
use http::{Request, StatusCode};

use crate::support::{Answer, Served, options, picture};

async fn ask(served: &Served, path: &str, body: impl Into<Body>, kind: &str) -> Answer {
    let request = Request::post(path)
        .header("prefer", "wait=1, Respond-Async")
        .header("content-type", kind)
        .body(body.into());
    served.send(request.expect("a request")).await
}

/// Where the answer is asked for.
fn place(accepted: &Answer) -> String {
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text());
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    let result = accepted.json()["result"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert_eq!(format!("/predict/{}", accepted.header("location")), result);
    result
}

/// The first answer that is one.
async fn answered(served: &Served, place: &str) -> Answer {
    loop {
        let answer = served.get(place).await;
        if answer.status != StatusCode::ACCEPTED {
            return answer;
        }
        assert_eq!(answer.header("retry-after"), "1");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_in_the_background() {
    let served = Served::digits(ServiceOptions {
        later: Some(Later::Here(4)),
        ..options()
    })
    .await;
    let accepted = ask(&served, "/predict/digits@1", picture(3), "image/png").await;
    let later = answered(&served, &place(&accepted)).await;
    let now = served.post("/predict/digits@1", picture(3)).await;
    assert_eq!((later.status, later.json()), (StatusCode::OK, now.json()));

    // What would have failed at once fails later, with the same status.
    let accepted = ask(&served, "/predict/digits", "no picture", "image/png").await;
    let later = answered(&served, &place(&accepted)).await;
    assert_eq!(later.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(later.json()["kind"], "unsupported_media_type");
    // Asked again, it is the same: the answer stays.
    assert_eq!(
        answered(&served, &place(&accepted)).await.status,
        later.status
    );

    let absent = ask(&served, "/predict/nobody", picture(3), "image/png").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert!(!absent.text().contains("file:"), "{}", absent.text());
    for id in [
        "x",
        "00000000-0000-0000-0000-000000000000-0123456789abcdef",
        "..%2Fx",
    ] {
        let unknown = served.get(&format!("/predict/digits/later/{id}")).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_an_event_of_the_store() {
    let served = Served::digits(ServiceOptions {
        later: Some(Later::Events),
        ..options()
    })
    .await;
    let accepted = ask(&served, "/predict/digits", picture(7), "image/png").await;
    let place = place(&accepted);
    assert_eq!(served.get(&place).await.status, StatusCode::ACCEPTED);
    let stored = served
        .registry
        .store()
        .list("requests/")
        .await
        .expect("a list");
    let [request] = &stored[..] else {
        panic!("{stored:?}")
    };
    assert!(request.key.as_str().starts_with("requests/digits/default/"));
    // The function sees the whole bucket, of which the service's store is a part.
    let (parent, folder) = {
        let path = served.folder.path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (path.parent().expect("a folder").display().to_string(), name)
    };
    let bucket = open(&format!("file:{parent}"), &StoreOptions::default())
        .await
        .expect("a store");
    let options = BatchOptions {
        routes: Routes::default(),
        at_once: 1,
    };
    let batch = Batch::new(served.service.clone(), bucket, options);
    let work = Work::object(format!("{folder}/{}", request.key));
    for again in [false, true] {
        let outcomes = batch.run(std::slice::from_ref(&work), None).await;
        assert!(
            matches!(&outcomes[..], [Outcome::Done { already, .. }] if *already == again),
            "{outcomes:?}"
        );
    }
    let answer = served.get(&place).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json()["predictions"][0]["label"], "7");
}

#[tokio::test]
async fn a_host_that_answers_at_once_may() {
    let served = Served::digits(options()).await;
    let answer = ask(&served, "/predict/digits", picture(3), "image/png").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("preference-applied"), "");
}

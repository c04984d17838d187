//! What changes the store, over HTTP.

use std::time::Duration;

use axum::body::Body;
use dunlin_registry::{Alias, Draft, Role};
use dunlin_serving::{Access, admin_router, router_with_admin};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Served, options, picture};

const TOKEN: &str = "a-token-of-this-test";
const PRODUCTION: &str = "/admin/models/digits/aliases/production";

/// A service with versions 1 and 2 of digits, that its callers may change.
async fn changeable() -> Served {
    let mut served = Served::digits(options()).await;
    served.publish("digits").await;
    let access: Access = TOKEN.parse().expect("it is long enough");
    served.app = router_with_admin(served.service.clone(), access);
    served
}

struct Asked<'a>(&'a Served, Vec<(&'static str, String)>);

impl Asked<'_> {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.1 {
            request = request.header(*name, value);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        self.0.send(request.body(body).expect("a request")).await
    }
}

fn with_token(served: &Served) -> Asked<'_> {
    Asked(served, vec![("authorization", format!("Bearer {TOKEN}"))])
}

fn targets(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let targets = answer.json()["targets"].clone();
    let targets = targets.as_array().expect("targets").iter();
    targets
        .map(|target| json!([target["version"], target["weight"]]))
        .collect()
}

#[tokio::test]
async fn a_release_goes_forth_and_back() {
    let served = changeable().await;
    let admin = with_token(&served);
    let promote = format!("{PRODUCTION}/promote");
    let answer = admin.send("POST", &promote, &json!({"version": 1})).await;
    assert_eq!(targets(&answer), json!([[1, 1]]));
    let body = json!({"version": 2, "percent": 20, "reason": "a trial"});
    let answer = admin
        .send("POST", &format!("{PRODUCTION}/canary"), &body)
        .await;
    assert_eq!(targets(&answer), json!([[1, 80], [2, 20]]));
    assert_eq!(answer.json()["reason"], "a trial");
    let answer = admin.send("POST", &promote, &json!({"version": 2})).await;
    assert_eq!(targets(&answer), json!([[2, 1]]));
    let version = |answer: Answer| answer.json()["version"].clone();
    assert_eq!(version(served.post("/predict/digits", picture(7)).await), 2);
    // Without a body: nothing in it is needed.
    let rollback = format!("{PRODUCTION}/rollback");
    let answer = admin.send("POST", &rollback, &Value::Null).await;
    assert_eq!(targets(&answer), json!([[1, 1]]));
    // Version 2 goes on answering until version 1 is loaded.
    let mut answered = served.post("/predict/digits", picture(7)).await;
    for _ in 0..500 {
        if answered.json()["version"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        answered = served.post("/predict/digits", picture(7)).await;
    }
    assert_eq!(version(answered), 1);
    let answer = admin.send("POST", &rollback, &json!({})).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text());
    assert_eq!(answer.json()["kind"], "no_earlier_state");
    assert_eq!(answer.json()["model"], "digits");

    let all = admin
        .send("GET", "/admin/models/digits/aliases", &Value::Null)
        .await;
    assert_eq!(all.json()[0]["alias"], "production");
    assert_eq!(all.json()[0]["history"].as_array().expect("it").len(), 3);
    let gone = admin
        .send("DELETE", "/admin/models/digits/versions/2", &Value::Null)
        .await;
    assert_eq!(gone.json()["versions"], json!([2]));
    let gone = admin.send("DELETE", PRODUCTION, &Value::Null).await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text());
    let gone = admin.send("DELETE", PRODUCTION, &Value::Null).await;
    assert_eq!(gone.json()["kind"], "alias_not_found");
}

#[tokio::test]
async fn an_alias_is_compared_and_swapped() {
    let served = changeable().await;
    let mut admin = with_token(&served);
    let one = json!({"targets": [{"version": 1}]});
    let split = json!({"targets": [{"version": 1, "weight": 90}, {"version": 2, "weight": 10}]});
    admin.1.push(("if-none-match", "*".to_owned()));
    let made = admin.send("PUT", PRODUCTION, &one).await;
    assert_eq!(targets(&made), json!([[1, 1]]));
    let lost = admin.send("PUT", PRODUCTION, &split).await;
    assert_eq!(lost.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(lost.json()["kind"], "conflict");

    let read = with_token(&served)
        .send("GET", PRODUCTION, &Value::Null)
        .await;
    let etag = read.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for want in [StatusCode::OK, StatusCode::PRECONDITION_FAILED] {
        let mut admin = with_token(&served);
        admin.1.push(("if-match", etag.clone()));
        let swapped = admin.send("PUT", PRODUCTION, &split).await;
        assert_eq!(swapped.status, want, "{}", swapped.text());
    }
    let read = with_token(&served)
        .send("GET", PRODUCTION, &Value::Null)
        .await;
    assert_eq!(targets(&read), json!([[1, 90], [2, 10]]));
}

#[tokio::test]
async fn nobody_without_the_token_changes_anything() {
    let served = changeable().await;
    with_token(&served)
        .send(
            "POST",
            &format!("{PRODUCTION}/promote"),
            &json!({"version": 1}),
        )
        .await;
    let nobody = Asked(&served, Vec::new());
    let other = Asked(
        &served,
        vec![(
            "authorization",
            "Bearer another-token-altogether".to_owned(),
        )],
    );
    let basic = Asked(&served, vec![("authorization", TOKEN.to_owned())]);
    for asked in [nobody, other, basic] {
        for (method, path) in [
            ("GET", PRODUCTION),
            ("PUT", PRODUCTION),
            ("DELETE", PRODUCTION),
            ("DELETE", "/admin/models/digits/versions/1"),
        ] {
            let answer = asked.send(method, path, &Value::Null).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(answer.json()["kind"], "unauthorized");
            assert!(!answer.text().contains(TOKEN));
        }
        // Who only asks needs none.
        let answer = asked.send("GET", "/v2/models/digits", &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let (record, _) = served
        .registry
        .alias(&"digits".parse().expect("a name"), &Alias::production())
        .await
        .expect("it is still there");
    assert!(record.history.is_empty());
    assert!("short".parse::<Access>().is_err());
    assert!("sixteen or more, with blanks".parse::<Access>().is_err());
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let served = changeable().await;
    let admin = with_token(&served);
    let mut draft = Draft::new("digits".parse().expect("a name"));
    draft.attach(Role::Model, "onnx", "a graph without examples".into());
    served.registry.publish(draft).await.expect("version 3");
    let promote = format!("{PRODUCTION}/promote");
    for (method, path, body, status, kind) in [
        ("POST", &*promote, json!({"version": 3}), 409, "unproven"),
        (
            "POST",
            &promote,
            json!({"version": 9}),
            404,
            "version_not_found",
        ),
        (
            "POST",
            &promote,
            json!({"version": 0}),
            400,
            "invalid_request",
        ),
        ("POST", &promote, json!({}), 400, "invalid_request"),
        (
            "POST",
            &promote,
            json!({"version": 1, "percent": 5}),
            400,
            "invalid_request",
        ),
        (
            "PUT",
            PRODUCTION,
            json!({"targets": []}),
            400,
            "invalid_request",
        ),
        (
            "PUT",
            PRODUCTION,
            json!({"targets": [{"version": 1, "weight": 0}]}),
            400,
            "invalid_request",
        ),
        (
            "GET",
            "/admin/models/none/aliases",
            Value::Null,
            404,
            "model_not_found",
        ),
        (
            "GET",
            "/admin/models/a%2Fb/aliases",
            Value::Null,
            400,
            "invalid_name",
        ),
        (
            "DELETE",
            "/admin/models/digits/versions/production",
            Value::Null,
            400,
            "invalid_request",
        ),
        ("POST", PRODUCTION, Value::Null, 405, "method_not_allowed"),
        ("POST", "/admin", Value::Null, 404, "route_not_found"),
    ] {
        let answer = admin.send(method, path, &body).await;
        let place = format!("{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.status.as_u16(), status, "{place}");
        assert_eq!(answer.json()["kind"], kind, "{place}");
    }
}

#[tokio::test]
async fn the_admins_router_alone_answers_no_inference() {
    let mut served = Served::digits(options()).await;
    served.app = admin_router(served.service.clone(), Access::Guarded);
    let asked = Asked(&served, Vec::new());
    let promote = format!("{PRODUCTION}/promote");
    let answer = asked.send("POST", &promote, &json!({"version": 1})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = served.post("/predict/digits", picture(7)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

//! Requests that are watched: traces, guarded canaries, shadows, payloads that are kept.

use std::path::Path;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use dunlin_registry::{
    Advance, Alias, AliasRecord, Manifest, ModelName, Outcome, Plan, Role, Shadow, Version,
};
use dunlin_serving::ServiceOptions;
use http::{Request, StatusCode};
use serde_json::Value;

use crate::support::{Served, digits, options, picture};

/// Tries before something that happens beside the requests counts as not happening.
const TRIES: u32 = 3000;

fn name() -> ModelName {
    "digits".parse().expect("a name")
}

fn version(number: u64) -> Version {
    Version::new(number).expect("a number")
}

/// Publishes digits with its labels in another order: proven, and wrong.
async fn publish_wrong(served: &Served) -> Manifest {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |file: &str| {
        let (from, to) = (digits().join(file), folder.path().join(file));
        std::fs::copy(from, to).expect("copied");
    };
    std::fs::create_dir(folder.path().join("examples")).expect("made");
    copy("model.onnx");
    for digit in 0..10 {
        copy(&format!("examples/{digit}.png"));
    }
    let text = std::fs::read_to_string(digits().join("model.toml")).expect("text");
    let unlabelled = text.lines().filter(|line| !line.starts_with("label = "));
    let unlabelled: Vec<&str> = unlabelled.collect();
    write(folder.path(), "model.toml", &unlabelled.join("\n"));
    write(
        folder.path(),
        "labels.txt",
        "9\n8\n7\n6\n5\n4\n3\n2\n1\n0\n",
    );
    served
        .publish_from(folder.path().to_owned(), "digits")
        .await
}

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).expect("written");
}

/// Versions 1 and 2; all requests go to version 1.
async fn with_second(wrong: bool, options: ServiceOptions) -> Served {
    let served = Served::digits(options).await;
    if wrong {
        publish_wrong(&served).await;
    } else {
        served.publish("digits").await;
    }
    promote(&served, 1).await;
    served
}

async fn promote(served: &Served, number: u64) -> AliasRecord {
    let (name, alias) = (name(), Alias::production());
    let promoted = served
        .registry
        .promote(&name, &alias, version(number), None);
    promoted.await.expect("it is proven")
}

async fn ask(served: &Served, id: u64) -> Value {
    let request = Request::post("/predict/digits").header("x-request-id", format!("r-{id}"));
    let body = Body::from(picture((id % 10) as u8));
    let answer = served.send(request.body(body).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

async fn begin(served: &Served, gates: &str) {
    let plan = Plan {
        steps: vec![20, 60],
        min_requests: 20,
        hold: Duration::ZERO,
        gates: gates.parse().expect(gates),
    };
    let (name, alias) = (name(), Alias::production());
    let registry = &served.registry;
    let begun = registry.guarded_canary(&name, &alias, version(2), &plan, Some("a trial"));
    begun.await.expect("it begins");
}

/// Asks and looks, until the trial ends.
async fn run(served: &Served) -> Vec<Advance> {
    let (name, alias) = (name(), Alias::production());
    let mut passed = Vec::new();
    for id in 0..u64::from(TRIES) {
        ask(served, id).await;
        if id % 10 != 0 {
            continue;
        }
        // What runs beside the requests gets its turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
        served.service.write_counts().await;
        let advance = served.registry.advance(&name, &alias).await;
        let advance = advance.expect("it is looked at");
        if advance.outcome == Outcome::Waiting {
            continue;
        }
        passed.push(advance.clone());
        if advance.outcome != Outcome::Advanced {
            return passed;
        }
    }
    panic!("the trial does not end: {passed:?}");
}

/// The version that has all requests, why, and how many states came before.
async fn settled(served: &Served) -> (u64, String, usize) {
    let (record, _) = served
        .registry
        .alias(&name(), &Alias::production())
        .await
        .expect("there is one");
    assert_eq!(record.targets.len(), 1, "{record:?}");
    let reason = record.change.reason.unwrap_or_default();
    (
        record.targets[0].version.get(),
        reason,
        record.history.len(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_goes_step_by_step_to_all_requests() {
    let served = with_second(false, options()).await;
    begin(
        &served,
        "errors=1%,p95=10s,agreement=95%"
            .replace("10s", "10000ms")
            .as_str(),
    )
    .await;
    let passed = run(&served).await;
    let outcomes: Vec<_> = passed.iter().map(|advance| advance.outcome).collect();
    assert_eq!(outcomes, [Outcome::Advanced, Outcome::Promoted]);
    let (now, why, states) = settled(&served).await;
    assert_eq!((now, states), (2, 3), "{why}");
    assert!(why.contains("agreement 100 %"), "{why}");
    // One rollback undoes the whole canary.
    let back = served
        .registry
        .roll_back(&name(), &Alias::production(), None)
        .await
        .expect("there is an earlier state");
    assert_eq!(back.targets[0].version, version(1));
}

/// A host that is frozen between requests: nothing goes on unless it is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_goes_on_after_a_reply_what_follows_is_done_when_it_has_settled() {
    for (wrong, percent, ends) in [
        (true, 100, Some(Outcome::RolledBack)),
        (false, 30, Some(Outcome::Promoted)),
        (true, 0, None),
    ] {
        let mut options = options();
        options.background = false;
        options.mirror_percent = percent;
        let served = with_second(wrong, options).await;
        begin(&served, "agreement=90%").await;
        let mut ended = None;
        for id in 0..600 {
            ask(&served, id).await;
            served.service.settle(Duration::from_mins(1)).await;
            // Settled are the comparisons; counts are written once a second.
            served.service.write_counts().await;
            let advance = served.registry.advance(&name(), &Alias::production()).await;
            let outcome = advance.expect("it is looked at").outcome;
            if !matches!(outcome, Outcome::Waiting | Outcome::Advanced) {
                ended = Some(outcome);
                break;
            }
            if percent == 0 && id > 60 {
                break;
            }
        }
        assert_eq!(ended, ends, "{percent} %");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_answers_otherwise_is_rolled_back() {
    let served = with_second(true, options()).await;
    begin(&served, "errors=1%,agreement=90%").await;
    let passed = run(&served).await;
    assert_eq!(passed[0].outcome, Outcome::RolledBack, "{passed:?}");
    let (now, why, _) = settled(&served).await;
    assert_eq!(now, 1);
    assert!(why.contains("agreement 0 %"), "{why}");
    assert!(why.contains("failed at 20 %"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_too_slow_is_rolled_back() {
    let served = with_second(false, options()).await;
    begin(&served, "p95=0.001ms").await;
    run(&served).await;
    let (now, why, _) = settled(&served).await;
    assert!(now == 1 && why.contains("p95"), "{now}: {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_not_load_is_rolled_back_and_no_request_is_lost() {
    for background in [true, false] {
        let mut options = options();
        options.background = background;
        options.retry_failed = Duration::from_hours(1);
        let served = with_second(true, options).await;
        let second = served.registry.manifest(&name(), version(2)).await;
        let second = second.expect("it is there");
        let labels = second.artifact(&Role::Labels, "text").expect("labels");
        let file = format!("blobs/sha256/{}", labels.digest.hex());
        std::fs::remove_file(served.folder.path().join(file)).expect("removed");
        // The version that stands in has to be loaded.
        ask(&served, 0).await;
        begin(&served, "errors=5%").await;
        let passed = run(&served).await;
        assert_eq!(passed[0].outcome, Outcome::RolledBack, "{passed:?}");
        let (now, why, _) = settled(&served).await;
        assert!(now == 1 && why.contains("model_unusable"), "{why}");
    }
}

/// Asks until a metric has reached a value.
async fn until(served: &Served, metric: &str, value: u64) {
    for id in 0..u64::from(TRIES) {
        assert_eq!(ask(served, id).await["version"], 1);
        if served.metric(metric).await >= value {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{metric} does not come to {value}");
}

async fn shadow(served: &Served, percent: u32) {
    let version = version(2);
    let shadow = Some(Shadow { version, percent });
    let alias = Alias::production();
    let set = served.registry.set_shadow(&name(), &alias, shadow).await;
    assert_eq!(set.expect("it is proven").shadow, shadow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_asked_too_and_nobody_gets_its_answers() {
    const DIFFERED: &str =
        "dunlin_mirrored_total{model=\"digits\",outcome=\"differed\",version=\"2\"}";
    for keeps_inputs in [false, true] {
        let mut options = options();
        if keeps_inputs {
            options.capture.share = 1.0;
            options.capture.fields = vec!["body".into()];
        }
        let served = with_second(true, options).await;
        shadow(&served, 100).await;
        until(&served, DIFFERED, 3).await;
        let mut kept = Vec::new();
        for _ in 0..TRIES {
            kept = served
                .registry
                .differences(&name(), 10)
                .await
                .expect("read");
            if kept.len() >= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let worst = &kept[0];
        assert!(worst["distance"].as_f64() >= kept[1]["distance"].as_f64());
        let label = |side: &str| worst[side]["answer"]["predictions"][0]["label"].clone();
        assert_ne!(label("first"), label("second"), "{worst}");
        assert_eq!(
            worst["input"]["body_base64"].is_string(),
            keeps_inputs,
            "{worst}"
        );
        // What serves for good needs no shadow.
        assert_eq!(promote(&served, 2).await.shadow, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_does_not_load_harms_nobody() {
    let served = with_second(true, options()).await;
    let second = served.registry.manifest(&name(), version(2)).await;
    let second = second.expect("it is there");
    let labels = second.artifact(&Role::Labels, "text").expect("labels");
    let file = format!("blobs/sha256/{}", labels.digest.hex());
    std::fs::remove_file(served.folder.path().join(file)).expect("removed");
    shadow(&served, 50).await;
    let dropped = "dunlin_mirrored_total{model=\"digits\",outcome=\"dropped\",version=\"2\"}";
    // Its first request begins the load, whose end makes its metrics known.
    let other = "dunlin_model_loads_total{model=\"digits\",outcome=\"failure\",version=\"2\"}";
    until(&served, other, 1).await;
    until(&served, dropped, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_fields_are_kept_and_they_expire() {
    for background in [true, false] {
        let mut options = options();
        options.background = background;
        options.capture.share = 1.0;
        options.capture.fields = vec!["logits".into()];
        options.capture.days = 2;
        let served = Served::digits(options).await;
        assert_eq!(ask(&served, 7).await["version"], 1);
        let store = served.registry.store();
        let mut kept = Vec::new();
        for _ in 0..TRIES {
            kept = store.list("captures/").await.expect("listed");
            if !kept.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let object = store.get(&kept[0].key).await.expect("it is there");
        let document: Value = serde_json::from_slice(&object.bytes).expect("JSON");
        assert_eq!(document["request_id"], "r-7");
        assert_eq!(document["outputs"][0]["name"], "logits");
        assert_eq!(document["input"], Value::Null, "{document}");

        let expire = async |days: u64, remove| {
            let now = SystemTime::now() + Duration::from_hours(24 * days);
            let expired = served.registry.expire(now, remove).await;
            expired.expect("it is looked at").len()
        };
        assert_eq!(expire(2, true).await, 0, "the day has not passed");
        assert_eq!(expire(4, false).await, 1);
        assert_eq!(expire(4, true).await, 1);
        assert_eq!(expire(4, true).await, 0);
    }
}

#[tokio::test]
async fn a_trace_is_taken_up_and_answered_in_its_own_form() {
    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    let served = Served::digits(options()).await;
    let amazon = format!(
        "Root=1-{}-{};Parent=53995c3f42cd8ad8;Sampled=1",
        &ID[..8],
        &ID[8..]
    );
    let parent = format!("00-{ID}-b7ad6b7169203331-01");
    let cases = [
        (vec![("traceparent", parent.as_str())], "traceresponse"),
        (
            vec![("x-amzn-trace-id", amazon.as_str())],
            "x-amzn-trace-id",
        ),
        (
            vec![
                ("x-amzn-trace-id", amazon.as_str()),
                ("traceparent", parent.as_str()),
            ],
            "traceresponse",
        ),
        (vec![("traceparent", "00-not-one-01")], ""),
        (vec![], ""),
    ];
    for (headers, answered) in cases {
        let mut request = Request::get("/v2/health/live");
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = served
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        for name in ["traceresponse", "x-amzn-trace-id"] {
            let got = answer.header(name).replace("1-0af76519-", "0af76519");
            assert_eq!(got.contains(ID), name == answered, "{headers:?}: {got}");
            assert!(!got.contains("b7ad6b7169203331"), "its own span: {got}");
        }
    }
}

//! One request suite, every host: `dunlin serve`, and the built Lambda `bootstrap` under AWS's own
//! emulator (`DUNLIN_TEST_RIE` names it) and cargo-lambda's (`DUNLIN_TEST_CARGO_LAMBDA`), behind
//! every gateway.
//!
//! What is not there (a binary that is not built, an emulator that is not named) is reported as
//! skipped; `.ci/run lambda` has it all.

use std::path::PathBuf;

use dunlin_tests::hosts::{Emulator, Function, Gateway, Server, binary, publish};
use dunlin_tests::requests::{self, Host as _};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The digits sample in a store of its own.
struct Sample {
    bootstrap: PathBuf,
    dunlin: PathBuf,
    url: String,
    _folder: TempDir,
}

fn sample() -> Option<Sample> {
    let (Some(dunlin), Some(bootstrap)) = (binary("dunlin"), binary("bootstrap")) else {
        eprintln!("skipped: `dunlin` and `bootstrap` are not built");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let url = publish(&dunlin, folder.path());
    Some(Sample {
        bootstrap,
        dunlin,
        url,
        _folder: folder,
    })
}

fn tool(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    path
}

#[tokio::test]
async fn the_local_server_answers_the_suite() {
    let Some(sample) = sample() else { return };
    let server = Server::start(&sample.dunlin, &sample.url).await;
    requests::run(&server).await;
}

#[tokio::test]
async fn the_function_answers_the_suite_under_awss_emulator() {
    let Some(program) = tool("DUNLIN_TEST_RIE") else {
        return;
    };
    behind_every_gateway(Emulator::Aws(program)).await;
}

#[tokio::test]
async fn the_function_answers_the_suite_under_cargo_lambda() {
    let Some(program) = tool("DUNLIN_TEST_CARGO_LAMBDA") else {
        return;
    };
    behind_every_gateway(Emulator::CargoLambda(program)).await;
}

async fn behind_every_gateway(emulator: Emulator) {
    let Some(sample) = sample() else { return };
    let mut function = Function::start(&emulator, &sample.bootstrap, &sample.url).await;
    for gateway in Gateway::ALL {
        function = function.behind(gateway);
        requests::run(&function).await;
    }
}

/// The function that changes the store: behind every gateway, and for nobody without the token.
#[tokio::test]
async fn the_admin_function_moves_aliases_and_takes_them_back() {
    let Some(program) = tool("DUNLIN_TEST_RIE") else {
        return;
    };
    let (Some(sample), Some(admin)) = (sample(), binary("bootstrap-admin")) else {
        eprintln!("skipped: `bootstrap-admin` is not built");
        return;
    };
    let token = "a-token-of-this-test";
    let settings = [
        ("DUNLIN_STORE", sample.url.clone()),
        ("DUNLIN_ADMIN_TOKEN", token.to_owned()),
    ];
    let mut function = Function::launch(&Emulator::Aws(program), &admin, &settings).await;
    // A schedule needs no token: who may invoke the function may look.
    let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    assert_eq!(
        function.invoke(&schedule).await,
        json!([]),
        "no canary is guarded"
    );
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("content-type", "application/json".to_owned()),
    ];
    let alias = |name: &str| format!("/admin/models/digits/aliases/{name}");
    for gateway in Gateway::ALL {
        function = function.behind(gateway);
        let name = format!("{gateway:?}");
        let promote = format!("{}/promote", alias(&name));
        let body = br#"{"version": 1}"#;
        let refused = function.send("POST", &promote, &headers[1..], body).await;
        assert_eq!(refused.status, 401, "{gateway:?}");
        let missing = function.send("GET", &alias(&name), &headers, &[]).await;
        assert_eq!(missing.status, 404, "{gateway:?}: {:?}", missing.body);
        let moved = function.send("POST", &promote, &headers, body).await;
        assert_eq!(moved.status, 200, "{gateway:?}: {:?}", moved.body);
        assert_eq!(moved.json()["targets"][0]["version"], 1);
        let shown = function.send("GET", &alias(&name), &headers, &[]).await;
        let etag = shown.header("etag").to_owned();
        let targets = br#"{"targets": [{"version": 1, "weight": 7}]}"#;
        for status in [200, 412] {
            let mut headers = headers.to_vec();
            headers.push(("if-match", etag.clone()));
            let set = function.send("PUT", &alias(&name), &headers, targets).await;
            assert_eq!(set.status, status, "{gateway:?}: {:?}", set.body);
        }
        let rollback = format!("{}/rollback", alias(&name));
        let back = function.send("POST", &rollback, &headers, &[]).await;
        assert_eq!(back.json()["targets"][0]["weight"], 1, "{gateway:?}");
        let gone = function.send("DELETE", &alias(&name), &headers, &[]).await;
        assert_eq!(gone.status, 200, "{gateway:?}: {:?}", gone.body);
        let predict = function
            .send("GET", "/v2/models/digits", &headers, &[])
            .await;
        assert_eq!(predict.status, 404, "{gateway:?}");
    }
}

/// What an invocation has changed is in the log, as `CloudWatch` reads it, with the ids to find it by.
#[tokio::test]
async fn an_invocation_tells_its_metrics_and_no_payload() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let Some(program) = tool("DUNLIN_TEST_RIE") else {
        return;
    };
    let Some(sample) = sample() else { return };
    let function = Function::start(&Emulator::Aws(program), &sample.bootstrap, &sample.url).await;
    let picture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/digits/examples/7.png"
    );
    let picture = std::fs::read(picture).expect("a picture");
    let headers = [
        ("x-request-id", "order-17".to_owned()),
        ("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01")),
        ("content-type", "image/png".to_owned()),
    ];
    let reply = function
        .send("POST", "/predict/digits", &headers, &picture)
        .await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let trace = reply.header("traceresponse");
    assert!(trace.starts_with(&format!("00-{TRACE}-")), "{trace}");

    let metrics = || -> Vec<Value> {
        let log = function.log();
        let lines = log.iter().filter(|line| line.contains("\"_aws\""));
        // The last line may be on its way still.
        let lines = lines.filter_map(|line| serde_json::from_str(line).ok());
        lines.collect()
    };
    // The emulator passes the log on beside the reply.
    let mut own = Value::Null;
    for _ in 0..500 {
        let found = metrics().into_iter().find(|line| {
            line["request_id"] == "order-17" && line["nv_inference_request_success"] == 1
        });
        if let Some(found) = found {
            own = found;
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(
        (&own["model"], &own["version"]),
        (&json!("digits"), &json!("1"))
    );
    assert_eq!(own["trace_id"], TRACE);
    let directive = &own["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "Dunlin");
    assert_eq!(directive["Dimensions"], json!([["model", "version"]]));
    for metric in directive["Metrics"].as_array().expect("metrics") {
        let name = metric["Name"].as_str().expect("a name");
        assert!(own[name].is_number(), "{name} in {own}");
    }
    let infer = &own["nv_inference_compute_infer_duration_us"];
    assert!(infer.as_f64().is_some_and(|us| us > 0.0), "{own}");
    // The cold start, split.
    let all = metrics();
    for part in ["open", "preload"] {
        let told =
            |line: &Value| line["part"] == part && line["dunlin_start_duration_us"].is_number();
        assert!(all.iter().any(told), "{part}: {all:?}");
    }
    for phase in ["fetch", "load", "warm"] {
        let told = |line: &Value| {
            line["phase"] == phase && line["dunlin_model_load_duration_us"].is_number()
        };
        assert!(all.iter().any(told), "{phase}: {all:?}");
    }
    let text = function.log().join("\n");
    assert!(!text.contains("predictions"), "{text}");
}

/// Captured events, as they are and asking for something that exists.
#[tokio::test]
async fn captured_events_are_answered_in_their_own_form() {
    let Some(program) = tool("DUNLIN_TEST_RIE") else {
        return;
    };
    let Some(sample) = sample() else { return };
    let function = Function::start(&Emulator::Aws(program), &sample.bootstrap, &sample.url).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lambda");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the events are there") {
        let path = file.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).expect("the event");
        let mut event: Value = serde_json::from_str(&text).expect("JSON");
        let answer = function.invoke(&event).await;
        let body: Value =
            serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default();
        assert_eq!(answer["statusCode"], 404, "{}: {answer}", path.display());
        assert_eq!(
            body["kind"],
            "route_not_found",
            "{}: {answer}",
            path.display()
        );

        ask_for(&mut event, "GET", "/v2/health/live");
        let answer = function.invoke(&event).await;
        assert_eq!(answer["statusCode"], 200, "{}: {answer}", path.display());
        let (single, multi) = (&answer["headers"], &answer["multiValueHeaders"]);
        let rest = event.get("resource").is_some();
        assert!(
            if rest { multi } else { single }.is_object(),
            "{}: {answer}",
            path.display()
        );
    }
    assert!(count >= 8, "{count} events");
}

fn ask_for(event: &mut Value, method: &str, path: &str) {
    let version_2 = event["version"] == "2.0";
    if version_2 {
        let stage = event["requestContext"]["stage"]
            .as_str()
            .unwrap_or("$default");
        let prefix = if stage == "$default" {
            String::new()
        } else {
            format!("/{stage}")
        };
        event["rawPath"] = json!(format!("{prefix}{path}"));
        event["requestContext"]["http"]["method"] = json!(method);
    } else {
        event["path"] = json!(path);
        event["httpMethod"] = json!(method);
    }
}

/// An event that is none of HTTP fails its invocation, and the next one is answered.
#[tokio::test]
async fn an_event_that_is_no_request_fails_alone() {
    let Some(program) = tool("DUNLIN_TEST_RIE") else {
        return;
    };
    let Some(sample) = sample() else { return };
    let function = Function::start(&Emulator::Aws(program), &sample.bootstrap, &sample.url).await;
    let answer = function.invoke(&json!({"Records": []})).await;
    assert!(answer["errorType"].is_string(), "{answer}");
    let event = Gateway::HttpApi.event("GET", "/v2/health/live", &[], &[]);
    assert_eq!(function.invoke(&event).await["statusCode"], 200);
    // API Gateway decodes paths: a NUL that was encoded arrives as it is.
    let event = Gateway::HttpApi.event("GET", "/v2/models/a\0b", &[], &[]);
    assert_eq!(function.invoke(&event).await["statusCode"], 400);
}

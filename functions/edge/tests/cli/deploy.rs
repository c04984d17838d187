//! What is deployed, before it is: routes, the local twin, the plan, the price.

use serde_json::Value;

use crate::exit::{FAILED, NOT_FOUND, OK, USAGE};
use crate::process::{Dunlin, digits};

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/template.yaml");
const NOT_DEPLOYED: &[u8] = br#"{"message":"Not Found"}"#;
const TOKEN: &str = "a-token-for-the-tests";

fn routes(dunlin: &Dunlin) -> Vec<(String, String, bool)> {
    let told = dunlin.run(&["routes", "--json"], OK).json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = told.as_array().expect("a list").iter();
    all.map(|one| {
        (
            text(&one["method"]),
            text(&one["path"]),
            one["admin"] == true,
        )
    })
    .collect()
}

/// A path of the route, for a model that is there.
fn path(route: &str) -> String {
    route
        .replace("{model}", "digits")
        .replace("{version}", "1")
        .replace("{alias}", "production")
}

#[test]
fn the_twin_answers_the_routes_of_the_template_and_no_other() {
    let dunlin = Dunlin::new();
    dunlin.run(&["push", &digits("")], OK);
    for (arguments, admin) in [
        (&["--template", TEMPLATE][..], false),
        (
            &[
                "--template",
                TEMPLATE,
                "--parameter",
                "AdminAccess=IAM",
                "--admin-token",
                TOKEN,
            ],
            true,
        ),
    ] {
        let twin = dunlin.serve(arguments);
        for (method, route, of_admin) in routes(&dunlin) {
            let (status, body) = twin.ask(&format!("{method} {} HTTP/1.1\r\n", path(&route)), b"");
            let deployed = body != NOT_DEPLOYED;
            assert_eq!(deployed, admin || !of_admin, "{method} {route}");
            assert!(deployed || status == 404, "{method} {route}: {status}");
        }
        for (method, other) in [
            ("HEAD", "/v2"),
            ("DELETE", "/v2/models/digits"),
            ("GET", "/predict/digits"),
            ("GET", "/"),
            ("GET", "/v2/models/digits/versions"),
            ("POST", "/admin/models/digits"),
        ] {
            let (status, body) = twin.ask(&format!("{method} {other} HTTP/1.1\r\n"), b"");
            assert_eq!(status, 404, "{method} {other}");
            assert!(method == "HEAD" || body == NOT_DEPLOYED, "{method} {other}");
        }
        let picture = std::fs::read(digits("examples/7.png")).expect("a picture");
        let (status, body) = twin.post("/predict/digits", "image/png", &picture);
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(answer["predictions"][0]["label"], "7");
    }
}

#[test]
fn a_twin_that_would_be_another_api_does_not_start() {
    let dunlin = Dunlin::new();
    let folder = dunlin.folder.path();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let foreign = file(
        "foreign.yaml",
        "Resources:\n  R:\n    Type: AWS::ApiGatewayV2::Route\n    Properties: {RouteKey: GET /v3}\n",
    );
    let empty = file("empty.yaml", "Resources: {}\n");
    let broken = file("broken.yaml", "Resources: [");
    for (arguments, code, words) in [
        (&["--template", &foreign][..], USAGE, "GET /v3"),
        (&["--template", &empty], USAGE, "AWS::ApiGatewayV2::Route"),
        (&["--template", &broken], USAGE, "broken.yaml"),
        (&["--template", "nowhere.yaml"], NOT_FOUND, "nowhere.yaml"),
        (
            &["--template", TEMPLATE, "--parameter", "Nope=1"],
            USAGE,
            "Nope",
        ),
        (
            &["--template", TEMPLATE, "--parameter", "AdminAccess=IAM"],
            USAGE,
            "--admin-token",
        ),
        (&["--parameter", "AdminAccess=IAM"], USAGE, "--template"),
    ] {
        let serve = [&["serve", "--listen", "127.0.0.1:0"][..], arguments].concat();
        let ended = dunlin.run(&serve, code);
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let dunlin = Dunlin::new();
    let plan = |more: &[&str]| {
        let deploy = ["deploy", "--dry-run", "--json", "--template", TEMPLATE];
        dunlin.run(&[&deploy[..], more].concat(), OK).json()
    };
    let command = |plan: &Value, at: usize| {
        let words = plan["commands"][at]["command"].as_array().expect("words");
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        words.join(" ")
    };
    let bare = plan(&["--stack", "models", "--region", "eu-west-1"]);
    assert!(command(&bare, 0).starts_with("sam build --beta-features --template "));
    assert!(command(&bare, 1).starts_with("sam deploy "));
    assert!(command(&bare, 1).contains("--stack-name models --resolve-s3"));
    assert!(command(&bare, 1).contains("--region eu-west-1 --confirm-changeset"));
    assert_eq!(
        bare["commands"][0]["environment"]["CARGO_PROFILE_RELEASE_STRIP"],
        "symbols"
    );
    assert_eq!(bare["architecture"], "arm64");
    assert_eq!(bare["resources"]["AWS::Serverless::Function"], 3);
    assert!(bare["resources"]["AWS::ApiGatewayV2::Route"].as_u64() > Some(10));

    let full = plan(&[
        "--parameter",
        "AdminAccess=IAM",
        "--parameter",
        "PredictProvisioned=2",
        "--yes",
    ]);
    assert_eq!(full["resources"]["AWS::Serverless::Function"], 4);
    assert!(command(&full, 0).contains("--parameter-overrides AdminAccess=\"IAM\""));
    assert!(!command(&full, 1).contains("--confirm-changeset"));
    let idle = full["idle"].to_string();
    assert!(
        idle.contains("2 provisioned environments of 1769 MB"),
        "{idle}"
    );

    let text = dunlin
        .run(&["deploy", "--dry-run", "--template", TEMPLATE], OK)
        .out;
    assert!(text.contains("nothing is done"), "{text}");
    dunlin.run(
        &["deploy", "--dry-run", "--template", "nowhere.yaml"],
        NOT_FOUND,
    );
}

#[test]
fn a_published_model_has_its_price() {
    let dunlin = Dunlin::new();
    dunlin.run(&["push", &digits("")], OK);
    let told = dunlin.run(&["cost", "digits", "--json"], OK).json();
    assert!(
        told["prices"]["date"]
            .as_str()
            .is_some_and(|date| date.len() == 10)
    );
    let rows = told["rows"].as_array().expect("rows");
    let row = |cpu: &str, memory: u64| {
        rows.iter()
            .find(|row| row["processor"] == cpu && row["memory_mb"] == memory)
            .unwrap_or_else(|| panic!("{cpu} {memory}"))
    };
    let dollars = |row: &Value, cold: usize| row["dollars"][cold].as_f64().expect("dollars");
    for cpu in ["x86-64", "arm64"] {
        for memory in [256, 512, 1024, 1769, 3008, 5120, 10_240] {
            let row = row(cpu, memory);
            assert!(dollars(row, 0) > 1.2 && dollars(row, 0) < dollars(row, 1));
            assert!(dollars(row, 1) < dollars(row, 2));
        }
    }
    let of = |arguments: &[&str]| {
        let told = dunlin
            .run(&[&["cost", "digits", "--json"], arguments].concat(), OK)
            .json();
        dollars(&told["rows"][3], 0)
    };
    // 101 ms at 1769 MB: 1e6 * 0.101 * 1769/1024 * 0.0000166667 + 0.20.
    assert!((of(&["--latency-ms", "100", "--no-api"]) - 3.108).abs() < 0.01);
    let text = dunlin.run(&["cost", "digits"], OK).out;
    assert!(
        text.contains("Prices of 20") && text.contains("10% COLD"),
        "{text}"
    );
    dunlin.run(&["cost", "nothing"], NOT_FOUND);
}

#[test]
fn the_doctor_finds_a_good_store_good_and_tells_the_cure_for_a_bad_one() {
    let dunlin = Dunlin::new();
    let findings = dunlin.run(&["doctor", "--json"], OK).json();
    let states: Vec<_> = findings
        .as_array()
        .expect("findings")
        .iter()
        .map(|f| (&f["check"], &f["state"]))
        .collect();
    for check in ["version", "store", "writing", "conditions", "clock"] {
        assert!(
            states.iter().any(|(c, s)| *c == check && *s == "good"),
            "{check}: {states:?}"
        );
    }
    assert!(
        !dunlin.store_folder().join("doctor").exists()
            || std::fs::read_dir(dunlin.store_folder().join("doctor"))
                .is_ok_and(|mut left| left.next().is_none())
    );

    let nowhere = [
        "doctor",
        "--store",
        "s3://nowhere",
        "--s3-endpoint",
        "http://127.0.0.1:9",
    ];
    let ended = dunlin.run(&nowhere, FAILED);
    assert!(
        ended.out.contains("BAD") && ended.out.contains("cure:"),
        "{}",
        ended.out
    );
}

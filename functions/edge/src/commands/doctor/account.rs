//! The account: who asks, the stack, and its functions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Finding;
use crate::aws::{NO_CLI, Told, aws, outputs, text};

/// A stack's outputs, and what there is to say of it.
pub(super) fn stack(name: &str) -> (BTreeMap<String, String>, Vec<Finding>) {
    let mut findings = Vec::new();
    match aws(&["sts", "get-caller-identity"]) {
        Told::Json(who) => findings.push(Finding::good("credentials", text(&who["Arn"]))),
        Told::Refused(why) => findings.push(Finding::bad(
            "credentials",
            why,
            "aws configure, or aws sso login",
        )),
        Told::Absent => {
            findings.push(Finding::warning("credentials", "not looked at", NO_CLI));
            return (BTreeMap::new(), findings);
        }
    }
    let told = aws(&["cloudformation", "describe-stacks", "--stack-name", name]);
    let stack = match told {
        Told::Json(told) => told["Stacks"][0].clone(),
        Told::Refused(why) => {
            let cure = format!("dunlin deploy --stack {name}; the region is AWS_REGION");
            findings.push(Finding::bad("stack", why, cure));
            return (BTreeMap::new(), findings);
        }
        Told::Absent => return (BTreeMap::new(), findings),
    };
    let status = text(&stack["StackStatus"]);
    let outputs = outputs(&stack);
    findings.push(
        if status.ends_with("COMPLETE") && !status.contains("ROLLBACK") {
            Finding::good("stack", format!("{name}: {status}"))
        } else {
            let cure = format!(
                "aws cloudformation describe-stack-events --stack-name {name} says what failed"
            );
            Finding::bad("stack", format!("{name}: {status}"), cure)
        },
    );
    (outputs, findings)
}

/// The functions of a stack: there, of one kind of processor, and predict answers.
pub(super) fn functions(outputs: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (output, check) in [
        ("PredictFunction", "predict"),
        ("BatchFunction", "batch"),
        ("PublishFunction", "publish"),
        ("AdminFunction", "admin"),
    ] {
        let Some(function) = outputs.get(output) else {
            continue;
        };
        let told = aws(&[
            "lambda",
            "get-function-configuration",
            "--function-name",
            function,
        ]);
        findings.push(match told {
            Told::Json(told) => {
                let state = told["State"].as_str().unwrap_or("Active");
                let seen = format!(
                    "{function}: {state}, {} MB, {}",
                    told["MemorySize"],
                    text(&told["Architectures"][0])
                );
                match state {
                    "Active" | "Inactive" => Finding::good(check, seen),
                    _ => Finding::bad(
                        check,
                        format!("{seen}: {}", text(&told["StateReason"])),
                        "dunlin deploy again",
                    ),
                }
            }
            Told::Refused(why) => Finding::bad(
                check,
                why,
                "dunlin deploy again; lambda:GetFunctionConfiguration to look",
            ),
            Told::Absent => Finding::warning(check, "not looked at", NO_CLI),
        });
    }
    if let Some(function) = outputs.get("PredictFunction") {
        findings.push(answers(function));
    }
    findings
}

/// Whether `predict` is ready, asked as its API asks it.
fn answers(function: &str) -> Finding {
    let event = json!({
        "version": "2.0",
        "routeKey": "GET /v2/health/ready",
        "rawPath": "/v2/health/ready",
        "rawQueryString": "",
        "headers": {},
        "isBase64Encoded": false,
        "requestContext": {"http": {"method": "GET", "path": "/v2/health/ready", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "dunlin"},
            "accountId": "", "apiId": "", "domainName": "", "domainPrefix": "", "requestId": "doctor", "routeKey": "", "stage": "$default", "time": "", "timeEpoch": 0},
    })
    .to_string();
    let Ok(folder) = std::env::temp_dir().canonicalize() else {
        return Finding::warning("ready", "not looked at", "TMPDIR names no folder");
    };
    let file = folder.join(format!("dunlin-doctor-{}", std::process::id()));
    let path = file.display().to_string();
    let told = aws(&[
        "lambda",
        "invoke",
        "--function-name",
        function,
        "--cli-binary-format",
        "raw-in-base64-out",
        "--payload",
        &event,
        &path,
    ]);
    let reply = std::fs::read(&file)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    // It may never have been written.
    let _ = std::fs::remove_file(&file);
    match told {
        Told::Absent => Finding::warning("ready", "not looked at", NO_CLI),
        Told::Refused(why) => Finding::bad(
            "ready",
            why,
            "lambda:InvokeFunction to look; docs/deploy.md",
        ),
        Told::Json(_) => match reply {
            Some(reply) if reply["statusCode"] == 200 => Finding::good("ready", "predict is ready"),
            Some(reply) => {
                let seen = format!(
                    "predict answers {}: {}",
                    reply["statusCode"],
                    text(&reply["body"])
                );
                Finding::bad(
                    "ready",
                    seen,
                    "its log says more; dunlin doctor --store looks at the store",
                )
            }
            None => Finding::bad(
                "ready",
                "predict gave no answer",
                "its log (CloudWatch) says why",
            ),
        },
    }
}

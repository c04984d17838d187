//! The account, through the AWS command line: this program signs nothing but S3's requests.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use super::Finding;

const NO_CLI: &str = "install the AWS command line (aws), or look by hand";

/// What a command of the AWS command line gives.
enum Told {
    Json(Value),
    /// It ended with an error: its message.
    Refused(String),
    /// There is no such program.
    Absent,
}

fn aws(arguments: &[&str]) -> Told {
    let mut command = Command::new("aws");
    command
        .args(arguments)
        .args(["--output", "json", "--no-cli-pager"]);
    match command.output() {
        Err(_) => Told::Absent,
        Ok(output) if output.status.success() => {
            Told::Json(serde_json::from_slice(&output.stdout).unwrap_or_default())
        }
        Ok(output) => Told::Refused(
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .replace('\n', " "),
        ),
    }
}

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
    let outputs: BTreeMap<_, _> = stack["Outputs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"])))
        .collect();
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

/// What protects the bucket, and where it is.
pub(super) fn bucket(bucket: &str) -> Vec<Finding> {
    let told = aws(&["s3api", "get-bucket-location", "--bucket", bucket]);
    let region = match told {
        Told::Absent => return vec![Finding::warning("bucket", "not looked at", NO_CLI)],
        Told::Refused(why) => {
            return vec![Finding::warning(
                "bucket",
                why,
                "s3:GetBucketLocation to look",
            )];
        }
        // S3's first region has no name.
        Told::Json(told) => told["LocationConstraint"]
            .as_str()
            .unwrap_or("us-east-1")
            .to_owned(),
    };
    let mut findings = vec![of_region(
        &region,
        std::env::var("AWS_REGION")
            .or(std::env::var("AWS_DEFAULT_REGION"))
            .ok(),
    )];
    let told = aws(&["s3api", "get-bucket-policy", "--bucket", bucket]);
    findings.push(match told {
        Told::Json(told) => policy(&text(&told["Policy"])),
        Told::Refused(why) if why.contains("NoSuchBucketPolicy") => policy(""),
        Told::Refused(why) => Finding::warning("policy", why, "s3:GetBucketPolicy to look"),
        Told::Absent => Finding::warning("policy", "not looked at", NO_CLI),
    });
    let told = aws(&["s3api", "get-public-access-block", "--bucket", bucket]);
    findings.push(match told {
        Told::Json(told) => {
            let blocked = told["PublicAccessBlockConfiguration"].as_object();
            if blocked.is_some_and(|all| all.len() == 4 && all.values().all(|one| one == true)) {
                Finding::good("privacy", "public access is blocked")
            } else {
                Finding::bad(
                    "privacy",
                    "public access is not wholly blocked",
                    "block all four kinds, as infra/template.yaml does",
                )
            }
        }
        Told::Refused(why) if why.contains("NoSuchPublicAccessBlock") => Finding::bad(
            "privacy",
            "public access is not blocked",
            "block all four kinds, as infra/template.yaml does",
        ),
        Told::Refused(why) => {
            Finding::warning("privacy", why, "s3:GetBucketPublicAccessBlock to look")
        }
        Told::Absent => Finding::warning("privacy", "not looked at", NO_CLI),
    });
    findings
}

fn of_region(there: &str, here: Option<String>) -> Finding {
    match here {
        Some(here) if here != there => Finding::warning(
            "region",
            format!("the bucket is in {there}, this shell in {here}"),
            format!(
                "AWS_REGION={there}: a function elsewhere pays for every byte and waits for it"
            ),
        ),
        _ => Finding::good("region", there),
    }
}

/// Whether a bucket policy refuses what would write over a version.
fn policy(document: &str) -> Finding {
    const CURE: &str = "the statement NothingIsOverwritten of infra/template.yaml";
    let policy: Value = serde_json::from_str(document).unwrap_or_default();
    let empty = Vec::new();
    let statements = policy["Statement"].as_array().unwrap_or(&empty);
    let forces = |what: &str| {
        statements.iter().any(|said| {
            let resources = said["Resource"].to_string();
            said["Effect"] == "Deny"
                && said["Action"].to_string().contains("s3:PutObject")
                && said["Condition"]["Null"]["s3:if-none-match"] == "true"
                && resources.contains(what)
        })
    };
    let open: Vec<_> = ["/blobs/*", "/models/*/versions/*"]
        .into_iter()
        .filter(|what| !forces(what))
        .collect();
    if open.is_empty() {
        Finding::good("policy", "versions and files can't be written over")
    } else {
        Finding::bad(
            "policy",
            format!("{} can be written over", open.join(" and ")),
            CURE,
        )
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_policy_has_to_force_both() {
        let said = |resources: Value| {
            json!({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": resources,
                "Condition": {"Null": {"s3:if-none-match": "true"}}}]})
            .to_string()
        };
        for (document, want) in [
            (
                said(json!([
                    "arn:aws:s3:::b/blobs/*",
                    "arn:aws:s3:::b/models/*/versions/*"
                ])),
                State::Good,
            ),
            (said(json!("arn:aws:s3:::b/blobs/*")), State::Bad),
            (String::new(), State::Bad),
            ("{\"Statement\": 3}".to_owned(), State::Bad),
        ] {
            assert_eq!(policy(&document).state, want, "{document}");
        }
    }

    #[test]
    fn regions_are_compared() {
        assert_eq!(
            of_region("eu-west-1", Some("us-east-1".to_owned())).state,
            State::Warning
        );
        assert_eq!(of_region("eu-west-1", None).state, State::Good);
    }
}

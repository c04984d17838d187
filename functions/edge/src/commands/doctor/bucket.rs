//! What protects the bucket.

use serde_json::Value;

use super::Finding;
use crate::aws::{NO_CLI, Told, aws, text};

/// What protects the bucket, and where it is.
pub(super) fn look(bucket: &str) -> Vec<Finding> {
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
    findings.push(versioning(bucket));
    findings.push(encryption(bucket));
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

/// Whether what is deleted or written over can be had back.
fn versioning(bucket: &str) -> Finding {
    match aws(&["s3api", "get-bucket-versioning", "--bucket", bucket]) {
        Told::Json(told) if told["Status"] == "Enabled" => {
            Finding::good("versioning", "what is deleted can be had back")
        }
        Told::Json(_) => Finding::bad(
            "versioning",
            "what is deleted is gone",
            "VersioningConfiguration, as infra/template.yaml has it",
        ),
        Told::Refused(why) => Finding::warning("versioning", why, "s3:GetBucketVersioning to look"),
        Told::Absent => Finding::warning("versioning", "not looked at", NO_CLI),
    }
}

fn encryption(bucket: &str) -> Finding {
    const CURE: &str = "BucketEncryption, as infra/template.yaml has it";
    match aws(&["s3api", "get-bucket-encryption", "--bucket", bucket]) {
        Told::Json(told) => {
            let rule = &told["ServerSideEncryptionConfiguration"]["Rules"][0];
            match rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"].as_str() {
                Some(by) => Finding::good("encryption", by),
                None => Finding::bad("encryption", "there is no rule for it", CURE),
            }
        }
        Told::Refused(why) if why.contains("ServerSideEncryptionConfigurationNotFound") => {
            Finding::bad("encryption", "objects are not encrypted", CURE)
        }
        Told::Refused(why) => {
            Finding::warning("encryption", why, "s3:GetEncryptionConfiguration to look")
        }
        Told::Absent => Finding::warning("encryption", "not looked at", NO_CLI),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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

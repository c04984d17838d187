//! Requests as the events of AWS's gateways, and replies as their functions give them.

use aws_lambda_events::encodings::Body;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::requests::Reply;

/// What stands between a caller and a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// API Gateway's HTTP API (payload format 2.0), in a stage of its own name.
    HttpApi,
    /// API Gateway's REST API, all media types binary.
    RestApi,
    /// An application load balancer.
    LoadBalancer,
    /// A function URL.
    FunctionUrl,
}

impl Gateway {
    /// Every gateway.
    pub const ALL: [Self; 4] = [
        Self::HttpApi,
        Self::RestApi,
        Self::LoadBalancer,
        Self::FunctionUrl,
    ];

    /// The event of a request.
    pub fn event(
        self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Value {
        let text = headers.iter().any(|(name, value)| {
            *name == "content-type" && (value.starts_with("text/") || value == "application/json")
        });
        let text = text && self != Self::RestApi && std::str::from_utf8(body).is_ok();
        let host = ("host", "api.example.com".to_owned());
        let proto = ("x-forwarded-proto", "https".to_owned());
        let all = || headers.iter().chain([&host, &proto]);
        let single: Map<_, _> = all().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
        let multi: Map<_, _> = all().map(|(n, v)| ((*n).to_owned(), json!([v]))).collect();
        let body = match (body.is_empty(), text) {
            (true, _) => Value::Null,
            (false, true) => json!(String::from_utf8_lossy(body)),
            (false, false) => json!(Body::from(body)),
        };
        let mut event = match self {
            Self::HttpApi => version_2("prod", method, &format!("/prod{path}")),
            Self::FunctionUrl => version_2("$default", method, path),
            Self::RestApi => json!({
                "resource": "/{proxy+}",
                "path": path,
                "httpMethod": method,
                "multiValueHeaders": multi,
                "queryStringParameters": null,
                "multiValueQueryStringParameters": null,
                "pathParameters": {"proxy": path.trim_start_matches('/')},
                "stageVariables": null,
                "requestContext": {
                    "accountId": "123456789012", "apiId": "abcdefghij", "stage": "prod",
                    "resourceId": "res", "resourcePath": "/{proxy+}", "httpMethod": method,
                    "path": format!("/prod{path}"), "protocol": "HTTP/1.1",
                    "requestId": "11111111-2222-3333-4444-555555555555",
                    "requestTimeEpoch": 1_767_225_600_000_i64,
                    "identity": {"sourceIp": "203.0.113.9"},
                },
            }),
            Self::LoadBalancer => json!({
                "requestContext": {"elb": {"targetGroupArn":
                    "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/f/6d0ecf831eec9f09"}},
                "httpMethod": method,
                "path": path,
                "queryStringParameters": {},
            }),
        };
        event["headers"] = Value::Object(single);
        event["isBase64Encoded"] = (!body.is_null() && !text).into();
        event["body"] = body;
        event
    }
}

fn version_2(stage: &str, method: &str, raw_path: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw_path,
        "rawQueryString": "",
        "requestContext": {
            "accountId": "123456789012", "apiId": "abcdefghij", "stage": stage,
            "domainName": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "abcdefghij", "routeKey": "$default",
            "requestId": "11111111-2222-3333-4444-555555555555",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1_767_225_600_000_i64,
            "http": {"method": method, "path": raw_path, "protocol": "HTTP/1.1",
                     "sourceIp": "203.0.113.9", "userAgent": "dunlin-tests"},
        },
    })
}

/// The reply that a gateway makes of what the function gave; status 502 where it can't.
pub(super) fn reply(answer: &Value) -> Reply {
    let mut headers = HeaderMap::new();
    let single = answer["headers"].as_object().into_iter().flatten();
    let multi = answer["multiValueHeaders"]
        .as_object()
        .into_iter()
        .flatten();
    for (name, value) in single.chain(multi) {
        let value = value
            .as_str()
            .or_else(|| value[0].as_str())
            .unwrap_or_default();
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    let base64 = answer["isBase64Encoded"].as_bool().unwrap_or(false);
    let body = answer["body"].as_str().unwrap_or_default();
    let status = answer["statusCode"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok());
    Reply {
        status: status.unwrap_or(502),
        headers,
        body: match status {
            Some(_) => Body::from_maybe_encoded(base64, body).to_vec().into(),
            None => answer.to_string().into(),
        },
    }
}

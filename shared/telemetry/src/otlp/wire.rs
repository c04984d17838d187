//! The messages of `opentelemetry/proto/collector/trace/v1/trace_service.proto`, as far as spans of
//! requests need them: numbers and types are the specification's.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::Phases;

/// `SPAN_KIND_SERVER`
const SERVER: i32 = 2;
/// `STATUS_CODE_ERROR`
const ERROR: i32 = 2;
/// A parent in another process, and a sampled trace: `SpanFlags`.
const FLAGS: u32 = 0x301;

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    own_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3, 4")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
}

fn attribute(key: impl Into<String>, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

impl Span {
    /// A span that ends now. Names of attributes are those of the semantic conventions of HTTP.
    pub(super) fn of(span: &super::Span, now: SystemTime) -> Self {
        let nanos = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or_default()
        };
        let (id, own, parent) = span.trace.numbers();
        let mut attributes = vec![
            attribute("http.request.method", Value::Text(span.method.clone())),
            attribute("url.path", Value::Text(span.path.clone())),
            attribute(
                "http.response.status_code",
                Value::Integer(span.status.into()),
            ),
            attribute("dunlin.request_id", Value::Text(span.request_id.clone())),
        ];
        let phases = span.phases.iter().flat_map(Phases::iter);
        attributes.extend(phases.map(|(phase, took)| {
            let name = format!("dunlin.phase.{phase}_ms");
            attribute(name, Value::Number(took.as_secs_f64() * 1e3))
        }));
        Self {
            trace_id: id.to_be_bytes().to_vec(),
            own_id: own.to_be_bytes().to_vec(),
            parent_id: parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
            name: span.method.clone(),
            kind: SERVER,
            start: nanos(now - span.elapsed),
            end: nanos(now),
            attributes,
            status: (span.status >= 500).then_some(Status { code: ERROR }),
            flags: FLAGS,
        }
    }
}

/// The body of a request that exports these spans.
pub(super) fn request(service: &str, spans: Vec<Span>) -> Vec<u8> {
    let named = attribute("service.name", Value::Text(service.to_owned()));
    let scope = Scope {
        name: "dunlin".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let request = ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![named],
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans,
            }],
        }],
    };
    request.encode_to_vec()
}

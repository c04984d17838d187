//! One POST over a connection of its own.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Collector;

/// Of what a collector answers beside its status.
const ANSWER_BYTES: usize = 64 << 10;

pub(super) async fn post(collector: &Collector, body: Vec<u8>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(&collector.authority).await;
    let stream = stream.map_err(|error| text(&error))?;
    let connection = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connection.map_err(|error| text(&error))?;
    let request = Request::post(&collector.path)
        .header(HOST, &collector.authority)
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| text(&error))?;
    let driving = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| text(&error))?;
    let status = answer.status();
    // Read, so that the collector sees its answer taken.
    let _ = Limited::new(answer.into_body(), ANSWER_BYTES)
        .collect()
        .await;
    drop(sender);
    driving.abort();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("HTTP {status}"))
    }
}

//! The least HTTP client that measures a server rather than itself: one connection, kept alive.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use dunlin_protocol::{Encoded, HEADER_LENGTH};

/// A request as it goes over the wire.
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// `POST /v2/models/<model>/infer`.
    pub(crate) fn infer(model: &str, encoded: &Encoded) -> Self {
        let mut wire = format!(
            "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: bench\r\ncontent-type: {}\r\ncontent-length: {}\r\n",
            encoded.content_type(),
            encoded.body.len()
        );
        if let Some(length) = encoded.header_length {
            wire.push_str(HEADER_LENGTH);
            wire.push_str(": ");
            wire.push_str(&length.to_string());
            wire.push_str("\r\n");
        }
        wire.push_str("\r\n");
        let mut wire = wire.into_bytes();
        wire.extend_from_slice(&encoded.body);
        Self(wire)
    }
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            reply: Vec::new(),
        }
    }

    /// Sends a request and reads the whole reply; gives its status.
    pub(crate) fn send(&mut self, request: &Request) -> u16 {
        self.stream.write_all(&request.0).expect("the server reads");
        let mut filled = 0;
        let mut known = None;
        loop {
            if let Some((status, length)) = known
                && filled >= length
            {
                return status;
            }
            // The buffer only grows: clearing it again and again would be measured.
            let room = known.map_or(filled + (16 << 10), |(_, length)| length);
            if self.reply.len() < room {
                self.reply.resize(room, 0);
            }
            let read = self.stream.read(&mut self.reply[filled..]);
            let read = read.expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            filled += read;
            known = known.or_else(|| head(&self.reply[..filled]));
        }
    }
}

/// The status, and the length of the reply with its head, once the head is there.
fn head(reply: &[u8]) -> Option<(u16, usize)> {
    let window = &reply[..reply.len().min(16 << 10)];
    let end = window.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&reply[..end]).expect("a head of ASCII");
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .expect("a length: replies are whole");
    Some((status, end + 4 + length))
}

//! `dunlin serve`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Duration;

use async_trait::async_trait;

use super::{Running, client, command};
use crate::requests::{Host, Reply};

/// A local server over a store.
#[derive(Debug)]
pub struct Server {
    root: String,
    client: reqwest::Client,
    /// Kept open: the server may say more.
    _output: BufReader<ChildStdout>,
    _process: Running,
}

impl Server {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not come up in a minute.
    pub async fn start(dunlin: &Path, store: &str) -> Self {
        let child = command(dunlin)
            .args(["serve", "--store", store, "--listen", "127.0.0.1:0"])
            .env("DUNLIN_BODY_MIB", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = Running(child.expect("dunlin starts"));
        let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        output.read_line(&mut greeting).expect("a line of text");
        let (_, url) = greeting
            .trim()
            .rsplit_once(' ')
            .expect("the server tells its URL");
        let server = Self {
            root: url.to_owned(),
            client: client(),
            _output: output,
            _process: process,
        };
        let url = format!("{}/v2/health/ready", server.root);
        for _ in 0..600 {
            if let Ok(reply) = server.client.get(&url).send().await
                && reply.status().is_success()
            {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("dunlin serve is not ready after a minute");
    }
}

#[async_trait]
impl Host for Server {
    fn name(&self) -> &'static str {
        "dunlin serve"
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Reply {
        let method = method.parse().expect("a method");
        let url = format!("{}{path}", self.root);
        let mut request = self.client.request(method, url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let reply = request.send().await.expect("the server answers");
        Reply {
            status: reply.status().as_u16(),
            headers: reply.headers().clone(),
            body: reply.bytes().await.expect("a whole body"),
        }
    }
}

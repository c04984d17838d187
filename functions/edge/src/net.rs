//! The address and its connections: opened, bounded in time, closed when the server goes down.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};

/// How long the headers of a request may take to arrive; an idle connection is closed after it.
const HEADERS: Duration = Duration::from_secs(75);

/// The wait after a failure to accept, which is mostly one of too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Opens the address, or says who else may have it and what to do.
pub(crate) async fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let cure = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program has this port: end it, or choose another with --listen HOST:PORT (port 0 takes a free one)"
            }
            io::ErrorKind::PermissionDenied => {
                "ports under 1024 are for privileged programs: choose another with --listen HOST:PORT"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: --listen 0.0.0.0:PORT means all it has"
            }
            _ => "--listen takes HOST:PORT, as in 127.0.0.1:8080",
        };
        Exit::Listen.failure(format!("cannot listen on {address}: {error}; {cure}"))
    })
}

/// Answers every connection until `stop` changes; returns when the last one has ended.
pub(crate) async fn serve(listener: TcpListener, app: Router, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, app.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, app: Router, mut stop: watch::Receiver<bool>) {
    // Small replies leave at once: Nagle's algorithm would wait for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small replies may be late");
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        _ = stop.changed() => {
            // The request that runs is answered, an idle connection closed.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

//! An S3 server in this process: real HTTP, real signatures, objects in memory, faults on demand.
//!
//! Conditions are checked and carried out under one lock, so they hold under a race.

mod backend;
mod faults;

use std::net::SocketAddr;
use std::sync::Arc;

use dunlin_storage::{Credentials, Store, StoreOptions, open};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::backend::Backend;
pub use self::faults::{Fault, Faults, On, Weather};

/// The one bucket there is.
pub const BUCKET: &str = "models";
const ACCESS_KEY_ID: &str = "dunlin-test";
const SECRET_ACCESS_KEY: &str = "not-a-secret";

/// A running server, stopped when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    faults: Arc<Faults>,
    task: JoinHandle<()>,
}

impl S3Server {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut service = S3ServiceBuilder::new(Backend::new(BUCKET));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let faults = Arc::new(Faults::default());
        let task = tokio::spawn(serve(listener, service.build(), Arc::clone(&faults)));
        Self {
            address,
            faults,
            task,
        }
    }

    /// Where it listens, as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes wrong there, and what was asked.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The options that reach it.
    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            endpoint: Some(self.endpoint()),
            credentials: Some(Credentials {
                access_key_id: ACCESS_KEY_ID.into(),
                secret_access_key: SECRET_ACCESS_KEY.into(),
                session_token: None,
            }),
            ..StoreOptions::default()
        }
    }

    /// A store in its bucket, at the top or below `prefix`.
    pub async fn store(&self, prefix: &str, options: &StoreOptions) -> Arc<dyn Store> {
        open(&format!("s3://{BUCKET}/{prefix}"), options)
            .await
            .unwrap()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, service: S3Service, faults: Arc<Faults>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (service, faults) = (service.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let (service, faults) = (service.clone(), Arc::clone(&faults));
                async move { faults.answer(&service, request).await }
            });
            // A cut connection is an error here, and on purpose.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

//! What is done between a reply and the next request.
//!
//! Lambda passes a reply on when the runtime has sent it, and freezes the environment when the runtime
//! asks for the next request. Between the two there is time that no caller waits for, and that is billed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use dunlin_serving::Service;
use lambda_http::Error;
use lambda_http::lambda_runtime::LambdaInvocation;
use tower::Layer;

use crate::{Meter, time_left};

/// What is waited for where the invocation has no deadline (an emulator's).
const WITHOUT_DEADLINE: Duration = Duration::from_secs(5);

/// Has the runtime wait, after each reply is sent, until the metrics are told and the service has
/// [settled](Service::settle).
#[derive(Debug, Clone)]
pub struct Settle(pub Arc<Service>, pub Arc<Meter>);

impl<S> Layer<S> for Settle {
    type Service = Settled<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Settled {
            inner,
            service: self.0.clone(),
            meter: self.1.clone(),
        }
    }
}

/// A runtime's own service, and what follows it.
#[derive(Debug)]
pub struct Settled<S> {
    inner: S,
    service: Arc<Service>,
    meter: Arc<Meter>,
}

impl<S> tower::Service<LambdaInvocation> for Settled<S>
where
    S: tower::Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let deadline = invocation.context.deadline;
        let (service, meter) = (self.service.clone(), self.meter.clone());
        let sent = self.inner.call(invocation);
        Box::pin(async move {
            sent.await?;
            meter.tell();
            let left = time_left(deadline, SystemTime::now());
            service.settle(left.unwrap_or(WITHOUT_DEADLINE)).await;
            Ok(())
        })
    }
}

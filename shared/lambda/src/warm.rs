//! The init phase, which has a full core whatever the function's memory.

use std::sync::Arc;
use std::time::Duration;

use dunlin_serving::Service;

/// Loads the models to be preloaded and speaks to the store once. A failure ends nothing: readiness tells of it, and the
/// request that needs the model tries again. What takes longer than this goes on beside the requests.
pub async fn warm(service: &Arc<Service>, time: Duration) {
    let service = service.clone();
    // A task, so that it runs where its connections do.
    let warming = tokio::spawn(async move {
        if let Err(error) = service.preload().await {
            tracing::warn!(error = error.chain(), "a model could not be preloaded");
        }
        service.ready().await
    });
    match tokio::time::timeout(time, warming).await {
        Ok(Ok(readiness)) if readiness.ready() => {}
        Ok(Ok(readiness)) => tracing::warn!(reasons = ?readiness.reasons, "not ready yet"),
        Ok(Err(error)) => tracing::error!(%error, "warming panicked"),
        Err(_) => tracing::warn!("warming took too long; requests go on with it"),
    }
}

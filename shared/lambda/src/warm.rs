//! The init phase, which has a full core whatever the function's memory.

use std::sync::Arc;
use std::time::Duration;

use dunlin_serving::Service;

/// Loads the models to be preloaded and speaks to the store once, for this long at most. A failure
/// ends nothing: readiness tells of it, and the request that needs the model tries again.
pub async fn warm(service: &Arc<Service>, time: Duration) {
    let warming = async {
        // The store's sign of life, which is good for a while, comes beside the models.
        let (preloaded, _) = tokio::join!(service.preload(), service.ready());
        if let Err(error) = preloaded {
            tracing::warn!(error = error.chain(), "a model could not be preloaded");
        }
        service.ready().await
    };
    match tokio::time::timeout(time, warming).await {
        Ok(readiness) if readiness.ready() => {}
        Ok(readiness) => tracing::warn!(reasons = ?readiness.reasons, "not ready yet"),
        Err(_) => tracing::warn!("warming took too long; requests go on with it"),
    }
}

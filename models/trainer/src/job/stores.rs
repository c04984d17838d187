//! The stores that a job reads and writes.

use dunlin_registry::Registry;
use dunlin_storage::StoreOptions;
use tokio::runtime::Handle;

use crate::cli::StoreArgs;
use crate::{Error, Result};

pub(super) fn registry(store: &StoreArgs, runtime: &Handle) -> Result<Registry> {
    let url = store.store.as_deref().ok_or_else(|| {
        Error::usage(
            "--publish, and a gate against production, need a store: --store file:PATH or s3://bucket/prefix, or DUNLIN_STORE",
        )
    })?;
    Ok(Registry::new(runtime.block_on(dunlin_storage::open(
        url,
        &store_options(store),
    ))?))
}

pub(super) fn store_options(store: &StoreArgs) -> StoreOptions {
    StoreOptions {
        endpoint: store.s3_endpoint.clone(),
        region: store.s3_region.clone(),
        path_style: store.s3_path_style,
        ..StoreOptions::default()
    }
}

/// Checkpoints of large networks are read whole.
pub(super) fn run_options(store: &StoreArgs) -> StoreOptions {
    StoreOptions {
        get_limit: 4 << 30,
        ..store_options(store)
    }
}

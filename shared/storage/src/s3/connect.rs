//! Connections: plain or TLS, set up when the first request needs them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::shared::IntoShared;

use crate::StoreOptions;

/// The process's one TLS set-up: parsing the system's root certificates takes milliseconds.
static TLS: OnceLock<SharedHttpClient> = OnceLock::new();

/// The client for an endpoint: without TLS for `http:`.
pub(super) fn http_client(endpoint: &str, options: &StoreOptions) -> SharedHttpClient {
    let connect_timeout = options.connect_timeout;
    if endpoint.starts_with("http:") {
        return OnFirstUse::new(false, connect_timeout).into_shared();
    }
    TLS.get_or_init(|| OnFirstUse::new(true, connect_timeout).into_shared())
        .clone()
}

/// Builds its connector once, on first use. The SDK's own client does so when it is made, and then
/// once more, so that every start pays twice for the root certificates, also one that never
/// connects.
#[derive(Clone, Debug)]
struct OnFirstUse {
    tls: bool,
    connect_timeout: Duration,
    connector: Arc<OnceLock<SharedHttpConnector>>,
}

impl OnFirstUse {
    fn new(tls: bool, connect_timeout: Duration) -> Self {
        Self {
            tls,
            connect_timeout,
            connector: Arc::default(),
        }
    }
}

impl HttpClient for OnFirstUse {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let build = || {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(self.connect_timeout)
                .build();
            let mut builder = Connector::builder().connector_settings(settings);
            builder.set_sleep_impl(components.sleep_impl());
            if self.tls {
                builder
                    .proxy_config(ProxyConfig::from_env())
                    .tls_provider(Provider::Rustls(CryptoMode::Ring))
                    .build()
                    .into_shared()
            } else {
                builder.build_http().into_shared()
            }
        };
        self.connector.get_or_init(build).clone()
    }
}

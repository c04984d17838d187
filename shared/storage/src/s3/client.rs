//! The one client: where it connects, and with which credentials.

use std::env;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, StalledStreamProtectionConfig,
};

use tokio::sync::OnceCell;

use super::connect::http_client;
use crate::{Error, ErrorKind, Result, StoreOptions};

pub(super) async fn client(url: &str, options: &StoreOptions) -> Result<Client> {
    let endpoint = options
        .endpoint
        .clone()
        .or_else(|| variable("AWS_ENDPOINT_URL_S3"))
        .or_else(|| variable("AWS_ENDPOINT_URL"));
    if let Some(endpoint) = &endpoint {
        check_endpoint(url, endpoint)?;
    }
    let chain = ProviderConfig::default().with_http_client(http_client("https:", options));
    let region = region(url, options, endpoint.is_some(), &chain).await?;
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client(
            endpoint.as_deref().unwrap_or("https:"),
            options,
        ))
        .credentials_provider(credentials(options, chain, &region))
        .region(region)
        .force_path_style(options.path_style.unwrap_or(endpoint.is_some()))
        // This crate retries and times: once, counted, and with the body inside the try.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    // For servers that do not know S3's newer checksums, as in the other SDKs.
    if variable("AWS_REQUEST_CHECKSUM_CALCULATION").is_some_and(|v| is_when_required(&v)) {
        config = config.request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    }
    if variable("AWS_RESPONSE_CHECKSUM_VALIDATION").is_some_and(|v| is_when_required(&v)) {
        config = config.response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

fn is_when_required(value: &str) -> bool {
    value.eq_ignore_ascii_case("when_required")
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn from_environment() -> Option<crate::Credentials> {
    Some(crate::Credentials {
        access_key_id: variable("AWS_ACCESS_KEY_ID")?,
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
        session_token: variable("AWS_SESSION_TOKEN"),
    })
}

fn check_endpoint(url: &str, endpoint: &str) -> Result<()> {
    let fine = endpoint.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    });
    if fine {
        return Ok(());
    }
    let reason = format!("{endpoint:?} is not an endpoint");
    Err(Error::new(ErrorKind::InvalidConfig, "open", url, reason)
        .with_cure("an endpoint is http://host:port or https://host"))
}

async fn region(
    url: &str,
    options: &StoreOptions,
    endpoint: bool,
    chain: &ProviderConfig,
) -> Result<Region> {
    let named = options
        .region
        .clone()
        .or_else(|| variable("AWS_REGION"))
        .or_else(|| variable("AWS_DEFAULT_REGION"));
    if let Some(region) = named {
        return Ok(Region::new(region));
    }
    // Servers other than AWS's take any region.
    if endpoint {
        return Ok(Region::new("us-east-1"));
    }
    let profile = ProfileFileRegionProvider::builder()
        .configure(chain)
        .build();
    profile.region().await.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidConfig,
            "open",
            url,
            "the bucket's region is not known",
        )
        .with_cure("set AWS_REGION, or the endpoint if the bucket is not at AWS")
    })
}

/// Given credentials, else the environment's, else the default chain: profiles, web identity,
/// container, EC2.
fn credentials(
    options: &StoreOptions,
    chain: ProviderConfig,
    region: &Region,
) -> SharedCredentialsProvider {
    // The chain would find the environment's, too, once it has been built.
    if let Some(key) = options.credentials.clone().or_else(from_environment) {
        let (id, secret) = (key.access_key_id, key.secret_access_key);
        let key = Credentials::new(id, secret, key.session_token, None, "dunlin");
        return SharedCredentialsProvider::new(key);
    }
    let config = chain.with_region(Some(region.clone()));
    SharedCredentialsProvider::new(Chain {
        config,
        built: OnceCell::new(),
    })
}

/// The default chain, built when the first request is signed: that takes 20 ms, most of them for
/// the root certificates.
#[derive(Debug)]
struct Chain {
    config: ProviderConfig,
    built: OnceCell<DefaultCredentialsChain>,
}

impl Chain {
    async fn build(&self) -> DefaultCredentialsChain {
        // Outside EC2 its metadata service does not answer: that must not take long to find out.
        let imds = imds::Client::builder()
            .configure(&self.config)
            .max_attempts(2)
            .connect_timeout(Duration::from_secs(1))
            .build();
        let chain = DefaultCredentialsChain::builder().configure(self.config.clone());
        chain.imds_client(imds).build().await
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let chain = self.built.get_or_init(|| self.build()).await;
            chain.provide_credentials().await
        })
    }
}
